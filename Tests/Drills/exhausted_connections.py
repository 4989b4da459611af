"""Others take every connection that Postgres has; services answer 503 with Retry-After and recover by themselves."""
import select
import socket
import struct
import subprocess
import threading
import time

from load import Company, Load
from stage import Stage, expect, wait_for

CONNECTIONS = 90


def drill(binary, say, keep=False):
    options = ["-c", f"max_connections={CONNECTIONS}", "-c", "authentication_timeout=600s"]
    stage = Stage(binary, postgres_options=options)
    guests = None
    try:
        stage.start()
        companies = [Company(stage.origins) for _ in range(2)]
        with Load(companies, rate=40) as load:
            time.sleep(4)
            calm = len(load.failures)
            taken_at = time.monotonic() - load.begun
            # The services' own connections are ended again and again, and others sit down in their places.
            watch = evict(stage)
            guests = Guests(stage.postgres.port)
            time.sleep(4)
            watch.kill()
            time.sleep(10)
            most = guests.stop()
            free_at = time.monotonic() - load.begun
            wait_for(lambda: not [f for f in load.failures if f[0] > time.monotonic() - load.begun - 3],
                     "requests succeed again", 60, every=1)
            healed = time.monotonic() - load.begun - free_at
        during = [f for f in load.failures if f[0] >= taken_at]
        states = sorted({f[2] for f in during})
        say(f"{most} of {CONNECTIONS} connections taken for {free_at - taken_at:.0f} s: {load.figures()}, answered "
            f"{states}; well again {max(0, healed - 3):.0f} s after they were free")
        expect(during, "nothing failed although there were no connections")
        expect(calm == 0, f"failures before: {load.failures[:3]}")
        wrong = [f for f in load.failures if f[2] != 503 or not f[3]]
        expect(not wrong, f"other than 503 with Retry-After: {wrong[:5]}")
        for process in stage.processes:
            expect(process.process.poll() is None, f"{process.name} has ended")
        for company in companies:
            company.check()
        stage.wait_quiet()
        say(stage.verify())
    finally:
        if guests:
            guests.stop()
        stage.close(keep)


def evict(stage):
    """Ends the sessions of all services five times a second."""
    process = subprocess.Popen(["psql", "-Xq", stage.postgres.admin], stdin=subprocess.PIPE, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    process.stdin.write("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename LIKE '%\\_app' "
                        "\\watch 0.2\n")
    process.stdin.flush()
    # It has to be connected before the guests come.
    expect(process.stdout.readline(), "no session to end the others with")
    return process


class Guests:
    """Connections that are begun and never authenticated: each takes one of the server's places."""

    def __init__(self, port):
        self.port = port
        self.sockets = []
        self.most = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.hold, daemon=True)
        self.thread.start()

    def hold(self):
        body = struct.pack("!i", 196608) + b"user\0guest\0database\0taskflow\0\0"
        hello = struct.pack("!i", len(body) + 4) + body
        while not self.stopping.is_set():
            for _ in range(8):
                sock = socket.create_connection(("127.0.0.1", self.port), timeout=5)
                sock.sendall(hello)
                self.sockets.append(sock)
            time.sleep(0.02)
            answers = [(sock, self.answer(sock)) for sock in self.sockets]
            for sock, answer in answers:
                if answer not in (b"R", None):
                    sock.close()
            self.sockets = [sock for sock, answer in answers if answer in (b"R", None)]
            self.most = max(self.most, sum(answer == b"R" for _, answer in answers))

    @staticmethod
    def answer(sock):
        """`R` from a server that wants a password, anything else from one that refuses; None before it says so."""
        readable, _, _ = select.select([sock], [], [], 0)
        try:
            return sock.recv(1, socket.MSG_PEEK) if readable else None
        except OSError:
            return b""

    def stop(self):
        """How many places they had at most."""
        self.stopping.set()
        self.thread.join(10)
        for sock in self.sockets:
            sock.close()
        self.sockets = []
        return self.most
