"""Sections 1 and 8 at the front door: what test_conventions leaves out."""
import concurrent.futures
import socket

import support
from support import *

JWKS = "/.well-known/jwks.json"


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


class AuditOrder(Case):
    def test_order_of_judgement(self):
        admin = sign_up()
        anonymous, person = Client(), add_user(admin)
        broken = b"{"
        # No route before method before token before form before rights.
        self.problem(anonymous.post("/api/nothing/", raw=broken), 404, "not-found")
        self.problem(anonymous.put("/api/organization/users/", raw=broken), 405)
        self.problem(anonymous.post("/api/organization/users/", raw=broken), 401, "unauthenticated")
        self.problem(anonymous.get("/api/project/tasks/abc/"), 401)
        self.problem(anonymous.get("/api/organization/users/?foo=1"), 401)
        self.problem(person.post("/api/organization/users/", raw=broken), 400)
        self.problem(person.post("/api/organization/users/", {"role": "KING"}), 403)
        self.problem(admin.patch("/api/organization/users/nobody@example.com/", raw=broken), 400)
        self.problem(admin.patch("/api/organization/users/nobody@example.com/", {"role": "KING"}), 404)
        self.problem(admin.patch("/api/project_management/projects/99/", {"name": 5}, headers={"If-Match": '"x"'}), 404)
        self.problem(anonymous.patch("/api/organization/users/x/y/"), 404)
        self.problem(admin.delete("/api/nothing/"), 404)

    def test_every_method_of_every_route(self):
        document = self.ok(Client().get("/api/openapi.json"))
        for template, item in document["paths"].items():
            path = re.sub(r"\{\w+\}", "7", template)
            declared = {m.upper() for m in item if m in ("get", "post", "put", "patch", "delete")}
            allowed = declared | ({"HEAD"} if "GET" in declared else set())
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                answer = Client().send(method, path)
                with self.subTest(method=method, path=template):
                    if method not in declared:
                        self.problem(answer, 405)
                        self.assertEqual(set(answer.headers["Allow"].split(", ")) - {"OPTIONS"}, allowed)
                    elif item[method.lower()].get("security") == []:
                        self.assertNotIn(answer.status, (401, 403, 405, 500))
                    else:
                        self.problem(answer, 401)
                        self.assertTrue(answer.headers["WWW-Authenticate"].startswith("Bearer"))

    def test_problem_members(self):
        answer = Client().get("/api/nothing/?a=1")
        body = self.problem(answer, 404)
        self.assertTrue(body["type"] == "about:blank" or body["type"].endswith(body["code"]))
        self.assertEqual(body["instance"], "/api/nothing/")
        self.assertRegex(body["code"], r"^[a-z0-9-]+$")
        admin = sign_up()
        body = self.problem(admin.get("/api/organization/?foo=1&bar=2"), 400)
        self.assertTrue({e["parameter"] for e in body["errors"]} & {"foo", "bar"})
        for entry in body["errors"]:
            self.assertTrue({"code", "detail"} <= set(entry))

    def test_bodies(self):
        admin = sign_up()
        path = "/api/organization/departments/"
        bad = [b"", b"null", b"1", b"[]", b'"a"', b"{'a': 1}", b'{"department_name": "a",}', b'{"a": NaN}', b'{"a": 01}',
               b'{"department_name": "a"}{}', b'\xef\xbb\xbf{"department_name": "a"}', b'{"department_name": "\xed\xa0\x80"}',
               b'{"department_name": "\\udc00"}', b'{"department_name": "\\ud800\\u0041"}', b'{"department_name": "\xc0\x80"}',
               b'{"department_name": "a", "department_\\u006eame": "b"}', b'{"department_name": "tab\there"}',
               b'{"department_name": "\\x41"}', b'{"department_name": ' + b"[" * 40 + b"]" * 40 + b"}",
               '{"department_name": "a"}'.encode("utf-16")]
        for raw in bad:
            with self.subTest(raw=raw[:40]):
                self.problem(admin.post(path, raw=raw), 400)
        for kind in ("text/plain", "application/xml", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"):
            self.problem(admin.post(path, raw=b'{"department_name": "a"}', headers={"Content-Type": kind}), 415)
        for kind in ("application/json", "application/json; charset=utf-8", "APPLICATION/JSON"):
            self.ok(admin.post(path, {"department_name": unique("d")}, headers={"Content-Type": kind}), 201)
        self.ok(admin.post(path, raw=b'{"department_name": "\\ud83d\\ude00 \\u00e9"}'), 201)
        self.problem(admin.post(path, {"department_name": "\x00"}), 422, pointer="/department_name")
        self.problem(admin.post(path, {"department_name": "x", "__proto__": 1}), 422, pointer="/__proto__")
        deep = {"department_name": None}
        for _ in range(30):
            deep = {"department_name": deep}
        self.problem(admin.post(path, deep), 422, pointer="/department_name")

    def test_queries(self):
        admin = sign_up()
        for query, parameter in (("?page_size=5&page_size=6", "page_size"), ("?Page_size=5", "Page_size"), ("?=", ""),
                                 ("?page_size=+5", "page_size"), ("?page_size=5.0", "page_size"), ("?page_size=", "page_size"),
                                 ("?cursor=", "cursor"), ("?count=True", "count")):
            with self.subTest(query=query):
                answer = admin.get("/api/organization/departments/" + query)
                self.assertEqual(answer.status, 400, answer)
        self.problem(admin.get("/api/organization/departments/?search=%ff"), 400)
        self.problem(admin.get("/api/organization/departments/?page_size=%zz"), 400)


class AuditHeaders(Case):
    def test_on_every_answer(self):
        admin = sign_up()
        answers = [admin.get("/api/organization/"), Client().get("/api/nothing"), Client().get("/api/organization/"),
                   Client().get("/health/live"), Client().get("/api/docs"), Client().get("/api/openapi.json"),
                   admin.post("/api/organization/departments/", raw=b"{"), Client().get(JWKS),
                   Client().put("/api/account/login/"), admin.delete("/api/account/sessions/")]
        for answer in answers:
            headers = answer.headers
            self.assertRegex(headers["X-Request-Id"], r"^[A-Za-z0-9-]{1,64}$")
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
            self.assertIn("frame-ancestors 'none'", headers["Content-Security-Policy"])
            self.assertIn("Cache-Control", headers)
            for name in ("Server", "X-Powered-By"):
                self.assertNotIn("/", headers.get(name, ""))
            for name in headers:
                self.assertFalse(name.lower().startswith("x-internal"), name)
            if answer.body:
                self.assertIn("Content-Type", headers)
        page = Client().get("/api/docs")
        self.assertEqual(page.headers["Referrer-Policy"], "no-referrer")
        self.assertIn("charset=utf-8", page.headers["Content-Type"].lower())

    def test_request_id_is_one_everywhere(self):
        admin = sign_up()
        for value in ("a", "A-1", "x" * 64, str(uuid.uuid4())):
            answer = admin.get("/api/organization/users/nobody@example.com/", headers={"X-Request-Id": value})
            self.assertEqual(self.problem(answer, 404)["request_id"], value)
        ids = {admin.get("/api/organization/").headers["X-Request-Id"] for _ in range(5)}
        self.assertEqual(len(ids), 5)
        for bad in ("", "x" * 65, "a_b", "a.b", "é".encode()):
            answer = admin.get("/api/organization/", headers={"X-Request-Id": bad})
            self.assertRegex(answer.headers["X-Request-Id"], r"^[A-Za-z0-9-]{1,64}$")

    def test_cache_control(self):
        admin = sign_up()
        for path in ("/api/organization/", "/api/project/tasks/", "/api/notifications/", "/api/project_management/projects/"):
            self.assertEqual(admin.get(path).headers["Cache-Control"], "private, no-cache", path)
        for path in ("/api/account/", "/api/account/sessions/"):
            self.assertEqual(admin.get(path).headers["Cache-Control"], "no-store", path)

    def test_head(self):
        admin = sign_up()
        p = project(admin)
        for path in ("/api/organization/", "/api/account/", "/api/project/tasks/", f"/api/project_management/projects/{p['id']}/",
                     "/api/notifications/preferences/", "/api/openapi.json", "/api/docs", "/health/live", JWKS):
            got, head = admin.get(path), admin.send("HEAD", path)
            self.assertEqual((head.status, head.body), (got.status, b""), path)
            self.assertEqual(head.headers["Content-Type"], got.headers["Content-Type"], path)
        self.assertEqual(admin.send("HEAD", "/api/project_management/projects/99/").status, 404)
        self.assertEqual(Client().send("HEAD", "/api/organization/").status, 401)
        self.assertEqual(admin.send("HEAD", "/api/account/logout/").status, 405)

    def test_no_cross_origin_by_default(self):
        answer = Client().get(JWKS, headers={"Origin": "https://evil.example"})
        self.assertNotIn("Access-Control-Allow-Origin", answer.headers)
        preflight = Client().send("OPTIONS", "/api/organization/", headers={
            "Origin": "https://evil.example", "Access-Control-Request-Method": "GET"})
        self.assertNotIn("Access-Control-Allow-Origin", preflight.headers)


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
            connection.sendall(get("/api/project/tasks/?page_size=200", f"Authorization: Bearer {admin.access}", close=True))
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


class AuditDocuments(Case):
    def test_health_says_no_more_than_it_must(self):
        for path in ("/health/live", "/health/ready"):
            answer = Client().get(path)
            self.assertLess(len(answer.body), 60, answer)
        for path in ("/metrics", "/health", "/health/detail", "/debug"):
            self.problem(Client().get(path), 404)

    def test_openapi_names_every_route(self):
        document = self.ok(Client().get("/api/openapi.json"))
        self.assertIn("application/json", Client().get("/api/openapi.json").headers["Content-Type"])
        wanted = {
            "/api/account/signup": "post", "/api/account/verify-email/{}/{}": "post", "/api/account/login": "post",
            "/api/account/token/refresh": "post", "/api/account/logout": "post", "/api/account/change-password": "post",
            "/api/account/request-reset-password": "post", "/api/account/request-reset-password/{}/{}": "get post",
            "/api/account/profile-pic": "put delete", "/api/account": "get patch", "/api/account/sessions": "get delete",
            "/api/account/sessions/{}": "delete", "/api/account/switch-organization": "post", "/.well-known/jwks.json": "get",
            "/api/organization/users": "get post", "/api/organization/users/{}": "get put patch",
            "/api/organization/departments": "get post", "/api/organization/departments/{}": "get put patch delete",
            "/api/organization": "get patch delete", "/api/organization/members": "get",
            "/api/project_management": "get post", "/api/project_management/projects": "get post",
            "/api/project_management/projects/{}": "get put patch delete",
            "/api/project_management/projects/{}/collaborators/{}": "get post delete",
            "/api/project_management/projects/{}/collaborators": "get", "/api/project_management/trash": "get",
            "/api/project_management/projects/{}/restore": "post", "/api/project/tasks": "get post",
            "/api/project/{}/tasks": "get post", "/api/project/tasks/{}": "get put patch delete",
            "/api/project/{}/tasks/{}": "get put patch delete", "/api/project/tasks/{}/subtasks": "get post",
            "/api/project/{}/tasks/{}/subtasks": "get post", "/api/project/tasks/{}/collaborators": "get",
            "/api/project/tasks/{}/collaborators/{}": "get post delete", "/api/project/tasks/{}/restore": "post",
            "/api/project/{}/tasks/{}/restore": "post", "/api/project/{}/tasks/{}/collaborators/{}": "get post delete",
            "/api/project/trash": "get", "/api/notifications": "get", "/api/notifications/{}/read": "post",
            "/api/notifications/read-all": "post", "/api/notifications/preferences": "get put",
            "/api/notifications/unsubscribe/{}": "get post", "/health/live": "get", "/health/ready": "get",
            "/api/openapi.json": "get", "/api/docs": "get",
        }
        paths = {re.sub(r"\{\w+\}", "{}", p).rstrip("/"): item for p, item in document["paths"].items()}
        for path, methods in wanted.items():
            for method in methods.split():
                self.assertIn(method, paths.get(path, {}), path)
        # Every reference leads somewhere.
        text = json.dumps(document)
        for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
            node = document
            for part in reference.split("/"):
                node = node[part]
        names = [operation.get("operationId") for item in paths.values() for operation in item.values()
                 if isinstance(operation, dict) and operation.get("operationId")]
        self.assertEqual(len(names), len(set(names)))

    def test_docs_page_stands_alone(self):
        page = Client().get("/api/docs").body.decode()
        self.assertIn("<title>", page)
        for path in ("/api/account/login/", "/api/project/trash/"):
            self.assertIn(path, page)
        self.assertNotRegex(page, r"(src|href)=\"(https?:)?//")


class AuditRates(OtherInstallation):
    SETTINGS = {"TASKFLOW_RATE_LIMITS": "on", "TASKFLOW_CORS_ORIGINS": "https://app.example, http://localhost:3000"}
    addresses = itertools.count(11)

    def address(self):
        return f"127.0.0.{next(AuditRates.addresses)}"

    def founder(self):
        client = Client(self.address())
        client.email = unique("rate") + "@example.com"
        answer = client.post("/api/account/signup/", {
            "email": client.email, "password": PASSWORD, "first_name": "A", "last_name": "B", "organization": unique("Org")})
        return client.adopt(self.ok(answer, 201))

    def limited(self, answer):
        self.problem(answer, 429)
        self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
        return answer

    def test_logins(self):
        client = Client(self.address())
        body = lambda n: {"email": unique("x") + f"{n}@example.com", "password": PASSWORD}
        for n in range(20):
            answer = client.post("/api/account/login/", body(n), headers={"X-Forwarded-For": f"9.9.9.{n}"})
            self.problem(answer, 401)
        self.assertEqual(answer.headers["RateLimit-Policy"], '"login";q=20;w=60')
        self.assertRegex(answer.headers["RateLimit"], r'^"login";r=0;t=\d+$')
        limited = self.limited(client.post("/api/account/login/", body(21), headers={"X-Forwarded-For": "8.8.8.8"}))
        self.assertLessEqual(int(limited.headers["Retry-After"]), 61)
        self.assertIn("RateLimit", limited.headers)
        self.problem(Client(self.address()).post("/api/account/login/", body(22)), 401)
        # Elsewhere it is not limited by that.
        self.ok(client.get(JWKS))

    def test_anonymous(self):
        client = Client(self.address())
        for left in reversed(range(60)):
            answer = client.get(JWKS)
            self.assertEqual(answer.status, 200)
        self.assertIn("q=60;w=60", answer.headers["RateLimit-Policy"])
        self.limited(client.get(JWKS))
        # No route, no method and no token come before the rate.
        self.problem(client.get("/api/nothing"), 404)
        self.problem(client.post(JWKS), 405)
        self.problem(client.get("/api/organization/"), 401)
        self.assertEqual(client.get("/health/live").status, 200)

    def test_users(self):
        client = self.founder()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            def some(_):
                other = Client(client.source[0])
                other.access = client.access
                return [other.get("/api/organization/").status for _ in range(80)]
            statuses = [s for row in pool.map(some, range(8)) for s in row]
        self.assertEqual(set(statuses), {200, 429})
        self.assertTrue(598 <= statuses.count(200) <= 602, statuses.count(200))
        limited = self.limited(client.get("/api/organization/"))
        self.assertIn('"user";q=600;w=60', limited.headers["RateLimit-Policy"])
        self.assertIn('"organization";q=6000;w=60', limited.headers["RateLimit-Policy"])
        # The rate is judged before the form, after the token.
        self.limited(client.post("/api/organization/departments/", raw=b"{"))
        good, client.access = client.access, client.access + "x"
        self.problem(client.get("/api/organization/"), 401)
        client.access = good
        # Another person has their own.
        self.assertEqual(self.founder().get("/api/organization/").status, 200)

    def test_refreshes_of_a_session(self):
        client = self.founder()
        other = Client(self.address()).adopt(self.ok(Client(self.address()).post(
            "/api/account/login/", {"email": client.email, "password": PASSWORD})))
        token = client.refresh
        for _ in range(30):
            token = self.ok(client.post("/api/account/token/refresh/", {"refresh": token}))["refresh"]
        self.limited(client.post("/api/account/token/refresh/", {"refresh": token}))
        self.ok(client.post("/api/account/token/refresh/", {"refresh": other.refresh}))

    def test_uploads(self):
        client = self.founder()
        for _ in range(20):
            answer = client.put("/api/account/profile-pic/", raw=b"x", headers={
                "Content-Type": "multipart/form-data; boundary=b"})
            self.problem(answer, 400)
        self.assertIn('"upload";q=20;w=3600', answer.headers["RateLimit-Policy"])
        self.limited(client.put("/api/account/profile-pic/", raw=b"x", headers={
            "Content-Type": "multipart/form-data; boundary=b"}))
        self.ok(client.get("/api/account/"))

    def test_mails(self):
        founder = self.founder()
        path = "/api/account/request-reset-password/"
        client = Client(self.address())
        bodies = {client.post(path, {"email": founder.email}).body for _ in range(5)}
        self.assertEqual(len(bodies), 1)
        eventually(lambda: len(mails(founder.email, "reset")) == 3)
        for n in range(5):
            self.assertEqual(client.post(path, {"email": f"nobody{n}@example.com"}).status, 202)
        self.limited(client.post(path, {"email": "nobody@example.com"}))
        self.limited(client.post("/api/account/signup/", {}))
        time.sleep(0.5)
        self.assertEqual(len(mails(founder.email, "reset")), 3)

    def test_cross_origin(self):
        for origin in ("https://app.example", "http://localhost:3000"):
            answer = Client(self.address()).get(JWKS, headers={"Origin": origin})
            self.assertEqual(answer.headers["Access-Control-Allow-Origin"], origin)
            self.assertNotIn("Access-Control-Allow-Credentials", answer.headers)
            self.assertIn("Origin", answer.headers["Vary"])
            exposed = answer.headers["Access-Control-Expose-Headers"]
            for name in ("ETag", "Location", "RateLimit", "Retry-After", "X-Request-Id", "Taskflow-Position"):
                self.assertIn(name, exposed)
            preflight = Client().send("OPTIONS", "/api/organization/users/x@example.com/", headers={
                "Origin": origin, "Access-Control-Request-Method": "PATCH",
                "Access-Control-Request-Headers": "authorization, content-type"})
            self.assertEqual((preflight.status, preflight.body), (204, b""))
            self.assertEqual(preflight.headers["Access-Control-Allow-Origin"], origin)
            self.assertEqual(preflight.headers["Access-Control-Max-Age"], "600")
            self.assertIn("PATCH", preflight.headers["Access-Control-Allow-Methods"])
            self.assertIn("authorization", preflight.headers["Access-Control-Allow-Headers"].lower())
        problem = Client().get("/api/organization/", headers={"Origin": "https://app.example"})
        self.assertEqual((problem.status, problem.headers["Access-Control-Allow-Origin"]), (401, "https://app.example"))
        for origin in ("null", "https://app.example.evil.example", "https://app.example:444", "http://app.example",
                       "HTTPS://APP.EXAMPLE", "*"):
            answer = Client(self.address()).get(JWKS, headers={"Origin": origin})
            self.assertNotIn("Access-Control-Allow-Origin", answer.headers, origin)
            self.assertIn("Origin", answer.headers["Vary"])
            preflight = Client().send("OPTIONS", "/api/organization/", headers={
                "Origin": origin, "Access-Control-Request-Method": "GET"})
            self.assertNotIn("Access-Control-Allow-Origin", preflight.headers)
        self.problem(Client().send("OPTIONS", "/api/nothing", headers={
            "Origin": "https://app.example", "Access-Control-Request-Method": "GET"}), 404)
