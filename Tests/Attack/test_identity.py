"""Who is asking, and from where: nothing that a client says of itself is believed."""

import itertools
import re
import time
import unittest

import lab
import wire

FORGED = [
    "X-User-Id",
    "X-User-Role",
    "X-Org-Id",
    "X-Internal-Credential",
    "X-Internal-Client-Address",
    "X-Internal-Position",
    "X-Internal-Session",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-User",
    "X-Forwarded-Prefix",
    "Forwarded",
    "X-Real-IP",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Taskflow-Organization",
    "Taskflow-User",
    "Cookie",
    "Via",
]


class Identity(unittest.TestCase):
    def setUp(self):
        self.lab = lab.shared()

    def test_GW_04_no_identity_field_gets_through(self):
        spellings = itertools.chain.from_iterable(
            (name, name.lower(), name.upper(), name.replace("-", "_"), name.replace("-", "_").lower())
            for name in FORGED
        )
        bearer = self.lab.bearer()
        for name in spellings:
            with self.subTest(name=name):
                self.lab.ask(lab.CLOSED, f"{name}: forged", bearer)
                seen = self.lab.origin.seen[-1]
                self.assertNotIn("forged", [value for _, value in seen.fields])
                self.assertEqual(len(seen.all("x-internal-client-address")), 1)
                self.assertEqual(seen["x-internal-client-address"], "127.0.0.1")

    def test_GW_04_names_with_underscores_are_dropped(self):
        self.lab.ask(
            lab.CLOSED,
            "X_Custom: a",
            "Content_Length: 5",
            "Transfer_Encoding: chunked",
            "Authorization_: x",
            "X-Custom: b",
            self.lab.bearer(),
        )
        seen = self.lab.origin.seen[-1]
        self.assertFalse([name for name, _ in seen.fields if "_" in name])
        self.assertEqual(seen["x-custom"], "b")

    def test_GW_04_request_ids_of_other_forms_are_replaced(self):
        for given, kept in (
            ("a-B-9", True),
            ("x" * 64, True),
            ("x" * 65, False),
            ("a_b", False),
            ("a b", False),
            ("", False),
            ("<script>", False),
            ("a\tb", False),
        ):
            answer = self.lab.ask(lab.OPEN, f"X-Request-Id: {given}")
            seen = self.lab.origin.seen[-1]
            self.assertEqual(seen["x-request-id"], answer["x-request-id"])
            self.assertEqual(answer["x-request-id"] == given, kept, given)
            self.assertRegex(answer["x-request-id"], r"^[A-Za-z0-9-]{1,64}$")
        answer = self.lab.ask(lab.OPEN, "X-Request-Id: one", "X-Request-Id: two")
        self.assertNotIn(answer["x-request-id"], ("one", "two"))

    def test_GW_04_a_token_that_was_not_judged_goes_no_further(self):
        self.lab.ask(lab.OPEN, "Authorization: Bearer stolen")
        self.assertIsNone(self.lab.origin.seen[-1]["authorization"])

    def test_GW_17_a_valid_trace_goes_on_and_anything_else_is_replaced(self):
        trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
        good = f"00-{trace}-{span}-01"
        for given, continues in (
            (good, True),
            (f"cc-{trace}-{span}-01-later", True),
            (f"00-{trace}-{span}-01-x", False),
            ("", False),
            (f"ff-{trace}-{span}-01", False),
            (f"00-{'0' * 32}-{span}-01", False),
            (f"00-{trace}-{'0' * 16}-01", False),
            (f"00-{trace.upper()}-{span}-01", False),
            (f"00-{trace}-{span}", False),
            (f"00-{trace[:-1]}-{span}-01", False),
            ("x" * 55, False),
            (good + ", " + good, False),
        ):
            with self.subTest(given=given):
                self.lab.ask(lab.OPEN, f"traceparent: {given}", "tracestate: vendor=1")
                seen = self.lab.origin.seen[-1]
                self.assertRegex(seen["traceparent"], r"^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$")
                self.assertEqual(len(seen.all("traceparent")), 1)
                self.assertEqual(trace in seen["traceparent"], continues)
                self.assertNotIn(span, seen["traceparent"])
                # What belongs to a trace that does not go on does not go on either.
                self.assertEqual(seen["tracestate"], "vendor=1" if continues else None)
        self.lab.ask(lab.OPEN, f"traceparent: {good}", f"traceparent: {good}")
        self.assertNotIn(trace, self.lab.origin.seen[-1]["traceparent"])

    def test_GW_06_random_keys_do_not_make_the_gateway_fetch(self):
        self.lab.ask(lab.CLOSED, self.lab.bearer())
        before, start = len(self.lab.origin.fetches), time.monotonic()
        statuses = set()
        for block in range(10):
            with wire.Wire(self.lab.port) as connection:
                data = b""
                for number in range(100):
                    header = {"alg": "EdDSA", "typ": "at+jwt", "kid": f"random-{block}-{number}"}
                    token = f"{lab.encode(lab.compact(header))}.{lab.encode(b'{}')}.{lab.encode(b'x' * 64)}"
                    data += wire.request(lab.CLOSED, f"Authorization: Bearer {token}")
                connection.send(data)
                statuses |= {connection.read().status for _ in range(100)}
        seconds = time.monotonic() - start
        fetched = len(self.lab.origin.fetches) - before
        self.assertEqual(statuses, {401})
        self.assertLessEqual(fetched, 1 + seconds // 10)
        print(f"\n  1,000 random key ids in {seconds:.1f} s: {fetched} fetches of the key set", flush=True)

    def test_GW_06_a_new_key_is_fetched_at_its_first_token_and_stale_ones_serve_on(self):
        other = "lab-key-2"
        token = self.lab.token(header={"alg": "EdDSA", "typ": "at+jwt", "kid": other}, secret=lab.OTHER_KEY)
        bearer = f"Authorization: Bearer {token}"
        self.lab.origin.keys = [self.lab.jwk(lab.SECRET_KEY, lab.KEY_ID), self.lab.jwk(lab.OTHER_KEY, other)]
        # An unknown id may be asked for once in ten seconds; the test before may have used that up.
        lab.wait(lambda: self.lab.ask(lab.CLOSED, bearer).status == 200, 15, every=0.5)
        self.lab.origin.keys = "nonsense"
        self.assertEqual(self.lab.ask(lab.CLOSED, self.lab.bearer()).status, 200)
        self.lab.origin.keys = [self.lab.jwk(lab.SECRET_KEY, lab.KEY_ID)]


class Proxies(unittest.TestCase):
    """Behind a proxy that is trusted, which here is 127.0.0.2."""

    @classmethod
    def setUpClass(cls):
        cls.lab = lab.Lab(
            {"TASKFLOW_RATE_LIMITS": "on"},
            lambda text: re.sub(r"# trusted_proxies.*", "trusted_proxies 127.0.0.2/32 10.0.0.0/8", text),
        )

    @classmethod
    def tearDownClass(cls):
        cls.lab.stop()

    def address(self, source, *hops):
        self.lab.ask(lab.OPEN, *(f"X-Forwarded-For: {hop}" for hop in hops), source=source)
        return self.lab.origin.seen[-1]["x-internal-client-address"]

    def test_GW_05_forwarded_for_counts_from_a_trusted_peer_only(self):
        self.assertEqual(self.address("127.0.0.3", "9.9.9.9"), "127.0.0.3")
        self.assertEqual(self.address("127.0.0.2", "9.9.9.9"), "9.9.9.9")
        self.assertEqual(self.address("127.0.0.2", "6.6.6.6, 9.9.9.9"), "9.9.9.9")
        self.assertEqual(self.address("127.0.0.2", "6.6.6.6", "9.9.9.9, 10.1.1.1"), "9.9.9.9")
        self.assertEqual(self.address("127.0.0.2", "9.9.9.9, nonsense"), "127.0.0.2")
        self.assertEqual(self.address("127.0.0.2"), "127.0.0.2")

    def test_GW_05_limits_count_by_the_peer(self):
        body = b"{}"
        statuses = [
            self.lab.ask(
                "/api/account/login/", f"X-Forwarded-For: 8.8.{n}.1", method="POST", body=body, source="127.0.0.7"
            ).status
            for n in range(22)
        ]
        self.assertEqual(statuses, [200] * 20 + [429] * 2)
