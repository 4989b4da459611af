"""What a browser is told: which other pages may use the API, and how to treat every answer."""

import base64
import hashlib
import pathlib
import re
import unittest

import lab
import origin
import wire

ALLOWED = "https://app.example"
REFUSED = [
    "null",
    "https://evil.example",
    "https://app.example.evil.example",
    "https://app.example:444",
    "http://app.example",
    "HTTPS://APP.EXAMPLE",
    "https://app.example/",
    "*",
    "https://app.example https://evil.example",
    "",
    "https://evil.example#https://app.example",
    "https://xapp.example",
    "https://app.examplex",
]


class Browsers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = lab.Lab({"TASKFLOW_CORS_ORIGINS": ALLOWED})

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def everything(self, *fields):
        """An answer of every kind."""
        bearer = self.lab.bearer()
        return {
            "service": self.lab.ask(lab.CLOSED, bearer, *fields),
            "open": self.lab.ask(lab.OPEN, *fields),
            "401": self.lab.ask(lab.CLOSED, *fields),
            "404": self.lab.ask("/nothing", *fields),
            "405": self.lab.ask(lab.OPEN, *fields, method="PUT"),
            "400": self.lab.ask("/media/../x", *fields),
            "413": self.lab.ask("/api/account/login/", *fields, method="POST", body=b" " * 20000),
            "502": self.lab.ask("/media/a?lab=drop", *fields),
            "health": self.lab.ask("/health/live", *fields),
            "document": self.lab.ask("/api/openapi.json", *fields),
            "page": self.lab.ask("/api/docs", *fields),
            "malformed": self.lab.send(b"GET / HTTP/1.1\r\n\r\n"),
            "preflight": self.lab.ask(lab.CLOSED, "Access-Control-Request-Method: GET", *fields, method="OPTIONS"),
        }

    def test_GW_12_listed_origins_and_no_others(self):
        for kind, answer in self.everything(f"Origin: {ALLOWED}").items():
            if kind == "malformed":
                continue
            with self.subTest(kind=kind):
                self.assertEqual(answer["access-control-allow-origin"], ALLOWED)
                self.assertNotIn("access-control-allow-credentials", answer)
                self.assertIn("origin", answer["vary"].lower())
        for origin in REFUSED:
            for kind, answer in self.everything(f"Origin: {origin}").items():
                with self.subTest(kind=kind, origin=origin):
                    self.assertFalse([name for name, _ in answer.fields if name.startswith("access-control-")])
                    self.assertIn("origin", answer["vary"].lower())
        twice = self.lab.ask(lab.OPEN, f"Origin: {ALLOWED}", "Origin: https://evil.example")
        self.assertNotIn("https://evil.example", str(twice.fields))

    def test_GW_12_preflights_need_no_token(self):
        asks = [
            f"Origin: {ALLOWED}",
            "Access-Control-Request-Method: PATCH",
            "Access-Control-Request-Headers: authorization,content-type,x-evil",
        ]
        begin = len(self.lab.origin.seen)
        answer = self.lab.ask("/api/project/tasks/5/", *asks, method="OPTIONS")
        self.assertEqual((answer.status, answer.body, answer["access-control-max-age"]), (204, b"", "600"))
        self.assertIn("PATCH", answer["access-control-allow-methods"])
        self.assertNotIn("x-evil", answer["access-control-allow-headers"].lower())
        self.assertNotIn("*", answer["access-control-allow-headers"] + answer["access-control-allow-methods"])
        self.assertEqual(self.lab.origin.since(begin), [], "a preflight is not a service's business")
        self.assertEqual(self.lab.ask("/nothing", *asks, method="OPTIONS").status, 404)

    def test_GW_13_security_fields_on_every_answer(self):
        for kind, answer in self.everything().items():
            with self.subTest(kind=kind):
                self.assertEqual(answer["x-content-type-options"], "nosniff")
                self.assertEqual(answer["referrer-policy"], "no-referrer")
                policy = answer["content-security-policy"]
                self.assertIn("default-src 'none'", policy)
                self.assertIn("frame-ancestors 'none'", policy)
                self.assertNotIn("unsafe", policy)
                self.assertIn("cache-control", answer)
                self.assertNotIn("server", answer)
                self.assertNotIn("x-powered-by", answer)
                self.assertRegex(answer["x-request-id"], r"^[A-Za-z0-9-]{1,64}$")
                # The lab is not reached over TLS.
                self.assertNotIn("strict-transport-security", answer)
                if answer.body:
                    self.assertIn("content-type", answer)
                if kind in ("401", "404", "405", "400", "413", "502", "malformed"):
                    self.assertEqual(answer["content-type"], "application/problem+json; charset=utf-8")
                    self.assertEqual(answer["cache-control"], "no-store")
                    self.assertEqual(answer.json["request_id"], answer["x-request-id"])
        self.assertEqual(self.lab.ask(lab.CLOSED, self.lab.bearer())["cache-control"], "private, no-cache")
        self.assertEqual(self.lab.ask("/api/account/sessions/", self.lab.bearer())["cache-control"], "no-store")

    def test_GW_13_what_services_say_of_themselves_ends_here(self):
        for method in ("GET", "HEAD", "DELETE"):
            with self.subTest(method=method):
                path = lab.OPEN if method != "DELETE" else "/api/project/tasks/5/"
                data = wire.request(path, self.lab.bearer(), method=method, close=True)
                answer = self.lab.send(data, is_head=method == "HEAD")
                # It is the service's answer, fields and all.
                self.assertEqual((answer.status, answer["x-lab"]), (200, "kept"))
                for name in origin.HIDDEN:
                    self.assertNotIn(name.lower(), answer)
                self.assertNotIn("hidden", str(answer.fields))

    def test_GW_13_pages_carry_their_own_hashes(self):
        page = self.lab.ask("/api/docs")
        policy = page["content-security-policy"]
        for tag in ("style", "script"):
            for inline in re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", page.body.decode(), re.S):
                digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
                self.assertIn(f"'sha256-{digest}'", policy)
        self.assertIn("charset=utf-8", page["content-type"].lower())

    def test_GW_13_pages_are_known_again(self):
        tag = self.lab.ask("/api/docs")["etag"]
        for known in (tag, "*", f'"a", {tag}', f"W/{tag}"):
            self.assertEqual(self.lab.ask("/api/docs", f"If-None-Match: {known}").status, 304, known)
        self.assertEqual(self.lab.ask("/api/docs", 'If-None-Match: "a"').status, 200)

    def test_GW_13_strict_transport_security_where_people_come_over_tls(self):
        other = lab.Lab({"TASKFLOW_PUBLIC_URL": "https://taskflow.example"})
        try:
            for path in (lab.OPEN, "/nothing", "/health/live"):
                self.assertRegex(other.ask(path)["strict-transport-security"], r"^max-age=\d{8,}")
        finally:
            other.stop()


class Health(unittest.TestCase):
    def setUp(self):
        self.lab = lab.shared()

    def test_GW_14_bare_status_outside_and_detail_inside(self):
        for path in ("/health/live", "/health/ready"):
            answer = self.lab.ask(path)
            self.assertEqual((answer.status, answer.json), (200, {"status": "ok"}))
        for path in ("/metrics", "/routes", "/health", "/health/detail", "/debug", "/admin"):
            self.assertEqual(self.lab.ask(path).status, 404)
        detail = wire.once(self.lab.admin, wire.request("/health/ready", close=True)).json
        self.assertEqual(
            {u["name"] for u in detail["upstreams"]}, {"auth", "organization", "project", "task", "notification"}
        )
        metrics = wire.once(self.lab.admin, wire.request("/metrics", close=True)).body.decode()
        self.assertIn("http_requests_total", metrics)
        listening = pathlib.Path("/proc/net/tcp").read_text() + pathlib.Path("/proc/net/tcp6").read_text()
        self.assertNotIn(f"00000000:{self.lab.admin:04X}", listening)
