"""Access tokens of every wrong kind, signed by the right key unless that is what is wrong with them."""

import base64
import hashlib
import hmac
import json
import time
import unittest
import uuid

import ed25519
import lab

GOOD_HEADER = {"alg": "EdDSA", "typ": "at+jwt", "kid": lab.KEY_ID}


class Tokens(unittest.TestCase):
    def setUp(self):
        self.lab = lab.shared()

    def status(self, token, scheme="Bearer"):
        answer = self.lab.ask(lab.CLOSED, f"Authorization: {scheme} {token}")
        if answer.status == 401:
            self.assertEqual(answer.json["code"], "invalid-token")
            self.assertIn("invalid_token", answer["www-authenticate"])
        return answer.status

    def refused(self, tokens):
        begin = len(self.lab.origin.seen)
        for name, token in tokens.items():
            with self.subTest(name):
                self.assertEqual(self.status(token), 401)
        self.assertEqual(self.lab.origin.since(begin), [])

    def header(self, **changes):
        header = {**GOOD_HEADER, **changes}
        return self.lab.token(header={name: value for name, value in header.items() if value is not None})

    def test_AUTH_05_the_forger_is_good(self):
        """Without this the other tests would prove nothing: the same maker's good tokens pass."""
        self.assertEqual(self.status(self.lab.token()), 200)
        # 10 s of leeway in both directions.
        now = int(time.time())
        self.assertEqual(self.status(self.lab.token(iat=now + 6, exp=now + 300)), 200)
        self.assertEqual(self.status(self.lab.token(iat=now - 200, exp=now - 6)), 200)
        self.assertEqual(self.status(self.lab.token(nbf=now + 6)), 200)
        self.assertEqual(self.status(self.lab.token(), "bEARER"), 200)

    def test_AUTH_05_algorithms_and_types(self):
        claims = lab.compact(self.lab.claims())
        public = ed25519.public_key(lab.SECRET_KEY)

        def shared_secret(algorithm, digest, key):
            signed = f"{lab.encode(lab.compact({**GOOD_HEADER, 'alg': algorithm}))}.{lab.encode(claims)}"
            return f"{signed}.{lab.encode(hmac.new(key, signed.encode(), digest).digest())}"

        unsigned = f"{lab.encode(lab.compact({'alg': 'none', 'typ': 'at+jwt'}))}.{lab.encode(claims)}"
        self.refused(
            {
                "none": unsigned + ".",
                "none without a dot": unsigned,
                "None": self.header(alg="None"),
                "NONE": self.header(alg="NONE"),
                "none, signed": self.header(alg="none"),
                "no alg": self.header(alg=None),
                "alg null": self.lab.token(header=b'{"alg":null,"typ":"at+jwt","kid":"lab-key"}'),
                "HS256 with the public key": shared_secret("HS256", hashlib.sha256, public),
                "HS256 with its text": shared_secret("HS256", hashlib.sha256, lab.encode(public).encode()),
                "HS256 with nothing": shared_secret("HS256", hashlib.sha256, b""),
                "HS512": shared_secret("HS512", hashlib.sha512, public),
                "RS256": self.header(alg="RS256"),
                "ES256": self.header(alg="ES256"),
                "Ed25519": self.header(alg="Ed25519"),
                "eddsa": self.header(alg="eddsa"),
                "typ JWT": self.header(typ="JWT"),
                "typ missing": self.header(typ=None),
                "typ in capitals": self.header(typ="AT+JWT"),
                "typ with a prefix": self.header(typ="application/at+jwt"),
                "ID token": self.header(typ="id+jwt"),
                "crit": self.header(crit=["exp"]),
                "crit empty": self.header(crit=[]),
                "b64": self.header(b64=False),
                "jku": self.header(jku="http://127.0.0.1/jwks.json"),
                "x5u": self.header(x5u="http://127.0.0.1/"),
                "jwk": self.header(jwk=self.lab.jwk(lab.OTHER_KEY, lab.KEY_ID)),
                "x5c": self.header(x5c=["AA"]),
                "zip": self.header(zip="DEF"),
                "no kid": self.header(kid=None),
                "kid of another": self.header(kid="other"),
                "kid a path": self.header(kid="../lab-key"),
                "kid a number": self.header(kid=1),
                "kid an injection": self.header(kid="lab-key' OR '1'='1"),
            }
        )

    def test_AUTH_05_signatures(self):
        good = self.lab.token()
        head, claims, signature = good.split(".")
        raw = base64.urlsafe_b64decode(signature + "==")
        order = int.from_bytes(raw[32:], "little") + ed25519.L
        self.refused(
            {
                "another key": self.lab.token(secret=lab.OTHER_KEY),
                "empty": f"{head}.{claims}.",
                "zeros": f"{head}.{claims}.{lab.encode(bytes(64))}",
                "a changed bit": f"{head}.{claims}.{lab.encode(bytes([raw[0] ^ 1]) + raw[1:])}",
                "cut": f"{head}.{claims}.{lab.encode(raw[:63])}",
                "longer": f"{head}.{claims}.{lab.encode(raw + b'x')}",
                "of other claims": f"{head}.{self.lab.token().split('.')[1]}.{signature}",
                # RFC 8032, 5.1.7: S has to be below the order of the group, or one token would have two spellings.
                "malleable": f"{head}.{claims}.{lab.encode(raw[:32] + order.to_bytes(32, 'little'))}",
            }
        )
        self.assertEqual(self.status(good), 200)

    def test_AUTH_05_claims(self):
        now = int(time.time())
        changes = {
            "iss of another": {"iss": "https://evil.example"},
            "iss with a slash": {"iss": self.lab.url + "/"},
            "iss missing": {"iss": None},
            "iss in capitals": {"iss": self.lab.url.upper()},
            "iss a list": {"iss": [self.lab.url]},
            "aud other": {"aud": "other"},
            "aud missing": {"aud": None},
            "aud a list": {"aud": ["taskflow"]},
            "aud two": {"aud": ["taskflow", "other"]},
            "no exp": {"exp": None},
            "exp a text": {"exp": str(now + 300)},
            "exp a fraction": {"exp": now + 300.5},
            "exp past": {"iat": now - 300, "exp": now - 12},
            "exp too far": {"iat": now, "exp": now + 301},
            "exp in a year": {"exp": now + 31536000},
            "exp before iat": {"exp": now - 1},
            "exp negative": {"exp": -1},
            "exp huge": {"exp": 2**62},
            "no iat": {"iat": None},
            "iat future": {"iat": now + 20, "exp": now + 300},
            "nbf future": {"nbf": now + 20},
            "nbf a text": {"nbf": "now"},
            "no sub": {"sub": None},
            "sub empty": {"sub": ""},
            "sub a number": {"sub": 7},
            "sub in capitals": {"sub": str(uuid.uuid4()).upper()},
            "sub an injection": {"sub": "' OR 1=1 --"},
            "no org": {"org": None},
            "org no id": {"org": "*"},
            "no sid": {"sid": None},
            "no role": {"role": None},
            "role unknown": {"role": "ROOT"},
            "role in small letters": {"role": "admin"},
            "role a list": {"role": ["ADMIN"]},
            "no gen": {"gen": None},
            "gen negative": {"gen": -1},
            "gen a text": {"gen": "0"},
            "no jti": {"jti": None},
            "jti empty": {"jti": ""},
            "jti long": {"jti": "x" * 65},
        }
        self.refused({name: self.lab.token(**change) for name, change in changes.items()})

    def test_AUTH_05_json_and_base64(self):
        text = json.dumps(self.lab.claims())
        double = text[:-1] + ', "role": "ADMIN"}'
        escaped = text[:-1] + ', "r\\u006fle": "ADMIN"}'
        head, claims, signature = self.lab.token().split(".")
        self.refused(
            {
                "role twice": self.lab.token(claims=double.encode()),
                "role twice, escaped": self.lab.token(claims=escaped.encode()),
                "alg twice": self.lab.token(header=b'{"alg":"none","alg":"EdDSA","typ":"at+jwt","kid":"lab-key"}'),
                "claims a list": self.lab.token(claims=b"[]"),
                "claims no JSON": self.lab.token(claims=b"claims"),
                "claims empty": self.lab.token(claims=b""),
                "two objects": self.lab.token(claims=text.encode() + b"{}"),
                "a byte order mark": self.lab.token(claims=b"\xef\xbb\xbf" + text.encode()),
                "broken UTF-8": self.lab.token(claims=text.encode()[:-1] + b', "x": "\xff"}'),
                "deep": self.lab.token(claims=text.encode()[:-1] + b', "x": ' + b"[" * 1000 + b"]" * 1000 + b"}"),
                "padding": f"{head}.{claims}.{signature}==",
                "padding in claims": f"{head}.{claims}=.{signature}",
                "plain base64": f"{head}.{claims}.{signature[:-1]}+",
                "a blank": f"{head}.{claims} .{signature}",
                "a line feed coded": f"{head}.{claims}%0A.{signature}",
                "four parts": f"{head}.{claims}.{signature}.x",
                "two parts": f"{head}.{claims}",
                "one part": head,
                "dots": "..",
                "five parts, as JWE": f"{head}.a.b.c.d",
                "over 4 KiB": self.lab.token(x="a" * 4096),
                "8 KiB": "x" * 8000,
            }
        )
        last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        others = {f"last character {c}": f"{head}.{claims}.{signature[:-1]}{c}" for c in last if c != signature[-1]}
        self.refused(others)
        self.assertEqual(self.status(f"{head}.{claims}.{signature}"), 200)

    def test_AUTH_05_other_ways_to_say_it(self):
        token = self.lab.token()
        for value in (
            f"Bearer  {token}",
            f"Bearer\t{token}",
            token,
            f"Token {token}",
            f"Basic {token}",
            "Bearer",
            f"Bearer {token},x",
            f"Bearer {token} {token}",
            f"Bearer{token}",
            f"Bearer: {token}",
        ):
            with self.subTest(value[:12]):
                self.assertEqual(self.lab.ask(lab.CLOSED, f"Authorization: {value}").status, 401)
        # Nowhere but in Authorization.
        for path, fields in (
            (f"{lab.CLOSED}?access_token={token}", []),
            (lab.CLOSED, [f"Cookie: access_token={token}"]),
            (lab.CLOSED, [f"X-Authorization: Bearer {token}"]),
            (lab.CLOSED, [f"Proxy-Authorization: Bearer {token}"]),
            (lab.CLOSED, [f"Authorization_: Bearer {token}"]),
        ):
            self.assertEqual(self.lab.ask(path, *fields).status, 401)

    def test_AUTH_05_a_dead_session_or_key_is_dead_at_once(self):
        session = str(uuid.uuid4())
        first = self.lab.token(sid=session, gen=3)
        self.assertEqual(self.status(first), 200)
        self.lab.command("SET", f"{{auth}}:session:{session}", "4")
        answer = self.lab.ask(lab.CLOSED, f"Authorization: Bearer {first}")
        self.assertEqual((answer.status, answer.json["code"]), (401, "session-changed"))
        self.assertEqual(self.status(self.lab.token(sid=session, gen=4)), 200)
        self.lab.command("SET", f"{{auth}}:session:{session}", "ended")
        self.assertEqual(
            self.lab.ask(lab.CLOSED, f"Authorization: Bearer {self.lab.token(sid=session, gen=9)}").status, 401
        )
        self.lab.command("SET", f"{{auth}}:kid:{lab.KEY_ID}", "revoked")
        try:
            self.assertEqual(self.status(self.lab.token()), 401)
        finally:
            self.lab.command("DEL", f"{{auth}}:kid:{lab.KEY_ID}")
        self.assertEqual(self.status(self.lab.token()), 200)
        # A Redis that does not know of everything that was revoked is not believed.
        known = self.lab.command("GET", "{auth}:confirmed")
        self.lab.command("SET", "{auth}:confirmed", "another-server")
        try:
            self.assertEqual(self.lab.ask(lab.CLOSED, self.lab.bearer()).status, 503)
        finally:
            self.lab.command("SET", "{auth}:confirmed", known)
