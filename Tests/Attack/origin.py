"""What stands behind the gateway under attack: a strict recorder in the place of every service, and a key server.

It reads requests by the letter; whatever is not in perfect order it keeps as a violation. What it answers is chosen by
the query of the request (`?lab=hang`), since the gateway has to send that on unchanged.
"""

import asyncio
import json
import re
import threading
import time

SERVICES = ("auth", "organization", "project", "task", "notification")
# What is on every answer and no client gets to see; gateway and services have their own words for some of it.
HIDDEN = ("Server", "x-Powered-By", "X-Internal-Host", "Taskflow-Note", "Taskflow_Note", "Via",
          "Access-Control-Allow-Methods")
HEAD = re.compile(rb"([A-Z]+) (/[!-~]*) HTTP/1\.1\r\n((?:[!-9;-~]+:[^\r\n\x00]*\r\n)*)\r\n")


class Seen:
    """A request as it arrived."""

    def __init__(self, service, method, target, fields, body, connection):
        self.service, self.method, self.target = service, method, target
        self.fields, self.body, self.connection = fields, body, connection

    def __getitem__(self, name):
        return next((value for key, value in self.fields if key == name.lower()), None)

    def all(self, name):
        return [value for key, value in self.fields if key == name.lower()]

    @property
    def path(self):
        return self.target.split("?")[0]


class Origin:
    """Listens on a port for each service and one for the keys."""

    def __init__(self):
        self.seen, self.violations, self.fetches = [], [], []
        self.keys, self.ports, self.hanging = [], {}, set()
        self.hang_seconds = 60
        self._connections = 0
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        started.wait(10)

    def _run(self, started):
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        started.set()
        self._loop.run_forever()

    async def _listen(self):
        for name in (*SERVICES, "keys"):

            async def serve(reader, writer, name=name):
                try:
                    await (self._keys(reader, writer) if name == "keys" else self._serve(name, reader, writer))
                except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                    pass
                finally:
                    writer.close()

            server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20, backlog=512)
            self.ports[name] = server.sockets[0].getsockname()[1]

    def stop(self):
        async def leave():
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            self._loop.stop()

        asyncio.run_coroutine_threadsafe(leave(), self._loop)
        self._thread.join(10)

    def since(self, count):
        """What has arrived after the first `count`."""
        return self.seen[count:]

    async def _keys(self, reader, writer):
        while await reader.readuntil(b"\r\n\r\n"):
            self.fetches.append(time.monotonic())
            body = json.dumps({"keys": self.keys}).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            await writer.drain()

    async def _serve(self, service, reader, writer):
        self._connections += 1
        number = self._connections
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError as error:
                if error.partial:
                    self.violations.append((service, "cut off", error.partial))
                return
            match = HEAD.fullmatch(head)
            if not match:
                self.violations.append((service, "head", head))
                return
            method, target, lines = (part.decode("latin-1") for part in match.groups())
            fields = [
                (name.lower(), value.strip())
                for name, value in (line.split(":", 1) for line in lines.split("\r\n") if line)
            ]
            seen = Seen(service, method, target, fields, b"", number)
            if target == "/health/ready":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                continue
            seen.body = await self._body(seen, reader)
            if seen.body is None:
                return
            self.seen.append(seen)
            if not await self._answer(seen, writer):
                return

    async def _body(self, seen, reader):
        lengths, codings = seen.all("content-length"), seen.all("transfer-encoding")
        if len(lengths) + len(codings) > 1 or codings not in ([], ["chunked"]):
            self.violations.append((seen.service, "framing", (lengths, codings)))
            return None
        if not codings:
            return await reader.readexactly(int(lengths[0])) if lengths else b""
        body = b""
        while True:
            line = await reader.readuntil(b"\r\n")
            if not re.fullmatch(rb"[0-9a-f]{1,8}\r\n", line):
                self.violations.append((seen.service, "chunk", line))
                return None
            size = int(line, 16)
            data = await reader.readexactly(size + 2)
            if data[size:] != b"\r\n":
                self.violations.append((seen.service, "chunk end", data[size:]))
                return None
            if not size:
                return body
            body += data[:size]

    async def _answer(self, seen, writer):
        """Answers; false ends the connection."""
        wish = re.search(r"[?&]lab=([a-z]+)", seen.target)
        wish = wish.group(1) if wish else ""
        if seen.service in self.hanging or wish == "hang":
            await asyncio.sleep(self.hang_seconds)
            return False
        if wish == "drop":
            return False
        if wish == "late":
            await asyncio.sleep(1.5)
        if wish in ("big", "sized"):
            size = int(seen.target.rsplit("=", 1)[1]) if wish == "sized" else 8 << 20
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % size)
            for start in range(0, size, 1 << 16):
                writer.write(b"b" * min(1 << 16, size - start))
                await writer.drain()
            return True
        body = json.dumps(
            {
                "id": seen["x-request-id"],
                "target": seen.target,
                "service": seen.service,
                "method": seen.method,
                "length": len(seen.body),
            }
        ).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Lab: kept\r\n" + b"".join(
            name.encode() + b": hidden/1.2\r\n" for name in HIDDEN
        )
        forged = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\npoisoned"
        if seen.method == "HEAD":
            body = b""
        wrong = {
            "extra": b"Content-Length: %d\r\n\r\n" % len(body) + body + forged,
            "both": b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + forged,
            "twice": b"Content-Length: 3\r\nContent-Length: %d\r\n\r\n" % len(body) + body + forged,
            "chunks": b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
            "short": b"Content-Length: 99999\r\n\r\nabc",
            "folded": b"X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
        }.get(wish)
        if wish == "rubbish":
            head, wrong = b"", b"rubbish from 10.1.2.3 at line 7\r\n\r\n"
        if wish == "upgrade":
            head, wrong = b"", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + forged
        writer.write(head + (wrong or b"Content-Length: %d\r\n\r\n" % len(body) + body))
        await writer.drain()
        return wish not in ("chunks", "short", "rubbish", "folded")
