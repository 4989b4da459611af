"""Section 8 at the front door: bytes on the wire."""
import concurrent.futures
import socket

import support
from support import *


def connect():
    url = urllib.parse.urlsplit(support.ORIGIN)
    return socket.create_connection((url.hostname, url.port), timeout=20)


def read_answers(connection, count=None, heads=()):
    """Answers on a connection until it ends, or `count` of them; those at the places `heads` are to HEAD."""
    stream = connection.makefile("rb")
    answers = []
    while count is None or len(answers) < count:
        line = stream.readline()
        if not line:
            break
        status = int(line.split(b" ")[1])
        headers = http.client.parse_headers(stream)
        body = b""
        if headers.get("Transfer-Encoding") == "chunked":
            while size := int(stream.readline(), 16):
                body += stream.read(size)
                stream.readline()
            stream.readline()
        elif len(answers) not in heads and status >= 200:
            body = stream.read(int(headers.get("Content-Length", 0)))
        answers.append(Answer(status, headers, body))
    return answers


def exchange(data, count=None, **kw):
    with connect() as connection:
        connection.sendall(data)
        return read_answers(connection, count, **kw)


def get(path, *fields, method="GET", close=False):
    lines = [f"{method} {path} HTTP/1.1", "Host: a", *fields] + (["Connection: close"] if close else [])
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class AuditFraming(Case):
    def test_pipelining_keeps_order(self):
        admin = sign_up()
        token = f"Authorization: Bearer {admin.access}"
        paths = ["/api/organization/", "/health/live", "/api/nothing", "/api/organization/members/", "/api/account/",
                 "/health/ready", "/api/project/tasks/"]
        data = b"".join(get(p, token, f"X-Request-Id: n{i}") for i, p in enumerate(paths[:-1]))
        data += get(paths[-1], token, f"X-Request-Id: n{len(paths) - 1}", close=True)
        answers = exchange(data)
        self.assertEqual([a.headers["X-Request-Id"] for a in answers], [f"n{i}" for i in range(len(paths))])
        self.assertEqual([a.status for a in answers], [200, 200, 404, 200, 200, 200, 200])

    def test_pipelined_writes_and_head(self):
        admin = sign_up()
        token = f"Authorization: Bearer {admin.access}"
        body = b'{"department_name": "one"}'
        post = get("/api/organization/departments/", token, "Content-Type: application/json",
                   f"Content-Length: {len(body)}", method="POST") + body
        answers = exchange(post + get("/api/organization/", token, method="HEAD")
                           + get("/api/organization/departments/1/", token, close=True), heads=(1,))
        self.assertEqual([a.status for a in answers], [201, 200, 200])
        self.assertEqual(answers[2].json["department_name"], "one")

    def test_keep_alive_goes_on_after_an_error(self):
        with connect() as connection:
            for path, status in (("/api/nothing", 404), ("/api/organization/", 401), ("/health/live", 200)):
                connection.sendall(get(path))
                self.assertEqual(read_answers(connection, 1)[0].status, status)
            connection.sendall(get("/api/account/login/", "Content-Type: application/json", "Content-Length: 1",
                                   method="POST") + b"{")
            self.assertEqual(read_answers(connection, 1)[0].status, 400)
            connection.sendall(get("/health/live", close=True))
            answer = read_answers(connection)[0]
            self.assertEqual((answer.status, answer.headers["Connection"].lower()), (200, "close"))

    def test_old_clients(self):
        answers = exchange(b"GET /health/live HTTP/1.0\r\n\r\n")
        self.assertEqual([a.status for a in answers], [200])
        self.assertNotIn("Transfer-Encoding", answers[0].headers)
        answers = exchange(b"GET /api/openapi.json HTTP/1.0\r\nHost: a\r\n\r\n")
        self.assertEqual(json.loads(answers[0].body)["openapi"][:3], "3.1")

    def test_chunked_bodies(self):
        admin = sign_up()
        head = get("/api/organization/departments/", f"Authorization: Bearer {admin.access}",
                   "Content-Type: application/json", "Transfer-Encoding: chunked", method="POST", close=True)
        body = b'{"department_name": "chunky"}'
        pieces = b"".join(b"%x\r\n%c\r\n" % (1, byte) for byte in body) + b"0\r\n\r\n"
        answers = exchange(head + pieces)
        self.assertEqual((answers[0].status, answers[0].json["department_name"]), (201, "chunky"))
        extended = b"1d;name=value\r\n" + body.replace(b"chunky", b"second") + b"\r\n0\r\nX-Trailer: 1\r\n\r\n"
        self.assertIn(exchange(head + extended)[0].status, (201, 400))
        for broken in (b"zz\r\n{}\r\n0\r\n\r\n", b"-2\r\n{}\r\n0\r\n\r\n", b"0x2\r\n{}\r\n0\r\n\r\n", b"2\n{}\n0\n\n",
                       b"2\r\n{}0\r\n\r\n", b"ffffffffffffffffff\r\n", b"2 \r\n{}\r\n0\r\n\r\n"):
            with self.subTest(broken=broken):
                answers = exchange(head + broken)
                self.assertEqual(len(answers), 1)
                self.assertEqual(answers[0].status, 400)
        big = b"100000\r\n" + b" " * 0x100000 + b"\r\n1\r\n \r\n0\r\n\r\n"
        try:
            self.assertEqual(exchange(head + big)[0].status, 413)
        except (ConnectionResetError, BrokenPipeError):
            pass

    def test_smuggling(self):
        login = "POST /api/account/login/ HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        smuggled = "GET /health/live HTTP/1.1\r\nHost: a\r\nX-Smuggled: 1\r\n\r\n"
        forms = ["Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
                 "Content-Length: 2, 2\r\n\r\n{}", "Content-Length: +2\r\n\r\n{}", "Content-Length: -1\r\n\r\n",
                 "Content-Length: 0x2\r\n\r\n{}", "Content-Length:\r\n\r\n{}", "Content-Length: 99999999999999999999\r\n\r\n",
                 "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
                 "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                 "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
                 "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                 "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
                 "Content-Length: 2\r\n X: folded\r\n\r\n{}", "X: a\nContent-Length: 2\r\n\r\n{}", "X: a\rb\r\n\r\n",
                 "X: a\x00b\r\n\r\n", ": empty\r\n\r\n", "X Y: z\r\n\r\n", "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
                 "Connection: Authorization\r\n\r\n", "Connection: Content-Length\r\nContent-Length: 2\r\n\r\n{}"]
        for form in forms:
            with self.subTest(form=form):
                answers = exchange((login + form + smuggled).encode("latin-1"))
                self.assertIn(answers[0].status, (400, 413, 501), answers)
                # Refused and closed: what follows is never read as a request.
                self.assertEqual(len(answers), 1, answers)
        first = exchange((login + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n").encode())
        self.assertEqual([a.status for a in first], [501])
        self.assertEqual([a.status for a in exchange(b"POST /api/account/login HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")],
                         [400])

    def test_paths(self):
        for path in ("/api/./account", "/api/account/..", "/api/%2E%2E/x", "/api//account", "/api/%5cx", "/api/\\x", "/api/a%00",
                     "/api/%", "/api/%4", "/api/a#b", "http://other.example/api/account/", "/api/%2fx"):
            with self.subTest(path=path):
                self.assertEqual(exchange(get(path, close=True))[0].status, 400)
        self.assertEqual(exchange(get("http://a/health/live", close=True))[0].status, 200)
        self.assertEqual(exchange(b"get /health/live HTTP/1.1\r\nHost: a\r\n\r\n")[0].status in (400, 405, 501), True)
        for line in (b"GET /health/live HTTP/1.2\r\n", b"GET /health/live HTTP/2.0\r\n", b"GET  /health/live HTTP/1.1\r\n",
                     b"GET /health/live\r\n", b"GET /h\xc3\xa9 HTTP/1.1\r\n"):
            answers = exchange(line + b"Host: a\r\n\r\n")
            self.assertIn(answers[0].status if answers else 400, (400, 505), line)

    def test_identity_headers_are_not_believed(self):
        admin, other = sign_up(), sign_up()
        target = other.login_answer["organization"]["id"]
        for name in ("X-Org-Id", "X_Org_Id", "X-Internal-Organization", "X-Organization-Id", "X-User-Role", "X-Internal-Position",
                     "x-internal-credential", "X-Forwarded-User"):
            answer = admin.get("/api/organization/", headers={name: target})
            self.assertEqual(self.ok(answer)["id"], admin.login_answer["organization"]["id"], name)
        self.problem(Client().get("/internal/events?stream=organization.00&after=0"), 404)
        self.problem(Client().post("/internal/await-positions", {"positions": []}), 404)

    def test_large_downloads(self):
        admin = sign_up()
        p = project(admin)
        text = "ä€😀" * 11_000
        for _ in range(12):
            task(admin, p["id"], description=text)
        answer = admin.get("/api/project/tasks/?page_size=200")
        rows = self.ok(answer)["results"]
        self.assertEqual(len(rows), 12)
        self.assertTrue(all(r["description"] == text for r in rows))
        # A slow reader gets all of it.
        with connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(get("/api/project/tasks/?page_size=200",
                               f"Authorization: Bearer {admin.access}", close=True))
            time.sleep(0.3)
            self.assertEqual(read_answers(connection)[0].json, answer.json)

    def test_many_clients_at_once(self):
        admin = sign_up()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            def one(_):
                client = Client()
                client.access = admin.access
                return [client.get("/api/organization/").status for _ in range(5)]
            self.assertEqual({s for row in pool.map(one, range(32)) for s in row}, {200})
