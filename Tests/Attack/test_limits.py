"""How much, how long, how many: each limit at its edge, on both sides."""

import contextlib
import os
import resource
import socket
import threading
import time
import unittest

import lab
import wire

CONNECTIONS = int(os.environ.get("TASKFLOW_ATTACK_CONNECTIONS", "10000"))


class Limits(unittest.TestCase):
    def setUp(self):
        self.lab = lab.shared()

    def status(self, data, source=None):
        answer = self.lab.send(data, source=source)
        return answer.status if answer else None

    def test_GW_11_request_line_8_KiB(self):
        for length, status in ((8192, 200), (8193, 414), (65536, 414)):
            path = "/media/" + "a" * (length - len("GET /media/ HTTP/1.1"))
            self.assertEqual(self.status(wire.request(path, close=True)), status, length)

    def test_GW_11_header_list_16_KiB_and_100_fields(self):
        for count, status in ((100, 200), (101, 431), (1000, 431)):
            fields = [f"X{n}: a" for n in range(count - 2)]
            self.assertEqual(self.status(wire.request(lab.OPEN, *fields, close=True)), status, count)
        frame = len(wire.request(lab.OPEN, "X: ", close=True)) - len(f"GET {lab.OPEN} HTTP/1.1\r\n") - 2
        for size, status in ((16384, 200), (16385, 431), (100_000, 431)):
            self.assertEqual(
                self.status(wire.request(lab.OPEN, "X: " + "a" * (size - frame), close=True)), status, size
            )

    def test_GW_11_a_head_without_end_is_refused_while_it_comes(self):
        for start in (b"GET /" + b"a" * 9000, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 17000):
            with wire.Wire(self.lab.port) as connection:
                connection.send(start)
                self.assertIn(connection.read().status, (414, 431))
                self.assertTrue(connection.is_closed())

    def test_GW_11_json_body_1_MiB(self):
        bearer = self.lab.bearer()
        self.assertEqual(
            self.status(wire.request(lab.CLOSED, bearer, method="POST", body=b" " * 1048576, close=True)), 200
        )
        for body in (b" " * 1048577, b" " * 3_000_000):
            self.assertEqual(self.too_large(wire.request(lab.CLOSED, bearer, method="POST", body=body)), 413)
        # In chunks nobody knows before it has come.
        chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
        head = wire.request(lab.CLOSED, bearer, "Transfer-Encoding: chunked", method="POST")
        self.assertEqual(self.status(head + chunk * 16 + b"0\r\n\r\n"), 200)
        self.assertEqual(self.too_large(head + chunk * 16 + b"1\r\n \r\n0\r\n\r\n"), 413)
        # Credentials need far less.
        self.assertEqual(self.too_large(wire.request("/api/account/login/", method="POST", body=b" " * 16385)), 413)

    def test_GW_11_upload_6_MiB(self):
        path, bearer = "/api/account/profile-pic/", self.lab.bearer()
        answer = self.lab.send(wire.request(path, bearer, method="PUT", body=b"x" * 6291456, close=True))
        self.assertEqual((answer.status, answer.json["length"]), (200, 6291456))
        self.assertEqual(self.too_large(wire.request(path, bearer, method="PUT", body=b"x" * 6291457)), 413)

    def too_large(self, data):
        """The status, after making sure that the connection ends with it."""
        with wire.Wire(self.lab.port) as connection:
            connection.send(data)
            answer = connection.read()
            self.assertTrue(answer.closes)
            self.assertTrue(connection.is_closed())
            return answer.status

    def test_GW_11_a_reader_that_does_not_read_is_not_answered_ahead(self):
        """Pipelined requests whose answers nobody reads must not pile up in the gateway's memory."""
        document = len(self.lab.ask("/api/openapi.json").body)
        for path in ("/api/openapi.json", "/media/a?lab=big"):
            before = self.lab.resident()
            with wire.Wire(self.lab.port, receive_buffer=65536) as connection:
                connection.socket.settimeout(2)
                with contextlib.suppress(TimeoutError):
                    connection.socket.sendall(wire.request(path) * 4000)
                time.sleep(2)
                grown = self.lab.resident() - before
                self.assertLess(grown, 48, f"{grown:.0f} MiB for {path}; the document has {document} bytes")
                # It is held back, not lost.
                connection.socket.settimeout(20)
                for _ in range(2):
                    self.assertEqual(connection.read().status, 200)

    def test_GW_11_slow_reader_gets_all_of_it(self):
        with wire.Wire(self.lab.port, receive_buffer=16384) as connection:
            connection.send(wire.request("/media/a?lab=big", close=True))
            data = b""
            while part := connection.socket.recv(65536):
                data += part
                if len(data) < 1 << 18:
                    time.sleep(0.005)
            self.assertTrue(data.endswith(b"b" * 1000))
            self.assertEqual(len(data.split(b"\r\n\r\n", 1)[1]), 8 << 20)


