"""HTTP/1.1 as bytes on a socket: sends what it is told, however wrong, and reads what comes back."""

import json
import socket
import time


class Answer:
    """One answer: status, fields as they came (lower-case names), body, and whether the connection goes on."""

    def __init__(self, status, fields, body):
        self.status = status
        self.fields = fields
        self.body = body

    def __getitem__(self, name):
        return next((value for key, value in self.fields if key == name.lower()), None)

    def __contains__(self, name):
        return self[name] is not None

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def closes(self):
        return "close" in (self["connection"] or "").lower()

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


class Wire:
    """A connection to a port of this machine, from any of the addresses of 127.0.0.0/8."""

    def __init__(self, port, source=None, timeout=20, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        """Sends as much as the other side takes; false if it has closed."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def _more(self):
        try:
            part = self.socket.recv(65536)
        except ConnectionResetError:
            part = b""
        self.buffer += part
        return bool(part)

    def _line(self):
        while b"\n" not in self.buffer:
            if not self._more():
                return None
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r")

    def _exactly(self, count):
        while len(self.buffer) < count:
            if not self._more():
                raise EOFError(f"the answer broke off: {self.buffer[:200]!r}")
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def read(self, is_head=False, interim=False):
        """The next answer; None at the end of the connection. Answers of 1xx are skipped unless `interim`."""
        while True:
            line = self._line()
            if line is None:
                return None
            version, status = line.split(b" ", 2)[:2]
            if not version.startswith(b"HTTP/1."):
                raise ValueError(f"no status line: {line[:100]!r}")
            fields = []
            while line := self._line():
                name, value = line.split(b":", 1)
                fields.append((name.decode("latin-1").lower(), value.strip().decode("latin-1")))
            answer = Answer(int(status), fields, b"")
            if answer.status >= 200 or interim:
                break
        if answer.status < 200 or answer.status in (204, 304) or is_head:
            return answer
        if answer["transfer-encoding"] == "chunked":
            while size := int(self._line().split(b";")[0], 16):
                answer.body += self._exactly(size)
                self._line()
            self._line()
        elif answer["content-length"] is not None:
            answer.body = self._exactly(int(answer["content-length"]))
        else:
            while self._more():
                pass
            answer.body, self.buffer = self.buffer, b""
        return answer

    def read_all(self):
        """Every answer up to the end of the connection."""
        answers = []
        while answer := self.read():
            answers.append(answer)
        return answers

    def is_closed(self, within=3):
        """Whether the other side ends the connection within some seconds."""
        self.socket.settimeout(within)
        try:
            return not self._more()
        except TimeoutError:
            return False


def request(path, *fields, method="GET", body=None, host="a", version="1.1", close=False):
    """The bytes of a request in good order."""
    lines = [f"{method} {path} HTTP/{version}", f"Host: {host}", *fields]
    if body is not None and not any(f.lower().startswith("transfer-encoding:") for f in fields):
        lines.append(f"Content-Length: {len(body)}")
    if close:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


def once(port, data, source=None, timeout=20, is_head=False):
    """The first answer to some bytes on a connection of their own; None if there was none."""
    with Wire(port, source, timeout) as wire:
        wire.send(data)
        return wire.read(is_head=is_head)


def every(port, data, source=None, timeout=20):
    """All answers to some bytes on a connection of their own, which the gateway has to end."""
    with Wire(port, source, timeout) as wire:
        wire.send(data)
        return wire.read_all()


def timed(function, *arguments, **named):
    """How long a call takes, in seconds, and what it gives."""
    start = time.perf_counter()
    value = function(*arguments, **named)
    return time.perf_counter() - start, value


def percentile(values, part):
    """The value below which `part` of the values are; 0.99 for p99."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
