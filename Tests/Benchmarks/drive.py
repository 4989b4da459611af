"""wrk, and what the processes spend meanwhile."""
import json
import os
import pathlib
import subprocess
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
TICK = os.sysconf("SC_CLK_TCK")


def family(pid):
    """A process and its children, one level deep: Postgres's backends, nginx's and gunicorn's workers."""
    pids = [pid]
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            pids.append(int(entry.parent.name))
    return pids


def cpu_seconds(pid):
    """User and system time of a process, its children that are there and those that have gone."""
    total = 0
    for member in family(pid):
        try:
            fields = pathlib.Path(f"/proc/{member}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        total += sum(int(value) for value in fields[11:15 if member == pid else 13])
    return total / TICK


def resident(pid):
    """Resident memory in MB: Rss, shared pages of the program included."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def proportional(pid):
    """The same with shared pages divided among those who share them (Pss): what six processes of one program cost."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


class Driver:
    def __init__(self, folder):
        self.folder = folder
        self.count = 0

    def requests(self, rows):
        """Writes requests (method, path, token, body) to a file for `run`."""
        self.count += 1
        path = self.folder / f"requests{self.count}.tsv"
        path.write_text("".join("\t".join(row) + "\n" for row in rows))
        return path

    @staticmethod
    def wrk(origin, requests, connections, seconds):
        output = subprocess.run(
            ["wrk", "-t", str(min(2, connections)), "-c", str(connections), "-d", f"{seconds}s", "--timeout", "30s",
             "-s", str(HERE / "wrk/requests.lua"), origin, "--", str(requests)],
            check=True, capture_output=True, text=True).stdout
        return json.loads(next(line for line in output.splitlines() if line.startswith("RESULT "))[7:])

    def run(self, origin, requests, connections, seconds, watched=None):
        """One round; `watched` are processes by name whose CPU time is taken. Times come in milliseconds."""
        watched = watched or {}
        before = {name: cpu_seconds(pid) for name, pid in watched.items()}
        raw = self.wrk(origin, requests, connections, seconds)
        if not raw["requests"] and not raw["socket_errors"]:
            # Too slow to answer anything in that time; a longer round says how slow.
            before = {name: cpu_seconds(pid) for name, pid in watched.items()}
            raw = self.wrk(origin, requests, connections, 5 * seconds)
        if raw["bad_status"] or raw["socket_errors"] or not raw["requests"]:
            raise RuntimeError(f"{origin}: refused or broken requests: {raw}")
        answers = raw["requests"]
        return {
            "rate": answers / (raw["microseconds"] / 1e6), "requests": answers,
            **{name: raw[name] / 1000 for name in ("p50", "p90", "p99", "max")},
            "cpu_us": {name: (cpu_seconds(pid) - before[name]) * 1e6 / answers for name, pid in watched.items()},
        }


def post_json(url, body, token=None):
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def get(url, token=None):
    request = urllib.request.Request(url)
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()
