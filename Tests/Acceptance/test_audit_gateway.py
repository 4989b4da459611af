"""Sections 1 and 8 at the front door: order, headers, documents."""

from support import *

JWKS = "/.well-known/jwks.json"


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
        for kind in ("text/plain", "application/xml", "multipart/form-data; boundary=x",
                     "application/x-www-form-urlencoded"):
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
                                 ("?page_size=+5", "page_size"), ("?page_size=5.0",
                                  "page_size"), ("?page_size=", "page_size"),
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
        for path in ("/api/organization/", "/api/project/tasks/",
                     "/api/notifications/", "/api/project_management/projects/"):
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
