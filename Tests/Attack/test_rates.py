"""How often: exactly as often as the configuration says, with Redis and without."""

import re
import threading
import time
import unittest
import uuid

import lab
import wire

PROBE = "/api/probe"


def with_probe(text):
    """The configuration with a rate of 100 a minute on a route of its own."""
    return text + (
        "\nrate probe 100/min by ip\n\nroute /api/probe {\n    methods GET   to task   auth none   " "limit probe\n}\n"
    )


class Rates(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = lab.Lab({"TASKFLOW_RATE_LIMITS": "on"}, with_probe)

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def statuses(self, count, source, path=PROBE, **named):
        with wire.Wire(self.lab.port, source) as connection:
            answers = []
            for _ in range(count):
                connection.send(wire.request(path, **named))
                answers.append(connection.read())
            return answers

    def test_GW_10_a_burst_of_many_connections_gets_the_limit_and_no_more(self):
        answers = []
        threads = [threading.Thread(target=lambda: answers.extend(self.statuses(25, "127.0.4.1"))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        good = [a for a in answers if a.status == 200]
        self.assertEqual({a.status for a in answers}, {200, 429})
        self.assertTrue(98 <= len(good) <= 102, len(good))
        for answer in answers:
            self.assertEqual(answer["ratelimit-policy"], '"probe";q=100;w=60')
            self.assertRegex(answer["ratelimit"], r'^"probe";r=\d+;t=\d+$')
            if answer.status == 429:
                self.assertTrue(1 <= int(answer["retry-after"]) <= 61)
                self.assertEqual(answer.json["code"], "too-many-requests")
        print(f"\n  100/min: a burst of 200 on 8 connections, {len(good)} admitted", flush=True)

    def test_GW_10_no_60_s_hold_more_than_the_limit(self):
        """A flow of three times the limit over 80 s: counted in every span of 60 s that begins with an admission."""
        admitted = []
        start = time.monotonic()
        with wire.Wire(self.lab.port, "127.0.4.2") as connection:
            for number in range(400):
                time.sleep(max(0, start + number * 0.2 - time.monotonic()))
                connection.send(wire.request(PROBE))
                if connection.read().status == 200:
                    admitted.append(time.monotonic())
        worst = max(sum(1 for later in admitted if 0 <= later - first < 60) for first in admitted)
        first_minute = sum(1 for moment in admitted if moment - start < 60)
        self.assertLessEqual(worst, 102)
        self.assertGreaterEqual(first_minute, 98)
        print(f"\n  100/min: 5 a second for 80 s, at most {worst} admitted in any 60 s", flush=True)

    def test_GW_10_limits_are_local_without_redis(self):
        login = {"path": "/api/account/login/", "method": "POST", "body": b"{}"}
        self.assertEqual([a.status for a in self.statuses(1, "127.0.4.3", **login)], [200])
        self.lab.redis.kill()
        self.lab.redis.wait()
        try:
            answers = [a.status for a in self.statuses(25, "127.0.4.4", **login)]
            self.assertTrue(18 <= answers.count(200) <= 22, answers)
            self.assertEqual(answers[-1], 429)
            # And whether a session still lives cannot be known, so nobody with a token gets in.
            refused = self.lab.ask(lab.CLOSED, self.lab.bearer(), source="127.0.4.5")
            self.assertEqual((refused.status, refused.json["code"]), (503, "revocation-unknown"))
            self.assertIn("retry-after", refused)
        finally:
            self.lab.start_redis()
        lab.wait(lambda: self.lab.ask(lab.CLOSED, self.lab.bearer(), source="127.0.4.6").status == 200, 15)

    def test_GW_10_users_and_organizations_have_their_own(self):
        organization = str(uuid.uuid4())
        users = [f"Authorization: Bearer {self.lab.token(org=organization)}" for _ in range(2)]
        first = self.lab.ask(lab.CLOSED, users[0])
        policies = re.findall(r'"(\w+)";q=(\d+);w=(\d+)', first["ratelimit-policy"])
        self.assertEqual(policies, [("user", "600", "60"), ("organization", "6000", "60")])
        self.lab.ask(lab.CLOSED, users[1])
        left = dict(re.findall(r'"(\w+)";r=(\d+)', self.lab.ask(lab.CLOSED, users[1])["ratelimit"]))
        self.assertEqual(left, {"user": "598", "organization": "5997"})
