#!/usr/bin/env python3
"""What three programs make of the same bytes: this gateway, nginx (as a proxy) and h11, form by form of the corpus.

    Tests/Attack/compare.py --binary .build/debug/taskflow [--output FILE]

nginx is used where it is installed, h11 where it can be imported; the table says what was compared.
"""

import argparse
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

import corpus
import lab
import wire

try:
    import h11
except ImportError:
    h11 = None

# Why this gateway differs, where it does; a difference without a line here is a finding.
LINE_END = "LF alone ends a line there, as RFC 9112, 2.2 permits; where two readers disagree a request can be smuggled"
TRAILERS = "trailers are not judged there; here none may say what only a head may"
PROXY = "a rule beyond framing: a proxy that obeys would drop a field that is needed"
CALLER = "limits: 8 KiB a line, 16 KiB and 100 fields a list; nginx has others, h11 leaves them to its caller"
H11_BOTH = "h11 lets Transfer-Encoding win; whoever reads Content-Length sees another end"
H11_METHODS = "h11 leaves methods to its caller"
H11_TARGETS = "h11 leaves targets to its caller"
REASONS = {
    "CL then TE": H11_BOTH,
    "TE then CL": H11_BOTH,
    "TE and CL on HTTP/1.0": H11_BOTH,
    "two equal CL": "h11 takes equal values for one, as RFC 9112, 6.3 permits",
    "CL list": "h11 takes equal values for one, as RFC 9112, 6.3 permits",
    "obs-fold": "h11 joins folded lines, as RFC 9112, 5.2 permits",
    "bare LF after a field": LINE_END,
    "bare LF everywhere": LINE_END,
    "LF ends a chunk line": LINE_END,
    "bare CR before the end": "nginx drops a CR before CR LF",
    "control character in a field": "taken there; RFC 9110, 5.5 permits refusing it",
    "no colon": "nginx skips lines that are no field",
    "CR in a chunk extension": "h11 skips extensions unread",
    "trailer Content-Length": TRAILERS,
    "trailer Host": TRAILERS,
    "trailer Authorization": TRAILERS,
    "trailer Transfer-Encoding": TRAILERS,
    "HTTP/1.2": "any 1.x is 1.1 there",
    "HTTP/2.0": "h11 leaves the version to its caller",
    "HTTP/2 preface": "h11 leaves the version to its caller",
    "lower-case method": H11_METHODS,
    "TRACE": H11_METHODS,
    "CONNECT": H11_METHODS,
    "two blanks in the line": "nginx skips further blanks",
    "100 KB field": CALLER,
    "1 MB target": CALLER,
    "101 fields": CALLER,
    "17 KiB of fields": CALLER,
    "empty Host": "h11 does not look into Host that far",
    "Host with a path": "h11 does not look into Host that far",
    "Host with an account": "they do not look into Host that far",
    "absolute form, other host": "a proxy serves other hosts; this is the origin of one",
    "absolute form, account": H11_TARGETS,
    "asterisk": H11_TARGETS,
    "TE on HTTP/1.0": "h11 reads chunks there too; a reader of HTTP/1.0 does not know them",
    "unknown expectation": "they ignore other expectations; RFC 9110, 10.1.1 permits 417",
    "two Authorizations": "h11 leaves fields to its caller",
    "two Content-Types": "two readers would see two types",
    "Connection: Authorization": PROXY,
    "Connection: Host": PROXY,
    "Connection: Content-Length": PROXY,
    "Connection: X-Request-Id": PROXY,
    "empty lines before": "RFC 9112, 2.2 asks a server for this leniency; h11 does not have it",
}


def verdict(status):
    return "accepts" if status and status < 400 else "refuses" + (f" {status}" if status else "")


class Nginx:
    """nginx in front of the lab's recorder."""

    def __init__(self, upstream):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="taskflow-attack-nginx."))
        self.folder.chmod(0o755)
        self.port = lab.free_port()
        (self.folder / "nginx.conf").write_text(f"""
            daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/error.log;
            events {{ worker_connections 64; }}
            http {{
                access_log off; client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/proxy;
                fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
                upstream back {{ server 127.0.0.1:{upstream}; }}
                server {{ listen 127.0.0.1:{self.port};
                    location / {{ proxy_pass http://back; proxy_http_version 1.1; proxy_set_header Connection "";
                                  proxy_set_header Transfer-Encoding ""; proxy_set_header Host a; }} }}
            }}""")
        self.process = subprocess.Popen(
            ["nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

        def is_up():
            with contextlib.suppress(OSError):
                return wire.once(self.port, wire.request("/media/x", close=True)) is not None

        lab.wait(is_up, 10)

    def stop(self):
        lab.end(self.process, 5)
        shutil.rmtree(self.folder, ignore_errors=True)


def ask(port, data):
    """The status of the first answer; None if the connection ended without one or nothing came."""
    try:
        with wire.Wire(port, timeout=3) as connection:
            connection.send(data)
            answer = connection.read()
            return answer.status if answer else None
    except (OSError, EOFError, ValueError):
        return None


def ask_h11(data):
    """What h11 says as a server: 200 when it has read one whole request."""
    connection = h11.Connection(h11.SERVER)
    try:
        connection.receive_data(data)
        for _ in range(10_000):
            event = connection.next_event()
            if isinstance(event, h11.EndOfMessage):
                return 200
            if event is h11.NEED_DATA or event is h11.PAUSED:
                return None
    except h11.RemoteProtocolError as error:
        return error.error_status_hint


def table(place, nginx):
    """Rows: form, the three verdicts, and why they differ."""
    rows = []
    for form in corpus.EVERYTHING:
        ours = verdict(ask(place.port, form.data))
        others = [verdict(ask(nginx.port, form.data)) if nginx else "-", verdict(ask_h11(form.data)) if h11 else "-"]
        differs = any(other != "-" and other.split()[0] != ours.split()[0] for other in others)
        rows.append((form.name, ours, *others, REASONS.get(form.name, "not explained") if differs else ""))
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=str(lab.REPOSITORY / ".build/debug/taskflow"))
    parser.add_argument("--output", help="a file for the table, Markdown")
    arguments = parser.parse_args()
    lab.BINARY = os.environ["TASKFLOW_ATTACK_BINARY"] = str(pathlib.Path(arguments.binary).resolve())
    place = lab.Lab()
    nginx = None
    try:
        nginx = Nginx(place.origin.ports["organization"]) if shutil.which("nginx") else None
        rows = table(place, nginx)
    finally:
        if nginx:
            nginx.stop()
        place.stop()
    lines = ["| form | this gateway | nginx | h11 | why they differ |", "|---|---|---|---|---|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    if arguments.output:
        pathlib.Path(arguments.output).write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    unexplained = [row[0] for row in rows if row[-1] == "not explained"]
    compared = {name: "compared" if there else "not installed" for name, there in (("nginx", nginx), ("h11", h11))}
    print(
        f"\n{len(rows)} forms; nginx {compared['nginx']}, h11 {compared['h11']}; "
        f"{sum(bool(row[-1]) for row in rows)} differ, {len(unexplained)} unexplained {unexplained or ''}"
    )
    return 1 if unexplained else 0


if __name__ == "__main__":
    raise SystemExit(main())
