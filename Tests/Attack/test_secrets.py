"""A copy of all that is kept, in the hands of a thief, and the files that hold the installation's own secrets."""

import json
import os
import pathlib
import secrets
import shutil
import stat
import subprocess
import tempfile
import unittest
import urllib.parse

import installation
import lab
import stored
import wire

MAILED = "mail"


class Copies(unittest.TestCase):
    """Somebody does everything in which secrets come and go; then whatever is kept is searched for them."""

    @classmethod
    def setUpClass(cls):
        cls.place = installation.shared()
        cls.support = installation.adopt(cls.place)
        cls.secrets = stored.Secrets()
        for name, value in cls.place.settings.items():
            if name == "TASKFLOW_SECRET":
                cls.secrets.texts[name] = {value}
            elif name.endswith("_DATABASE_URL"):
                cls.secrets.texts[f"password in {name}"] = {urllib.parse.urlsplit(value).password}
        cls.people = []
        cls.live_a_life()

    @classmethod
    def password(cls, name):
        return cls.secrets.password(name, secrets.token_hex(8) + "-" + secrets.token_hex(6))

    @classmethod
    def post(cls, path, body, client=None, status=200):
        """An answer is kept under an idempotency key where that is done, which must not be where tokens are."""
        answer = (client or cls.support.Client()).post(path, body, headers={"Idempotency-Key": secrets.token_hex(8)})
        assert answer.status == status, answer
        return answer.json if answer.body else None

    @classmethod
    def link(cls, name, address, before=()):
        link = cls.support.new_link(address, before)
        cls.secrets.token(name, link.strip("/").split("/")[-1])
        assert cls.support.Client().get(link).status == 200
        return link

    @classmethod
    def live_a_life(cls):
        support = cls.support
        address = support.unique("thief") + "@example.com"
        first, second, third, fourth = (cls.password(f"{n} password") for n in ("first", "second", "third", "fourth"))
        admin = support.Client()
        form = support.sign_up_form(address, password=first)
        admin.adopt(cls.secrets.pair("the sign-up", cls.post(support.SIGN_UP, form, status=201)))
        mistaken = cls.password("password typed wrongly")
        cls.post(support.LOG_IN, {"email": address, "password": mistaken}, status=401)
        misplaced = cls.password("password typed in place of the address")
        cls.post(support.LOG_IN, {"email": misplaced, "password": "x" * 12}, status=401)
        session = cls.secrets.pair("the login", cls.post(support.LOG_IN, {"email": address, "password": first}))
        for number in ("first", "second"):
            session = cls.post(support.REFRESH, {"refresh": session["refresh"]})
            cls.secrets.pair(f"the {number} refresh", session)
        cls.post("/api/account/change-password/", {"old_password": first, "new_password": second}, admin)
        cls.post(support.RESET, {"email": address}, status=202)
        reset = cls.link("token of a reset", address)
        cls.post(reset, {"password1": third, "password2": third})
        admin.adopt(cls.secrets.pair("another login", cls.post(support.LOG_IN, {"email": address, "password": third})))

        colleague = support.unique("thief") + "@example.com"
        cls.post(support.USERS, support.new_user(email=colleague), admin, status=201)
        welcome = cls.link("token of a welcome", colleague)
        cls.post(welcome, {"password1": fourth, "password2": fourth})
        # One that stays good.
        cls.post(support.RESET, {"email": colleague}, status=202)
        cls.link("token of a reset that is not used", colleague, (welcome,))
        login = {"email": colleague, "password": fourth}
        person = support.Client().adopt(
            cls.secrets.pair("the colleague", support.eventually(lambda: cls.post(support.LOG_IN, login)))
        )
        project = cls.post(support.PROJECTS, {"name": support.unique("Project")}, admin, status=201)
        cls.post(f"{support.PROJECTS}{project['id']}/collaborators/{colleague}/", None, admin, status=201)
        mail = support.eventually(lambda: [m for m in support.mails(colleague) if m["List-Unsubscribe"]])[0]
        path = urllib.parse.urlsplit(mail["List-Unsubscribe"].strip("<>")).path
        cls.secrets.token("token for unsubscribing", path.strip("/").split("/")[-1])
        cls.post(path, None)

        newcomer = cls.sign_up_with_verification()
        cls.post("/api/account/logout/", {"refresh": person.refresh}, person)
        assert admin.delete("/api/account/sessions/").status == 204
        cls.people += [address, colleague, newcomer]

    @classmethod
    def sign_up_with_verification(cls):
        """At an auth of another setting, since the shared one believes addresses."""
        support, port, address = cls.support, lab.free_port(), cls.support.unique("thief") + "@example.com"
        settings = {"TASKFLOW_EMAIL_VERIFICATION": "on", "TASKFLOW_AUTH_LISTEN": f"127.0.0.1:{port}"}
        auth = cls.place.start_like("auth", **settings)
        try:
            lab.wait(lambda: auth.poll() is not None or lab.is_ready(port), 60)
            form = support.sign_up_form(address, password=cls.password("password that waits"))
            request = wire.request(
                support.SIGN_UP,
                "Content-Type: application/json",
                method="POST",
                body=json.dumps(form).encode(),
                close=True,
            )
            answer = wire.once(port, request)
            assert answer.status == 202, answer
            link = cls.link("token of a verification", address)
            # Before the account is made of what waits.
            cls.waiting = stored.tables(cls.place.database_url())
            cls.secrets.pair("the verification", cls.post(link, None))
        finally:
            lab.end(auth)
        return address

    def redis(self):
        return stored.redis(str(self.place.folder / "redis.sock"))

    def test_AUTH_08_no_event_holds_a_secret(self):
        streams = self.support.eventually(lambda: (r := self.redis()) and self.people[2] in str(r) and r)
        outboxes = {
            name: text
            for name, text in stored.tables(self.place.database_url()).items()
            if name.split(".")[1].startswith(("outbox", "parked"))
        }
        # Names and addresses are in there, so this is where a secret would be. Streams keep what not everybody has read,
        # for some seconds: of the others' time there the file of Redis tells.
        for address in self.people:
            self.assertIn(address, str(outboxes))
        self.assertEqual(len([name for name in outboxes if "outbox_" in name]), 5 * 8)
        self.assertEqual(self.secrets.found({**streams, **outboxes}), set())
        count = len(self.secrets.texts)
        print(f"\n  {count} secrets, {len(streams)} keys in Redis, {len(outboxes)} tables", flush=True)

    def test_AUTH_08_a_copy_of_the_database_opens_nothing(self):
        rows = stored.tables(self.place.database_url())
        for table in ("auth.account", "auth.session", "auth.link_request", "auth.audit", "project.idempotency"):
            self.assertTrue(rows.get(table), sorted(rows))
        self.assertIn(self.people[2], self.waiting["auth.pending_signup"])
        self.assertNotIn(self.people[2], rows["auth.pending_signup"])
        self.assertEqual(self.secrets.found(rows) | self.secrets.found(self.waiting), set())

    def test_AUTH_08_no_file_holds_a_secret_but_settings_and_mails(self):
        # Rows that are gone, values that Redis has forgotten, logs: what was written once is in a file.
        self.assertEqual(self.secrets.files(self.place.folder, besides=[MAILED]), set())
        self.assertTrue(self.secrets.files(self.place.folder / MAILED))

    def test_AUTH_08_the_search_finds_what_is_planted(self):
        """The oracle itself: every kind of place, every kind of secret, every way to write it down."""
        planted = stored.Secrets()
        password = planted.password("password", secrets.token_hex(8))
        raw = secrets.token_bytes(16) + secrets.token_bytes(40)
        token = planted.token("token", stored.base64.urlsafe_b64encode(raw).rstrip(b"=").decode())
        place, socket = self.place, str(self.place.folder / "redis.sock")
        forms = {
            "plain": f"'{token}'",
            "hidden": f"'{{\"link\": \"https://a.example/x/{token}/\"}}'",
            "bytes": f"'\\x{raw.hex()}'::bytea",
            "hash": f"sha256('{password}'::bytea)",
        }
        self.addCleanup(place.sql, "DROP SCHEMA IF EXISTS planted CASCADE")
        place.sql("CREATE SCHEMA planted")
        for name, value in forms.items():
            place.sql(f"CREATE TABLE planted.{name} AS SELECT 1 AS id, {value} AS value")
        values = ["XADD planted:stream * payload", "HSET planted:hash field", "SET planted:string"]
        values += ["RPUSH planted:list", "SADD planted:set", "ZADD planted:zset 1"]
        lines = [f"{command} {token}" for command in values]
        subprocess.run(["redis-cli", "-s", socket], input="\n".join(lines), check=True, text=True, capture_output=True)
        keys = [line.split()[1] for line in values]
        self.addCleanup(subprocess.run, ["redis-cli", "-s", socket, "DEL", *keys], check=True, capture_output=True)
        found = planted.found({**stored.tables(place.database_url()), **self.redis()})
        self.assertEqual(
            found,
            {("token", f"planted.{name}") for name in ("plain", "hidden", "bytes")}
            | {("password", "planted.hash")}
            | {("token", key) for key in keys},
        )
        # Removed again, it is still in the log of Postgres and in that of Redis.
        self.doCleanups()
        self.assertEqual(planted.found({**stored.tables(place.database_url()), **self.redis()}), set())
        files = planted.files(place.folder)
        self.assertTrue([name for name in files if "/pg_wal/" in name], files)
        self.assertTrue([name for name in files if name.endswith(".aof")], files)


