"""Sections 1 and 8: what holds for every endpoint, and the gateway."""
import socket

from support import *


class Errors(Case):
    def test_routes_methods_tokens(self):
        anonymous = Client()
        self.problem(anonymous.get("/api/nothing/"), 404)
        self.problem(anonymous.get("/"), 404)
        answer = anonymous.put("/api/account/login/", {})
        self.problem(answer, 405)
        self.assertEqual(set(answer.headers["Allow"].replace(" ", "").split(",")) - {"OPTIONS"}, {"POST"})
        answer = anonymous.patch("/api/project/tasks/", {})
        self.problem(answer, 405)
        self.assertEqual(set(answer.headers["Allow"].replace(" ", "").split(",")) - \
                         {"OPTIONS"}, {"GET", "HEAD", "POST"})
        self.problem(anonymous.get("/api/account/"), 401)
        for path in ("/internal/events?stream=task.00&after=0", "/metrics",
                     "/api/account/../account/", "//api/account/"):
            self.assertIn(anonymous.get(path).status, (400, 404), path)

    def test_bodies(self):
        admin = sign_up()
        path = "/api/project_management/projects/"
        for raw in (b"{", b"[]", b'"x"', b"", b'{"name": "a", "name": "b"}', b'{"name": "\\ud800"}', b'{"name": 1} x',
                    b'{"name": "\xff"}', b'{"a":' * 40 + b"1" + b"}" * 40):
            with self.subTest(raw=raw[:30]):
                self.problem(admin.post(path, raw=raw), 400)
        self.problem(
    admin.post(
        path,
        raw=b"name=x",
        headers={
            "Content-Type": "application/x-www-form-urlencoded"}),
             415)
        self.problem(admin.post(path, raw=b'{"name": "' + b"x" * 1_100_000 + b'"}'), 413)
        for value in (5, True, None, ["x"], {"a": 1}):
            self.problem(admin.post(path, {"name": value}), 422, pointer="/name")
        self.assertEqual(admin.pages(path), [])

    def test_not_found_and_foreign_look_alike(self):
        a, b = sign_up(), sign_up()
        for _ in range(3):
            project(a)
        p = project(a)
        foreign = self.problem(b.get(f"/api/project_management/projects/{p['id']}/"), 404)
        random = self.problem(b.get("/api/project_management/projects/424242/"), 404)
        for body in (foreign, random):
            body.pop("request_id")
            body.pop("instance")
        self.assertEqual(foreign, random)


class Headers(Case):
    def test_request_id(self):
        self.assertEqual(
    Client().get(
        "/api/nothing",
        headers={
            "X-Request-Id": "abc-123"}).headers["X-Request-Id"],
             "abc-123")
        for bad in ("x" * 65, "a b", "a_b"):
            self.assertNotEqual(
    Client().get(
        "/api/nothing",
        headers={
            "X-Request-Id": bad}).headers["X-Request-Id"],
             bad)

    def test_caching_and_security(self):
        admin = sign_up()
        answer = admin.get("/api/organization/")
        self.assertEqual(answer.headers["Cache-Control"], "private, no-cache")
        self.assertEqual(answer.headers["X-Content-Type-Options"], "nosniff")
        self.assertIn("default-src 'none'", answer.headers["Content-Security-Policy"])
        for name in answer.headers:
            self.assertFalse(name.lower().startswith("x-internal"), name)

    def test_head(self):
        admin = sign_up()
        got, head = admin.get("/api/organization/"), admin.send("HEAD", "/api/organization/")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.headers["ETag"], got.headers["ETag"])

    def test_slashes_are_optional(self):
        admin = sign_up()
        for path in ("/api/organization", "/api/project/tasks", "/api/account", "/api/notifications/preferences"):
            self.assertEqual(admin.get(path).status, 200, path)
            self.assertEqual(admin.get(path + "/").status, 200, path)

    def test_position(self):
        a, b = sign_up(), sign_up()
        answer = a.post("/api/project_management/projects/", {"name": "x"})
        position = answer.headers["Taskflow-Position"]
        self.assertTrue(position.startswith("v1."))
        self.assertEqual(a.get("/api/project/tasks/", headers={"Taskflow-Position": position}).status, 200)
        self.problem(b.get("/api/project/tasks/", headers={"Taskflow-Position": position}), 400)
        self.problem(a.get("/api/project/tasks/", headers={"Taskflow-Position": position[:-3] + "xxx"}), 400)

    def test_foreign_identity_headers_mean_nothing(self):
        self.problem(Client().get("/api/organization/users/", headers={
            "X-Internal-Credential": "x", "X-User-Id": str(uuid.uuid4()), "X-Org-Id": str(uuid.uuid4())}), 401)


class Gateway(Case):
    def test_health(self):
        for path in ("/health/live", "/health/ready"):
            self.assertEqual(Client().get(path).status, 200)

    def test_openapi_and_docs(self):
        document = self.ok(Client().get("/api/openapi.json"))
        self.assertTrue(document["openapi"].startswith("3.1"))
        paths = {p.rstrip("/") for p in document["paths"]}
        for path in ("/api/account/login", "/api/organization/users/{email}", "/api/project/tasks/{id}",
                     "/api/project_management/projects/{id}/collaborators/{email}", "/api/notifications/preferences"):
            self.assertTrue(any(re.sub(r"\{\w+\}", "{}", p) == re.sub(r"\{\w+\}", "{}", path) for p in paths), path)
        page = Client().get("/api/docs")
        self.assertEqual(page.status, 200)
        self.assertIn("text/html", page.headers["Content-Type"])
        self.assertNotRegex(page.body.decode(), r'(src|href)="https?://')

    def raw(self, data):
        url = urllib.parse.urlsplit(ORIGIN)
        with socket.create_connection((url.hostname, url.port), timeout=20) as connection:
            connection.sendall(data)
            received = b""
            while b"\r\n" not in received:
                chunk = connection.recv(65536)
                if not chunk:
                    break
                received += chunk
        return int(received.split(b" ")[1]) if received else None

    def test_hostile_forms(self):
        get = b"GET /health/live HTTP/1.1\r\n"
        cases = [
            (get + b"\r\n", 400), (get + b"Host: a\r\nHost: b\r\n\r\n", 400),
            (b"GET /api/a/../b HTTP/1.1\r\nHost: a\r\n\r\n", 400), (b"GET /api/%2e%2e/b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET /api//b HTTP/1.1\r\nHost: a\r\n\r\n", 400), (b"GET /api/%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"GET /api/%2fb HTTP/1.1\r\nHost: a\r\n\r\n", 400), (b"GET /api/%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            (b"POST /api/account/login HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400),
            (b"POST /api/account/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
            (get + b"Host: a\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(120)) + b"\r\n", 431),
            (get + b"Host: a\r\nX: " + b"y" * 20000 + b"\r\n\r\n", 431),
            (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
            (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", (405, 501)),
            (b"POST /api/account/login HTTP/1.1\r\nHost: a\r\nExpect: nonsense\r\nContent-Length: 2\r\n\r\n{}", 417),
        ]
        for data, expected in cases:
            with self.subTest(data=data[:70]):
                self.assertIn(self.raw(data), expected if isinstance(expected, tuple) else (expected,))

    def test_expect_continue(self):
        status = self.raw(b"POST /api/account/login/ HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                          b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        self.assertIn(status, (100, 422, 400))
