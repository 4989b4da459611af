"""Which path is which: default deny, one spelling, and no way to a service past the rule of its route."""

import os
import random
import re
import subprocess
import unittest
import urllib.parse

import lab
import routes
import wire

COUNT = int(os.environ.get("TASKFLOW_ATTACK_PATHS", "10000"))
PIECES = [
    "/",
    "//",
    "/./",
    "/../",
    "..",
    ".",
    "%2e",
    "%2E%2e",
    "%2f",
    "%2F",
    "%5c",
    "%5C",
    "\\",
    "%00",
    "%0a",
    "%61",
    "%zz",
    "%",
    "%4",
    "#",
    "?",
    ";",
    ";x=y",
    "%3b",
    "%23",
    "%3f",
    "%25",
    "%252f",
    "%252e",
    "@",
    ":",
    "*",
    "%c0%af",
    "%C3%A9",
    "tasks",
    "account",
    "login",
    "media",
    "..;/",
    "x",
    "api",
    "internal",
    "%20",
    "~",
    "+",
    "=",
    "&",
    "|",
    "{",
    '"',
    "'",
]


class Paths(unittest.TestCase):
    def setUp(self):
        self.lab = lab.shared()

    def test_GW_01_no_route_is_404_whatever_the_token(self):
        for path in (
            "/",
            "/api",
            "/api/nothing",
            "/internal/events",
            "/internal/await-positions",
            "/metrics",
            "/health",
            "/health/ready/x",
            "/routes",
            "/api/account/login/x",
            "/media",
            "/API/account/login",
            "/.env",
        ):
            for fields in ([], ["Authorization: Bearer x"], [self.lab.bearer()]):
                answer = self.lab.ask(path, *fields)
                self.assertEqual(answer.status, 404, (path, fields))
                self.assertNotIn("www-authenticate", answer)

    def test_GW_01_a_route_without_auth_does_not_load(self):
        path = self.lab.folder / "broken.conf"
        for broken, word in (
            (self.lab.text.replace("auth required   ", "", 1), "auth"),
            (self.lab.text.replace("methods POST   ", "", 1), "methods"),
        ):
            path.write_text(broken)
            check = subprocess.run(
                [lab.BINARY, "gateway", "check", str(path)], capture_output=True, text=True, timeout=30
            )
            self.assertNotEqual(check.returncode, 0)
            self.assertRegex(check.stdout + check.stderr, rf"broken\.conf:\d+:\d+: .*{word}")

    def test_GW_02_only_the_normal_form_of_a_path_passes(self):
        begin = len(self.lab.origin.seen)
        for path in (
            "/api/account/../account/login",
            "/media/..",
            "/media/.",
            "/media/./x",
            "/media/%2e%2e/x",
            "/media/.%2e/x",
            "/media/%2E/x",
            "//media/x",
            "/media//x",
            "/media/x//",
            "/media/a%2fb",
            "/media/a%2Fb",
            "/media/a%5cb",
            "/media/a%5Cb",
            "/media/a\\b",
            "/media/a%00b",
            "/media/a%0ab",
            "/media/a%0d%0ab",
            "/media/a%7f",
            "/media/%zz",
            "/media/%",
            "/media/%4",
            "/media/a#b",
            "/media/%61",
            "/media/a%2Db",
            "/media/{x}",
            "/media/a|b",
            '/media/a"b',
            "/media/a<b",
            "/media/a^b",
            "/media/a`b",
            "media/x",
            "http://b/media/x",
            "/media/x#",
        ):
            with self.subTest(path=path):
                answer = self.lab.ask(path)
                self.assertEqual(answer.status, 400, answer)
        self.assertEqual(self.lab.origin.since(begin), [])
        for path in (
            "/media/a.b",
            "/media/...",
            "/media/a;b=c",
            "/media/%C3%A9",
            "/media/a%20b",
            "/media/~a",
            "/media/a?x=../%2f//",
        ):
            self.assertEqual(self.lab.ask(path).json["target"], path)

    def test_GW_02_no_mutated_path_reaches_a_service_past_another_rule(self):
        """Read in any way, a path that a service sees falls to the route whose rule was applied, by our own matcher."""
        table = routes.read()
        self.assertGreater(len(table), 40)
        dice = random.Random(20)
        begin = len(self.lab.origin.seen)
        sent = []
        with_token = self.lab.bearer()
        for number in range(COUNT):
            route = dice.choice(table)
            path = route.pattern.replace("**", "x")
            for name in ("{id}", "{project_id}", "{email}", "{uid}", "{token}"):
                path = path.replace(name, dice.choice(["5", "a%40b.c", "x"]))
            for _ in range(dice.randint(0, 3)):
                place = dice.randint(0, len(path))
                path = path[:place] + dice.choice(PIECES) + path[place:]
            sent.append((dice.choice(route.methods), path, dice.random() < 0.5))
        statuses = []
        for start in range(0, len(sent), 50):
            statuses += self.burst(sent[start : start + 50], start, with_token)
        by_id = {s["x-request-id"]: s for s in self.lab.origin.since(begin)}
        reached = 0
        for number, (method, path, has_token) in enumerate(sent):
            seen = by_id.get(f"m{number}")
            if seen is None:
                continue
            reached += 1
            self.assertEqual(seen.target, path, "a path was changed on the way")
            bare = path.split("?")[0]
            for reading in {bare, self.lenient(urllib.parse.unquote(bare))}:
                rule = routes.match(table, reading, method)
                self.assertIsNotNone(rule, path)
                self.assertEqual(rule.upstream, seen.service, path)
                self.assertTrue(rule.auth == "none" or has_token, f"{path} was let in without a token")
        self.assertGreater(reached, COUNT // 50, "the mutations were all refused: nothing was tried")
        self.assertLessEqual(set(statuses), {200, 400, 401, 404, 405, 413, 414})
        self.assertEqual(self.lab.origin.violations, [])
        print(f"\n  {COUNT} mutated paths, {reached} reached a service, all by the rule of their route", flush=True)

    @staticmethod
    def lenient(path):
        """The most careless reading: backslashes are slashes, dot and empty segments are resolved."""
        result = []
        for segment in re.split(r"[/\\]", path):
            if segment == "..":
                del result[-1:]
            elif segment not in ("", "."):
                result.append(segment)
        return "/" + "/".join(result)

    def burst(self, requests, first, token):
        """Sends on one connection, and goes on with another when the gateway closes it."""
        statuses, index = [], 0
        while index < len(requests):
            with wire.Wire(self.lab.port) as connection:
                data = b""
                for offset, (method, path, has_token) in enumerate(requests[index:]):
                    fields = [f"X-Request-Id: m{first + index + offset}"] + ([token] if has_token else [])
                    data += wire.request(
                        path, *fields, method=method, body=b"" if method in ("POST", "PUT", "PATCH") else None
                    )
                connection.send(data)
                while index < len(requests) and (answer := connection.read()):
                    statuses.append(answer.status)
                    index += 1
                    if answer.closes:
                        break
        return statuses
