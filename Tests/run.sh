#!/bin/bash
# Runs the tests on a Postgres and a Redis of their own, made in a temporary folder and removed at the end; and on a
# PgBouncer before that Postgres, where there is one.
# Arguments are passed to `swift test`, e.g. `--filter TaskTests`.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d /tmp/taskflow-test.XXXXXX)
chmod 711 "$folder"
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
bin=${bin:-$(dirname "$(command -v initdb)")}
as=()
if [ "$(id -u)" -eq 0 ]; then
    as=(setpriv "--reuid=$(id -u postgres)" "--regid=$(id -g postgres)" --clear-groups --)
    install -d -o postgres -m 711 "$folder/pg"
else
    mkdir "$folder/pg"
fi
postgres_pid= redis_pid= bouncer_pid=
finish() {
    code=$?
    trap - EXIT INT TERM
    for pid in $bouncer_pid $postgres_pid $redis_pid; do kill -INT "$pid" 2>/dev/null || true; done
    for pid in $bouncer_pid $postgres_pid $redis_pid; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$folder"
    exit $code
}
trap finish EXIT
trap 'exit 130' INT TERM

swift build --build-tests

password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
echo "$password" >"$folder/pg/password"
chmod 644 "$folder/pg/password"
"${as[@]}" "$bin/initdb" -D "$folder/pg/data" -U postgres --auth=scram-sha-256 --pwfile="$folder/pg/password" \
    --encoding=UTF8 --locale=C.UTF-8 --no-sync >"$folder/initdb.log" 2>&1 || { cat "$folder/initdb.log"; exit 1; }
rm "$folder/pg/password"
# Durability is not what these tests are about, so fsync is off; the servers listen on Unix sockets only.
(cd / && exec setsid "${as[@]}" "$bin/postgres" -D "$folder/pg/data" -k "$folder/pg" -p 5432 -c listen_addresses= -c fsync=off \
    -c synchronous_commit=off -c full_page_writes=off -c max_connections=400 -c shared_buffers=256MB \
    -c deadlock_timeout=200ms) >"$folder/postgres.log" 2>&1 &
postgres_pid=$!
(cd / && exec setsid redis-server --port 0 --unixsocket "$folder/redis.sock" --dir "$folder" --appendonly yes --save '' \
    --maxmemory-policy noeviction) >"$folder/redis.log" 2>&1 &
redis_pid=$!
for _ in $(seq 300); do
    "$bin/pg_isready" -q -h "$folder/pg" -p 5432 && [ -S "$folder/redis.sock" ] && break
    sleep 0.1
done
"$bin/pg_isready" -q -h "$folder/pg" -p 5432 || { cat "$folder/postgres.log"; exit 1; }

host=$(printf %s "$folder/pg" | sed 's|/|%2F|g')
bouncer=$(PATH=$PATH:/usr/sbin command -v pgbouncer || true)
if [ -n "$bouncer" ]; then
    cat >"$folder/pg/pgbouncer.ini" <<EOF
[databases]
* = host=$folder/pg port=5432
[pgbouncer]
listen_addr =
unix_socket_dir = $folder/pg
listen_port = 6432
pool_mode = transaction
default_pool_size = 2
max_client_conn = 200
auth_type = scram-sha-256
auth_file = $folder/pg/users
auth_user = postgres
auth_query = SELECT rolname, rolpassword FROM pg_authid WHERE rolname = \$1
EOF
    echo "\"postgres\" \"$password\"" >"$folder/pg/users"
    # Readable for the account that it runs as; nobody can list the folder above, and all of it goes at the end.
    chmod 644 "$folder/pg/pgbouncer.ini" "$folder/pg/users"
    (cd / && exec setsid "${as[@]}" "$bouncer" "$folder/pg/pgbouncer.ini") >"$folder/pgbouncer.log" 2>&1 &
    bouncer_pid=$!
    for _ in $(seq 100); do [ -S "$folder/pg/.s.PGSQL.6432" ] && break; sleep 0.1; done
    [ -S "$folder/pg/.s.PGSQL.6432" ] || { cat "$folder/pgbouncer.log"; exit 1; }
    export TASKFLOW_TEST_PGBOUNCER_PORT=6432
fi
export TASKFLOW_TEST_POSTGRES_URL="postgresql://postgres:$password@$host:5432/postgres"
export TASKFLOW_TEST_REDIS_URL="unix://$folder/redis.sock"

log=$folder/test.log
status=0
if [ $# -gt 0 ]; then
    swift test --skip-build "$@" 2>&1 | tee "$log" || status=$?
else
    # The simulation fills every core for half a minute: beside it the others would wait for their turn.
    swift test --skip-build --skip SimulationTests 2>&1 | tee "$log" || status=$?
    swift test --skip-build --filter SimulationTests 2>&1 | tee -a "$log" || status=$?
fi
# Then the finished program from outside: as one process, and with a process for each service and two of Task.
# The servers above are not used for that; it starts its own with `taskflow up`. `make acceptance` runs all of them.
if [ $# -eq 0 ]; then
    binary=$(swift build --show-bin-path)/taskflow
    journeys=(test_account test_conventions test_notifications test_organization test_projects test_tasks)
    audits=(test_audit_lists test_audit_forms test_audit_projects test_audit_project_roles test_audit_task_roles
        test_audit_families test_audit_dates test_audit_task_people
        test_contract_objects test_contract_lists test_contract_posts)
    Tests/Acceptance/run.py --binary "$binary" "${journeys[@]}" "${audits[@]}" 2>&1 | tee -a "$log" || status=$?
    Tests/Acceptance/run.py --binary "$binary" --processes "${journeys[@]}" 2>&1 | tee -a "$log" || status=$?
    Tests/Tenancy/run.py --binary "$binary" --quick 2>&1 | tee -a "$log" || status=$?
    Tests/Attack/run.py --binary "$binary" --quick 2>&1 | tee -a "$log" || status=$?
    Tests/HotPaths/instructions.py "$(dirname "$binary")/hotpaths" 2>&1 | tee -a "$log" || status=$?
fi
# By the last line of each run: of the lines of so many tests at once some can be lost on their way here.
count() { awk -v word="$1" '
    /^[^ ]+ Test run with / { n += (word == "passed") ? $5 : 0; next }
    /^[^ ]+ Test .* failed after / { n += (word == "failed") ? 1 : -1 }
    /^(acceptance|instructions): / { n += (word == "passed") ? $2 : $4 }
    END { print n + 0 }' "$log"; }
passed=$(count passed)
failed=$(count failed)
[ "$status" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
echo "$passed passed, $failed failed"
exit "$status"
