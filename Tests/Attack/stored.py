"""All that an installation keeps, as text: the rows of every table, every value in Redis, every file. And what a secret
can look like in there."""

import base64
import hashlib
import re
import subprocess

# What of a mailed link, an unsubscribe link or a refresh token nobody can make without a key is its end; ids and
# counters stand before it, and are kept.
SEAL = 32
# The files that are there to hold secrets; `test_secrets.Files` looks at who may read them.
SETTINGS = ["secrets.json", "taskflow.env", "demo-login.json"]


def opened(text):
    """The bytes of base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def spelled(data):
    """Bytes as programs write them down; a dump of Postgres has hex."""
    plain = base64.b64encode(data).rstrip(b"=").decode()
    return {data.hex(), data.hex().upper(), plain, plain.translate(str.maketrans("+/", "-_"))}


class Secrets:
    """Secrets that were seen, by what they are, and every form that would give them away."""

    def __init__(self):
        self.texts, self.seals = {}, {}

    def password(self, name, text):
        """Nobody may read it, and nobody may try a word list on a hash that is fast to make."""
        hashes = [hashlib.new(kind, text.encode()).digest() for kind in ("md5", "sha1", "sha256", "sha512")]
        self.texts[name] = {text}.union(spelled(text.encode()), *map(spelled, hashes))
        return text

    def token(self, name, text):
        """A refresh token, an access token or the token of a link; only its last part is secret."""
        last = text.split(".")[-1]
        seal = opened(last) if text.count(".") == 2 and not text.startswith("v1.") else opened(last)[-SEAL:]
        assert len(seal) >= SEAL, (name, text)
        self.texts[name] = {last, *spelled(seal)}
        self.seals[name] = seal
        return text

    def pair(self, name, answer):
        """Both tokens of an answer, which it gives."""
        self.token(f"access token of {name}", answer["access"])
        self.token(f"refresh token of {name}", answer["refresh"])
        return answer

    def found(self, places):
        """(secret, place) for each text of `places` that holds one."""
        return {
            (name, place)
            for place, text in places.items()
            for name, forms in self.texts.items()
            if any(form in text for form in forms)
        }

    def files(self, folder, besides=()):
        """The files below a folder that hold one, however long ago it was written; `besides` names folders."""
        patterns = {form.encode() for forms in self.texts.values() for form in forms}
        # A line of grep's patterns is a pattern, so the longest piece without a line's end has to do.
        patterns |= {max(seal.split(b"\n"), key=len) for seal in self.seals.values()}
        assert min(map(len, patterns)) >= 8
        leave = [f"--exclude={name}" for name in SETTINGS] + [f"--exclude-dir={name}" for name in besides]
        # -R follows the link to the servers' data, -s is silent about files that Postgres has removed meanwhile.
        done = subprocess.run(
            ["grep", "-RalsF", *leave, "-f", "-", str(folder)],
            input=b"\n".join(sorted(patterns)),
            capture_output=True,
            timeout=120,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        )
        return set(done.stdout.decode().splitlines())


def tables(url):
    """The rows of every table of a database, by its name."""
    dump = subprocess.run(
        ["pg_dump", "--data-only", url], check=True, capture_output=True, text=True, timeout=120
    ).stdout
    return {
        found[1].replace('"', ""): found[2]
        for found in re.finditer(r"^COPY (\S+) \([^\n]*\) FROM stdin;\n(.*?)^\\\.$", dump, re.M | re.S)
    }


READERS = {
    "string": "GET {}",
    "hash": "HGETALL {}",
    "list": "LRANGE {} 0 -1",
    "set": "SMEMBERS {}",
    "zset": "ZRANGE {} 0 -1 WITHSCORES",
    "stream": "XRANGE {} - +",
}


def redis(socket):
    """What every key of a Redis holds, by the key."""

    def ask(*commands):
        done = subprocess.run(
            ["redis-cli", "-s", socket],
            input="\n".join(commands),
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.stdout

    keys = ask("KEYS *").split()
    kinds = dict(zip(keys, ask(*(f"TYPE {key}" for key in keys)).split()))
    # A key may have run out meanwhile.
    kinds = {key: kind for key, kind in kinds.items() if kind != "none"}
    mark = "=== the next key"
    values = ask(*(line for key, kind in kinds.items() for line in (f'ECHO "{mark}"', READERS[kind].format(key))))
    parts = values.split(mark + "\n")[1:]
    assert len(parts) == len(kinds)
    return {key: f"{key}\n{part}" for key, part in zip(kinds, parts)}