class Connections(unittest.TestCase):
    """A gateway of its own, since it is filled up."""

    @classmethod
    def setUpClass(cls):
        # Idle connections are to stay, however long a busy machine takes to open all of them.
        cls.lab = lab.Lab(edit=lambda text: text.replace("idle_timeout 60s", "idle_timeout 5m"))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        cls.room = hard - 500

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def open(self, count, source):
        """Connections of one address that stay open; some may be refused."""
        sockets = []
        for _ in range(count):
            s = socket.socket()
            s.bind((source, 0))
            s.settimeout(10)
            s.connect(("127.0.0.1", self.lab.port))
            sockets.append(s)
        return sockets

    def served(self, sockets):
        """How many of them answer; the rest were closed at once."""
        count = 0
        for s in sockets:
            with contextlib.suppress(OSError):
                s.sendall(wire.request("/health/live"))
                count += s.recv(4096).startswith(b"HTTP/1.1 200")
        return count

    def test_GW_11_1000_connections_of_one_address(self):
        sockets = self.open(1050, "127.0.1.1")
        try:
            self.assertEqual(self.served(sockets), 1000)
            # Other addresses do not notice, and what is closed may be opened again.
            self.assertEqual(self.lab.ask("/health/live", source="127.0.1.2").status, 200)
            for s in sockets[:100]:
                s.close()
            lab.wait(lambda: self.lab.ask("/health/live", source="127.0.1.1"), 10)
        finally:
            for s in sockets:
                s.close()

    def test_GW_11_10000_connections(self):
        wanted = min(CONNECTIONS, self.room)
        before = self.lab.resident()
        start = time.monotonic()
        sockets = []
        try:
            for block in range(-(-wanted // 900)):
                sockets += self.open(min(900, wanted - len(sockets)), f"127.0.2.{block + 1}")
            opened = time.monotonic() - start
            self.assertEqual(self.served(sockets), wanted)
            answer = self.lab.ask(lab.OPEN, source="127.0.3.1") if wanted < 10000 else None
            if answer is None:
                # The next one is one too many, whoever asks.
                with contextlib.suppress(OSError, ValueError):
                    self.assertIsNone(self.lab.ask(lab.OPEN, source="127.0.3.1"))
                sockets.pop().close()
                answer = lab.wait(self.try_ask, 10)
            self.assertEqual(answer.status, 200)
            print(
                f"\n  {wanted} connections opened in {opened:.1f} s, all served; "
                f"{self.lab.resident() - before:.0f} MiB more",
                flush=True,
            )
        finally:
            for s in sockets:
                s.close()

    def try_ask(self):
        try:
            return self.lab.ask(lab.OPEN, source="127.0.3.1")
        except OSError:
            return None


class Slow(unittest.TestCase):
    """Clients that take their time, all at once, since each takes as long as its limit."""

    HEAD, BODY, IDLE = 10, 30, 60

    def setUp(self):
        self.lab = lab.shared()

    def drip(self, start, piece, every, longest, results, name):
        """Sends a piece every so often until the gateway ends it; keeps how long that took and the status."""
        begin = time.monotonic()
        with wire.Wire(self.lab.port, timeout=longest) as connection:
            connection.send(start)
            connection.socket.settimeout(every)
            data = b""
            while time.monotonic() - begin < longest:
                try:
                    part = connection.socket.recv(4096)
                    data += part
                    if not part:
                        break
                except TimeoutError:
                    if piece and not connection.send(piece):
                        break
                except ConnectionResetError:
                    break
            results[name] = (time.monotonic() - begin, data[9:12].decode())

    def run_all(self, cases, longest):
        results = {}
        threads = [threading.Thread(target=self.drip, args=(*case[1:], longest, results, case[0])) for case in cases]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def test_GW_11_slow_heads_end_after_10_s(self):
        results = self.run_all(
            [
                ("a byte a second", b"G", b"E", 1),
                ("a field a second", b"GET /media/x HTTP/1.1\r\nHost: a\r\n", b"X: a\r\n", 1),
                ("silence inside a head", b"GET /media/x HTTP/1.1\r\n", b"", 1),
                (
                    "a stalled small body",
                    wire.request(lab.CLOSED, self.lab.bearer(), "Content-Length: 50", method="POST"),
                    b"",
                    1,
                ),
            ],
            20,
        )
        for name, (seconds, status) in results.items():
            with self.subTest(name):
                self.assertEqual(status, "408")
                self.assertTrue(9 <= seconds <= 14, seconds)
        print("\n  " + "; ".join(f"{name}: {s:.1f} s" for name, (s, _) in results.items()), flush=True)

    def test_GW_11_slow_bodies_end_within_30_s_and_silence_after_60_s(self):
        def post(length):
            return wire.request(lab.CLOSED, self.lab.bearer(), f"Content-Length: {length}", method="POST")

        chunked = wire.request(lab.CLOSED, self.lab.bearer(), "Transfer-Encoding: chunked", method="POST")
        results = self.run_all(
            [
                ("a byte a second", post(5000), b"x", 1),
                ("a chunk a second", chunked, b"1\r\nx\r\n", 1),
                ("1.2 KiB a second", post(900_000), b"x" * 1230, 1),
                ("silence", b"", b"", 1),
                ("silence after an answer", wire.request(lab.OPEN), b"", 1),
            ],
            75,
        )
        limits = {
            "a byte a second": (9, 14),
            "a chunk a second": (9, 14),
            "1.2 KiB a second": (28, 35),
            "silence": (58, 66),
            "silence after an answer": (58, 66),
        }
        for name, (low, high) in limits.items():
            with self.subTest(name):
                seconds, status = results[name]
                self.assertTrue(low <= seconds <= high, seconds)
                self.assertEqual(status, {"silence": "", "silence after an answer": "200"}.get(name, "408"))
        print("\n  " + "; ".join(f"{name}: {s:.1f} s" for name, (s, _) in results.items()), flush=True)
