"""What Postgres alone does with the statement that a service sends: captured from its log, run again by pgbench."""
import os
import re
import statistics
import subprocess
import time

import drive
import servers

WARMING = 2


def captured(machine, origin, path, token, marker="FROM task"):
    """The statement with its parameters that the Task service sends for a request."""
    machine.psql("ALTER SYSTEM SET log_statement = 'all'")
    machine.psql("SELECT pg_reload_conf()")
    time.sleep(0.5)
    start = machine.postgres_log.stat().st_size
    drive.get(origin + path, token)
    time.sleep(0.5)
    machine.psql("ALTER SYSTEM RESET log_statement")
    machine.psql("SELECT pg_reload_conf()")
    with machine.postgres_log.open(encoding="utf-8", errors="replace") as log:
        log.seek(start)
        entries = re.split(r"\n(?=\d{4}-\d\d-\d\d )", log.read())
    for i, entry in enumerate(entries):
        match = re.match(r"\S+ \S+ UTC \[(\d+)\] LOG:  execute [^:]*: (SELECT .*)", entry, re.S)
        if match and marker in match[2] and i + 1 < len(entries):
            values = {int(number): None if value == "NULL" else value[1:-1].replace("''", "'")
                      for number, value in re.findall(r"\$(\d+) = (NULL|'(?:[^']|'')*')", entries[i + 1])}
            return match[2].replace("\n\t", "\n"), values
    raise RuntimeError(f"no statement for {path} in the log")


def script(statement, values, organization, task, index):
    """A pgbench script; the organization and the task vary, the other parameters are as captured."""
    variables = {}

    def name(match):
        value = values[int(match[1])]
        if value is None:
            return "NULL"
        if value == organization:
            variables[f"org{index}"] = value
            return f":org{index}"
        if value == str(task):
            return ":task"
        key = f"v{index}x{match[1]}"
        variables[key] = value
        return f":{key}"

    # pgbench looks for variables in literals too; \x3a is the colon.
    def literal(match):
        return "E" + match[0].replace("\\", "\\\\").replace(":", "\\x3a") if ":" in match[0] else match[0]
    quoted = re.sub(r"'(?:[^']|'')*'", literal, statement)
    text = re.sub(r"\$(\d+)\b", name, quoted)
    variables[f"org{index}"] = organization
    return (f"\\startpipeline\nSELECT pg_catalog.set_config('app.organization_id', :org{index}, true);\n"
            f"{' '.join(text.split())};\n\\endpipeline\n"), variables


class PgBench:
    """The statement for GET one task, as the role task_app, prepared and pipelined, over the pool's connections."""

    def __init__(self, machine, cases, tasks):
        self.machine = machine
        self.words = []
        for index, (statement, values, organization, task) in enumerate(cases):
            text, variables = script(statement, values, organization, task, index)
            path = machine.folder / f"floor{index}.sql"
            path.write_text(f"\\set task random(1, {tasks})\n{text}")
            self.words += ["-f", str(path)]
            for name, value in variables.items():
                self.words += ["-D", f"{name}={value}"]

    def run(self, seconds):
        # Connections are new each time: the first seconds go into caches and plans that the service has long had.
        output = subprocess.run(
            [servers.postgres_tool("pgbench"), "-n", "-M", "prepared", "-c", str(servers.POOL), "-j", "1", "-P", "1",
             "-T", str(seconds + WARMING), "-h", str(self.machine.sockets), "-U", "task_app", *self.words, "taskflow"],
            env={**os.environ, "PGOPTIONS": "-c search_path=task"}, capture_output=True, text=True)
        found = re.findall(r"progress: [\d.]+ s, ([\d.]+) tps, lat ([\d.]+) ms", output.stderr)[WARMING:]
        if output.returncode or not found or "ERROR" in output.stderr:
            raise RuntimeError(output.stderr[-2000:])
        # pgbench gives the mean of the latency; the report shows it in place of the median.
        rates, latencies = ([float(value) for value in column] for column in zip(*found))
        return {"rate": statistics.mean(rates), "p50": statistics.mean(latencies), "cpu_us": {}}


def explain(machine, statement, values, organization):
    """EXPLAIN (ANALYZE, BUFFERS) of a captured statement, as the service's role sees it."""
    def literal(value):
        return "NULL" if value is None else "'" + value.replace("'", "''") + "'"
    parameters = ", ".join(literal(values[number]) for number in sorted(values))
    return machine.psql(
        "SET search_path = task; SET ROLE task_app;\n"
        f"SELECT set_config('app.organization_id', '{organization}', false);\n"
        f"PREPARE captured AS {statement};\nEXPLAIN (ANALYZE, BUFFERS) EXECUTE captured({parameters});")
