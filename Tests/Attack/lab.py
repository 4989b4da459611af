"""A gateway under attack with everything around it in our hands: its services, its keys, its Redis, its configuration.

What a service gets to see, which tokens are good and how often keys are fetched can only be known from that side. The
route table is that of the repository, so what holds here holds for the routes that are shipped.
"""

import base64
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid

import ed25519
import origin
import wire

HERE = pathlib.Path(__file__).resolve().parent
# At the end: both folders have a run.py.
sys.path.append(str(HERE.parent / "Acceptance"))
from stores import free_port, surroundings  # noqa: E402

REPOSITORY = HERE.parent.parent
BINARY = os.environ.get("TASKFLOW_ATTACK_BINARY", "")
SECRET_KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
KEY_ID = "lab-key"
OPEN, CLOSED = "/media/x", "/api/project/tasks/"


def encode(data):
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def compact(value):
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


class Lab:
    """`edit` may change the configuration's text; `settings` are those of the gateway."""

    def __init__(self, settings=None, edit=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="taskflow-attack."))
        self.origin = origin.Origin()
        self.origin.keys = [self.jwk(SECRET_KEY, KEY_ID)]
        self.port, self.admin = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.configuration = self.folder / "gateway.conf"
        text = (REPOSITORY / "gateway.conf").read_text()
        text = text.replace("jwt {", f"jwt {{\n    jwks http://127.0.0.1:{self.origin.ports['keys']}/jwks.json", 1)
        self.text = edit(text) if edit else text
        self.configuration.write_text(self.text)
        self.log = self.folder / "gateway.log"
        self.environment = {
            **surroundings(),
            "TASKFLOW_SECRET": "s" * 40,
            "TASKFLOW_PUBLIC_URL": self.url,
            "TASKFLOW_LOG_FORMAT": "json",
            "TASKFLOW_REDIS_URL": f"unix://{self.folder}/redis.sock",
            "TASKFLOW_RATE_LIMITS": "off",
            "TASKFLOW_GATEWAY_CONFIG": str(self.configuration),
            "TASKFLOW_LOG_LEVEL": "info",
            "TASKFLOW_GATEWAY_DRAIN": "0",
            **{f"TASKFLOW_UPSTREAM_{name.upper()}": f"127.0.0.1:{self.origin.ports[name]}" for name in origin.SERVICES},
            **(settings or {}),
        }
        self.redis = None
        self.start_redis()
        self.gateway = self.start_gateway(self.port, self.admin)

    def start_redis(self):
        socket_path = self.folder / "redis.sock"
        self.redis = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", str(socket_path), "--save", "", "--dir", str(self.folder)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait(lambda: self.command("PING") == "PONG", 10)
        # The part of Auth: this server knows of everything that was revoked.
        run_id = re.search(r"run_id:(\w+)", self.command("INFO", "server")).group(1)
        self.command("SET", "{auth}:confirmed", run_id)

    def start_gateway(self, port, admin):
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [BINARY, "serve", "gateway"],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={
                    **self.environment,
                    "TASKFLOW_GATEWAY_LISTEN": f"127.0.0.1:{port}",
                    "TASKFLOW_GATEWAY_ADMIN": f"127.0.0.1:{admin}",
                },
            )
        try:
            wait(lambda: process.poll() is not None or is_ready(port), 60)
        except AssertionError:
            pass
        if process.poll() is not None or not is_ready(port):
            raise RuntimeError("the gateway did not start:\n" + self.log.read_text()[-3000:])
        return process

    def stop(self):
        for process in (self.gateway, self.redis):
            end(process)
        self.origin.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def command(self, *words):
        """One command to Redis; text, number or None."""
        with socket.socket(socket.AF_UNIX) as s, contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
            s.settimeout(5)
            s.connect(str(self.folder / "redis.sock"))
            parts = [str(word).encode() for word in words]
            s.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
            stream = s.makefile("rb")
            line = stream.readline().rstrip().decode()
            if line.startswith("$"):
                return stream.read(int(line[1:])).decode() if line != "$-1" else None
            return int(line[1:]) if line.startswith(":") else line[1:]

    # Tokens

    @staticmethod
    def jwk(secret, key_id):
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": encode(ed25519.public_key(secret)),
            "kid": key_id,
            "use": "sig",
            "alg": "EdDSA",
        }

    def claims(self, **changes):
        """Good claims, with changes; None leaves one out."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": "taskflow",
            "sub": str(uuid.uuid4()),
            "org": str(uuid.uuid4()),
            "role": "ADMIN",
            "sid": str(uuid.uuid4()),
            "gen": 0,
            "jti": uuid.uuid4().hex,
            "iat": now,
            "exp": now + 300,
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, claims=None, header=None, secret=SECRET_KEY, **changes):
        """A signed token; header and claims may be bytes to be signed as they are."""
        header = {"alg": "EdDSA", "typ": "at+jwt", "kid": KEY_ID} if header is None else header
        signed = f"{encode(compact(header))}.{encode(compact(self.claims(**changes) if claims is None else claims))}"
        return f"{signed}.{encode(ed25519.sign(secret, signed.encode()))}"

    def bearer(self, **changes):
        return f"Authorization: Bearer {self.token(**changes)}"

    # Requests

    def ask(self, path, *fields, source=None, timeout=20, **named):
        return wire.once(self.port, wire.request(path, *fields, close=True, **named), source, timeout)

    def send(self, data, **named):
        return wire.once(self.port, data, **named)

    def logs(self):
        """The gateway's log, a record a line."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def metric(self, name):
        text = wire.once(self.admin, wire.request("/metrics", close=True)).body.decode()
        found = re.search(rf"^{name}(?:\{{\}})? (\S+)$", text, re.MULTILINE)
        return float(found.group(1)) if found else 0.0

    def resident(self):
        """Memory of the gateway in MiB."""
        return resident(self.gateway.pid)


def resident(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) / 1024


def is_ready(port):
    try:
        answer = wire.once(port, wire.request("/health/ready", close=True), timeout=3)
        return answer is not None and answer.status == 200
    except OSError:
        return False


def wait(check, seconds=15, every=0.05):
    """Waits until `check` gives something true, and gives it."""
    deadline = time.monotonic() + seconds
    while not (value := check()):
        assert time.monotonic() < deadline, f"did not happen within {seconds} s"
        time.sleep(every)
    return value


def end(process, seconds=45):
    """Stops a process of ours."""
    if process is None or process.poll() is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


_shared = None


def shared():
    """The lab that most tests use, without rate limits."""
    global _shared
    if _shared is None:
        _shared = Lab()
    return _shared


def stop_shared():
    if _shared:
        _shared.stop()
