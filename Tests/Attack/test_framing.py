"""Where a request ends: every form of the corpus, with a request smuggled behind it and a victim on the same way."""

import itertools
import unittest

import corpus
import lab
import wire

SMUGGLED = b"GET /media/smuggled HTTP/1.1\r\nHost: a\r\nX-Request-Id: smuggled\r\n\r\n"
_ids = itertools.count()


class Framing(unittest.TestCase):
    def setUp(self):
        self.lab = lab.shared()
        self.lab.origin.violations.clear()
        self.begin = len(self.lab.origin.seen)

    def tearDown(self):
        # Whatever a client sent: services saw nothing but requests in perfect order.
        self.assertEqual(self.lab.origin.violations, [])

    def victim(self):
        """Another client's request over the kept connections to the service must get its own answer."""
        name = f"victim{next(_ids)}"
        answer = self.lab.ask(f"/media/{name}", f"X-Request-Id: {name}")
        self.assertEqual((answer.status, answer.json["id"], answer.json["target"]), (200, name, f"/media/{name}"))

    def judge(self, form):
        with wire.Wire(self.lab.port) as connection:
            connection.send(form.data + SMUGGLED)
            answers = [connection.read()]
            if form.closes:
                answers += connection.read_all()
            elif form.data[:5] != b"CONNE":
                answers.append(connection.read())
        first = answers[0]
        self.assertIsNotNone(first, "no answer")
        self.assertIn(first.status, form.statuses, first)
        if form.closes:
            self.assertEqual(len(answers), 1, "what followed was read as a request")
            self.assertTrue(first.closes)
        return answers

    def judge_all(self, forms):
        for form in forms:
            with self.subTest(form=form.name):
                before = len(self.lab.origin.seen)
                self.judge(form)
                seen = self.lab.origin.since(before)
                if form.closes:
                    self.assertNotIn("/media/smuggled", [s.target for s in seen])
                self.victim()

    def test_GW_02_rejected_forms_stay_rejected(self):
        self.judge_all(corpus.REJECTED)

    def test_GW_02_mishandled_forms_are_refused(self):
        self.judge_all(corpus.MISHANDLED)

    def test_GW_02_good_forms_are_served_and_followed_by_the_next_request(self):
        for form in corpus.GOOD:
            with self.subTest(form=form.name):
                answers = self.judge(form)
                if not form.closes:
                    # Here the second request is no secret: it was sent, and is answered as the second.
                    self.assertEqual((answers[1].status, answers[1].json["id"]), (200, "smuggled"))
                self.victim()

    def test_GW_02_every_form_cut_into_single_bytes(self):
        """The verdict does not depend on how the bytes come in."""
        for form in corpus.HOSTILE:
            if len(form.data) > 400:
                continue
            with self.subTest(form=form.name), wire.Wire(self.lab.port) as connection:
                for byte in form.data:
                    if not connection.send(bytes([byte])):
                        break
                answer = connection.read()
                self.assertIsNotNone(answer)
                self.assertIn(answer.status, form.statuses, answer)
        self.victim()

    def test_GW_03_a_pipeline_behind_a_refused_body_is_not_a_request(self):
        """A body that is refused for its size is not looked through for requests."""
        body = SMUGGLED * 400
        answers = wire.every(self.lab.port, wire.request("/api/account/login/", method="POST", body=body))
        self.assertEqual([a.status for a in answers], [413])
        # Unread because the method is wrong: skipped as a body, then the next request is answered.
        with wire.Wire(self.lab.port) as connection:
            connection.send(wire.request("/media/x", method="DELETE", body=SMUGGLED) + wire.request("/media/next"))
            self.assertEqual(connection.read().status, 405)
            self.assertEqual(connection.read().json["target"], "/media/next")
        self.assertNotIn("/media/smuggled", [s.target for s in self.lab.origin.since(self.begin)])

    def test_GW_03_wrong_answers_of_a_service_reach_nobody_else(self):
        """What a service sends beyond its answer is never taken for the answer to the next request."""
        for wish, statuses in (
            ("extra", {200}),
            ("both", {502}),
            ("twice", {502}),
            ("rubbish", {502}),
            ("folded", {502}),
            ("upgrade", {502}),
            ("drop", {502}),
        ):
            for method in ("GET", "HEAD"):
                with self.subTest(wish=wish, method=method):
                    answer = wire.once(
                        self.lab.port,
                        wire.request(f"/media/a?lab={wish}", method=method, close=True),
                        is_head=method == "HEAD",
                    )
                    self.assertIn(answer.status, statuses | ({200} if method == "HEAD" else set()))
                    self.assertNotIn(b"poisoned", answer.body)
                    self.assertNotIn(b"10.1.2.3", answer.body)
                    for _ in range(2):
                        self.victim()
        # An answer that breaks off is not passed off as whole.
        for wish in ("chunks", "short"):
            with self.subTest(wish=wish), wire.Wire(self.lab.port) as connection:
                connection.send(wire.request(f"/media/a?lab={wish}"))
                try:
                    answer = connection.read()
                    self.assertEqual(answer.status, 502)
                except (EOFError, AttributeError, ValueError):
                    pass
            self.victim()

    def test_GW_03_framing_is_made_anew(self):
        fields = ["Transfer-Encoding: chunked", self.lab.bearer()]
        answer = self.lab.send(
            wire.request(lab.CLOSED, *fields, method="POST", body=b"2;x=y\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n")
        )
        self.assertEqual(answer.json["length"], 2)
        seen = self.lab.origin.seen[-1]
        self.assertEqual((seen.all("transfer-encoding"), seen.all("content-length")), (["chunked"], []))
        self.assertIsNone(seen["x-sum"])
        answer = self.lab.send(wire.request(lab.CLOSED, self.lab.bearer(), method="POST", body=b"{}"))
        self.assertEqual(self.lab.origin.seen[-1].all("content-length"), ["2"])

    def test_GW_03_hop_by_hop_fields_end_here(self):
        hop = [
            "Connection: keep-alive, Foo, Upgrade",
            "Foo: 1",
            "Keep-Alive: 5",
            "TE: trailers",
            "Trailer: X",
            "Upgrade: h2c",
            "HTTP2-Settings: AA",
            "Proxy-Authorization: x",
            "Proxy-Connection: close",
            "Proxy-Authenticate: x",
            "Expect: 100-continue",
            "X-Stays: yes",
        ]
        self.lab.ask(lab.CLOSED, *hop, self.lab.bearer())
        seen = {name for name, _ in self.lab.origin.seen[-1].fields}
        gone = {f.split(":")[0].lower() for f in hop} - {"x-stays"}
        self.assertEqual(seen & gone, set())
        self.assertIn("x-stays", seen)

    def test_GW_03_connection_cannot_name_what_is_needed(self):
        for name in (
            "authorization",
            "host",
            "content-length",
            "x-request-id",
            "X-Anything",
            "Taskflow-Position",
            "If-Match",
            "Idempotency-Key",
            "Content-Type",
            "Transfer-Encoding",
        ):
            with self.subTest(name=name):
                answer = self.lab.ask(lab.OPEN, f"Connection: {name}")
                self.assertEqual(answer.status, 400)
        self.assertEqual(self.lab.origin.since(self.begin), [])

    def test_GW_02_expect(self):
        with wire.Wire(self.lab.port) as connection:
            connection.send(
                wire.request(lab.CLOSED, self.lab.bearer(), "Expect: 100-continue", "Content-Length: 2", method="POST")
            )
            self.assertEqual(connection.read(interim=True).status, 100)
            connection.send(b"{}")
            self.assertEqual(connection.read().status, 200)
        # A final status at once where the body is not wanted: no token, too large, no such path.
        for data, status in (
            (wire.request(lab.CLOSED, "Expect: 100-continue", "Content-Length: 2", method="POST"), 401),
            (
                wire.request(
                    lab.CLOSED, self.lab.bearer(), "Expect: 100-continue", "Content-Length: 9999999", method="POST"
                ),
                413,
            ),
            (wire.request("/nothing", "Expect: 100-continue", "Content-Length: 2", method="POST"), 404),
        ):
            with wire.Wire(self.lab.port, timeout=5) as connection:
                connection.send(data)
                self.assertEqual(connection.read(interim=True).status, status)


if __name__ == "__main__":
    unittest.main()
