#!/bin/bash
# What a first user does, against the running containers: sign up, log in, project, task, mail, restart of a service,
# down and up again with the data kept. Run in the project's folder while `docker compose up` is done.
set -euo pipefail

base=http://127.0.0.1:${TASKFLOW_PORT:-8080}
email="smoke-$(date +%s)@example.com"
password=correct-horse-battery

say() { printf '  %s\n' "$*"; }
fail() { printf 'smoke: %s\n' "$*" >&2; docker compose ps -a >&2; docker compose logs --tail 30 >&2; exit 1; }
field() { python3 -c 'import json,sys; v=json.load(sys.stdin)
for k in sys.argv[1].split("."): v = v[int(k)] if k.isdigit() else v[k]
print(v)' "$1"; }
call() { # method path [body]
    local body=() token=()
    [ $# -ge 3 ] && body=(-H 'Content-Type: application/json' -d "$3")
    [ -n "${access:-}" ] && token=(-H "Authorization: Bearer $access")
    curl -sS --fail-with-body --max-time 30 -X "$1" "${token[@]}" "${body[@]}" "$base$2"
}
wait_until() { # seconds command...
    local seconds=$1 i; shift
    for i in $(seq $((seconds * 5))); do "$@" >/dev/null 2>&1 && return 0; sleep 0.2; done
    return 1
}
log_in() { access= ; access=$(call POST /api/account/login/ "{\"email\": \"$email\", \"password\": \"$password\"}" | field access); }

access=
access=$(call POST /api/account/signup/ "{\"email\": \"$email\", \"password\": \"$password\", \"first_name\": \"Smoke\",
    \"last_name\": \"Test\", \"organization\": \"Smoke\"}" | field access) || fail "sign-up"
say "signed up"
log_in || fail "login"
say "logged in"
project=$(call POST /api/project_management/projects/ '{"name": "Smoke project"}' | field id) || fail "project"
task=$(call POST "/api/project/$project/tasks/" '{"title": "Smoke task"}' | field id) || fail "task"
[ "$(call GET "/api/project/tasks/$task/" | field title)" = "Smoke task" ] || fail "task not read back"
say "project $project and task $task made and read"

friend="friend-$(date +%s)@example.com"
call POST /api/organization/users/ "{\"email\": \"$friend\", \"first_name\": \"F\", \"last_name\": \"R\",
    \"role\": \"DEVELOPER\"}" >/dev/null || fail "user"
mailed() { docker compose exec -T notification sh -c "grep -l '$friend' /var/lib/taskflow/mail/*.eml" | grep -q eml; }
wait_until 30 mailed || fail "no mail for $friend"
say "welcome mail written"

docker compose restart -t 40 task >/dev/null 2>&1 || fail "restart of task"
readable() { call GET "/api/project/tasks/$task/" >/dev/null; }
wait_until 60 readable || fail "task service does not answer after its restart"
say "task service restarted, its data is there"

docker compose down -t 40 >/dev/null 2>&1 || fail "down"
docker compose up -d --no-build --wait --wait-timeout 180 >/dev/null 2>&1 || fail "up again"
log_in || fail "login after down and up"
[ "$(call GET "/api/project/tasks/$task/" | field title)" = "Smoke task" ] || fail "data lost over down and up"
say "down and up again, data kept"