def content(path):
    """What is in a file; of others, and of those that a server has removed meanwhile, nothing."""
    try:
        return path.read_bytes() if path.is_file() else b""
    except FileNotFoundError:
        return b""


class Files(unittest.TestCase):
    """What `up`, `secrets` and `backup` write where the system would let everybody read and write it."""

    @classmethod
    def setUpClass(cls):
        before = os.umask(0)
        try:
            cls.place = installation.Installation(in_processes=False)
        finally:
            os.umask(before)
        cls.addClassCleanup(cls.place.stop)
        cls.data = cls.place.folder / "data"

    def run_openly(self, *words, **environment):
        """`taskflow ...` under an umask of nothing."""
        subprocess.run(
            [lab.BINARY, *map(str, words)],
            env={**lab.surroundings(), **environment},
            umask=0,
            check=True,
            capture_output=True,
            timeout=60,
        )

    def mode(self, path):
        return stat.S_IMODE(path.stat().st_mode)

    def open_files(self, folder, texts):
        """Files that hold one of the texts, and those of them that others can get at."""
        holding = [path for path in folder.rglob("*") if any(text in content(path) for text in texts)]
        opened = [
            path
            for path in holding
            if not any(self.mode(p) & 0o077 == 0 for p in (path, *path.parents) if p.is_relative_to(folder))
        ]
        return {str(p.relative_to(folder)) for p in holding}, {str(p.relative_to(folder)) for p in opened}

    def test_AUTH_08_an_installation_keeps_its_secrets_from_other_accounts(self):
        support = installation.adopt(self.place)
        person = support.sign_up()
        person.post(support.RESET, {"email": person.email})
        link = support.new_link(person.email)
        kept = json.loads((self.data / "secrets.json").read_text())
        login = json.loads((self.data / "demo-login.json").read_text())
        texts = [kept["secret"], kept["administrator"], *kept["services"].values(), login["password"], link]
        holding, opened = self.open_files(self.data, [text.encode() for text in texts])
        self.assertLessEqual({"secrets.json", "taskflow.env", "demo-login.json"}, holding)
        self.assertTrue([name for name in holding if name.startswith("mail/")], holding)
        self.assertEqual(opened, set())
        for name in ("secrets.json", "taskflow.env", "demo-login.json", "lock"):
            self.assertEqual(self.mode(self.data / name), 0o600, name)
        # Started by root, the servers' accounts have to get through the folder.
        self.assertEqual(self.mode(self.data), 0o755 if os.geteuid() == 0 else 0o700)
        servers = (self.data / "servers").resolve() if (self.data / "servers").exists() else self.data
        for folder in (self.data / "mail", servers / "postgres", servers / "redis", servers / "run" / "redis"):
            self.assertEqual(self.mode(folder), 0o700, folder)
        # A log may name whatever a server complains of.
        for log in (servers / "run").glob("*.log"):
            self.assertEqual(self.mode(log), 0o600, log)

    def test_AUTH_08_a_backup_with_secrets_is_its_owners(self):
        target = self.place.folder / "backup"
        self.run_openly("backup", target, "--directory", self.data, "--with-secrets")
        secret = json.loads((self.data / "secrets.json").read_text())["secret"]
        self.assertEqual(self.open_files(target, [secret.encode()]), ({"secrets.json"}, set()))
        self.assertEqual((self.mode(target), self.mode(target / "secrets.json")), (0o700, 0o600))

    def test_AUTH_08_the_secrets_of_containers_are_their_accounts(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="taskflow-attack."))
        self.addCleanup(shutil.rmtree, folder)
        folder.chmod(0o755)
        # One that was open to all is closed. The second time is a start of containers whose volume is there.
        (folder / "taskflow.env").touch(0o644)
        for _ in range(2):
            self.run_openly("secrets", folder)
            modes = {path.name: self.mode(path) for path in folder.iterdir()}
            # Postgres reads its password in a container of its own, under another account.
            self.assertEqual(modes, {"taskflow.env": 0o600, "postgres-password": 0o644})
