#!/usr/bin/env python3
"""A TCP proxy that does harm on request: one listening port for each link between two processes.

It is a process of its own, so that neither the load nor the judging waits for it. It reads one JSON object a line on
standard input and answers each with one on standard output:

    {"links": {"task-1>redis": ["127.0.0.1", 6379], ...}}    opens the links; the answer maps each to its port
    {"link": "task-1>redis", "set": {"latency": 0.2, "jitter": 0.1, "rate": 4096, "slice": true, "dead": true}}
    {"link": "task-1>redis", "set": {}}                      as good as a wire again
    {"link": "task-1>redis", "reset": true}                  resets every connection that is open
    {"counts": true}                                         connections and bytes of every link

A connection that was open, or was opened, while its link was `dead` (half-open: taken in, and nothing ever moves) stays
dead when the link is mended: that is what happens to a connection whose other end has vanished without a word.
"""
import asyncio
import json
import random
import socket
import struct
import sys

CHUNK = 65_536
# How much may be on its way in one direction before the sender is made to wait.
IN_FLIGHT = 262_144


class Link:
    """One direction of trust: who connects to whom, and what is done to the bytes between them."""

    def __init__(self, name, target):
        self.name, self.target = name, target
        self.setting = {}
        self.connections = set()
        self.opened = self.bytes = 0

    def get(self, name, default=None):
        return self.setting.get(name, default)


class Connection:
    """Two sockets and a pump in each direction."""

    def __init__(self, link, reader, writer):
        self.link = link
        self.near = (reader, writer)
        self.far = None
        self.is_dead = bool(link.get("dead"))

    async def run(self):
        self.link.connections.add(self)
        self.link.opened += 1
        try:
            if self.is_dead:
                # Taken in by nobody: what is sent is swallowed until the client gives up.
                while await self.near[0].read(CHUNK):
                    pass
                return
            try:
                self.far = await asyncio.open_connection(*self.link.target)
            except OSError:
                self.abort()
                return
            for _, writer in (self.near, self.far):
                writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await asyncio.gather(self.pump(self.near[0], self.far[1]), self.pump(self.far[0], self.near[1]))
        except (OSError, asyncio.IncompleteReadError):
            self.abort()
        finally:
            self.link.connections.discard(self)
            for pair in (self.near, self.far):
                if pair:
                    pair[1].close()

    async def pump(self, reader, writer):
        """Copies one direction; each chunk is held back for the link's latency without holding back its successors."""
        queue = asyncio.Queue()
        room = asyncio.Semaphore(IN_FLIGHT // CHUNK)
        loop = asyncio.get_running_loop()

        async def read():
            last = 0.0
            while True:
                try:
                    data = await reader.read(CHUNK)
                except OSError as error:
                    # A reset is handed on as one, after what came before it.
                    await queue.put((last, error))
                    return
                delay = self.link.get("latency", 0.0)
                if delay:
                    delay += random.random() * self.link.get("jitter", 0.0)
                # A stream keeps its order, whatever the jitter.
                last = max(last, loop.time() + delay)
                if not data:
                    await queue.put((last, None))
                    return
                await room.acquire()
                await queue.put((last, data))

        async def write():
            while True:
                due, data = await queue.get()
                wait = due - loop.time()
                if wait > 0:
                    await asyncio.sleep(wait)
                if isinstance(data, OSError):
                    raise data
                if data is None:
                    if not self.is_dead and writer.can_write_eof():
                        writer.write_eof()
                    return
                if not self.is_dead:
                    await self.send(writer, data)
                self.link.bytes += len(data)
                room.release()

        reading = asyncio.ensure_future(read())
        try:
            await write()
        finally:
            reading.cancel()
            try:
                await reading
            except asyncio.CancelledError:
                pass

    async def send(self, writer, data):
        rate = self.link.get("rate")
        if rate:
            step = max(1, int(rate / 20))
            for start in range(0, len(data), step):
                if self.is_dead:
                    return
                writer.write(data[start:start + step])
                await writer.drain()
                await asyncio.sleep(0.05 if self.link.get("rate") else 0)
        elif self.link.get("slice"):
            # Single bytes, and the network stack gets the chance to send each by itself. What is long is sliced at its
            # beginning only: a megabyte of single bytes would be a test of patience.
            for byte in data[:2048]:
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(0)
            writer.write(data[2048:])
            await writer.drain()
        else:
            writer.write(data)
            await writer.drain()

    def abort(self):
        """Both sides see a reset, not an orderly end."""
        for pair in (self.near, self.far):
            if pair:
                sock = pair[1].get_extra_info("socket")
                if sock is not None:
                    try:
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    except OSError:
                        pass
                pair[1].transport.abort()


class Proxy:
    def __init__(self):
        self.links = {}

    async def open(self, targets):
        ports = {}
        for name, (host, port) in targets.items():
            link = self.links[name] = Link(name, (host, port))

            async def accept(reader, writer, link=link):
                if link.get("refuse"):
                    Connection(link, reader, writer).abort()
                    return
                await Connection(link, reader, writer).run()

            server = await asyncio.start_server(accept, "127.0.0.1", 0, limit=CHUNK, backlog=512)
            ports[name] = server.sockets[0].getsockname()[1]
        return {"ports": ports}

    async def handle(self, command):
        if "links" in command:
            return await self.open(command["links"])
        if "counts" in command:
            return {"counts": {n: [k.opened, k.bytes] for n, k in self.links.items()}}
        link = self.links[command["link"]]
        if "set" in command:
            link.setting = command["set"]
            if link.get("dead"):
                for connection in link.connections:
                    connection.is_dead = True
        hit = len(link.connections)
        if command.get("reset"):
            for connection in list(link.connections):
                connection.abort()
        return {"connections": hit}


async def main():
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    proxy = Proxy()
    while line := await commands.readline():
        print(json.dumps(await proxy.handle(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
