"""What the acceptance tests share: a client of the public API, people, mails, and waiting for a condition.

Python and its standard library only, so that the oracle has nothing in common with the program it judges.
"""
import datetime
import email
import email.policy
import http.client
import itertools
import json
import os
import pathlib
import re
import shutil
import tempfile
import time
import unittest
import urllib.parse
import uuid

import openapi_check
import stores

ORIGIN = os.environ.get("TASKFLOW_ORIGIN", "http://127.0.0.1:8080")
MAIL = pathlib.Path(os.environ.get("TASKFLOW_MAIL", ".taskflow/mail"))
PASSWORD = "correct-horse-battery"
UTC = datetime.timezone.utc
TASKS, PROJECTS = "/api/project/tasks/", "/api/project_management/projects/"
USERS, DEPARTMENTS, ORGANIZATION = "/api/organization/users/", "/api/organization/departments/", "/api/organization/"
SIGN_UP, LOG_IN, REFRESH = "/api/account/signup/", "/api/account/login/", "/api/account/token/refresh/"
RESET, SWITCH, PICTURE = (
    f"/api/account/{name}/" for name in ("request-reset-password", "switch-organization", "profile-pic"))
NOTICES, PREFERENCES = "/api/notifications/", "/api/notifications/preferences/"
# One pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc0000003010100c9fe92ef"
    "0000000049454e44ae426082")
_count = itertools.count(1)
_run = uuid.uuid4().hex[:8]


def unique(prefix):
    """A name that no other test uses."""
    return f"{prefix}-{_run}-{next(_count)}"


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:600]!r}"


class Client:
    """One session: its tokens, its connection."""

    def __init__(self, address=None):
        self.origin = ORIGIN
        url = urllib.parse.urlsplit(ORIGIN)
        self.host, self.port = url.hostname, url.port
        # Where the requests come from: all of 127.0.0.0/8 is this machine.
        self.source = (address, 0) if address else None
        self.connection = None
        self.access = self.refresh = None
        self.login_answer = None

    def send(self, method, path, body=None, headers=None, raw=None):
        sent = {"Accept": "application/json"}
        if self.access:
            sent["Authorization"] = f"Bearer {self.access}"
        data = raw
        if body is not None:
            data = json.dumps(body, ensure_ascii=False).encode()
        if data is not None:
            sent["Content-Type"] = "application/json"
        sent.update(headers or {})
        sent = {k: v for k, v in sent.items() if v is not None}
        for attempt in (1, 2):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.host, self.port, timeout=35,
                                                              source_address=self.source)
            try:
                self.connection.request(method, path, body=data, headers=sent)
                response = self.connection.getresponse()
                content = response.read()
                answer = Answer(response.status, response.headers, content)
                if response.will_close:
                    self.close()
                openapi_check.check(self.origin, method, path, answer.status, answer.headers, answer.body)
                return answer
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                # A kept connection that the server has closed meanwhile.
                self.close()
                if attempt == 2:
                    raise

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def get(self, path, **kw):
        return self.send("GET", path, **kw)

    def post(self, path, body=None, **kw):
        return self.send("POST", path, body, **kw)

    def put(self, path, body=None, **kw):
        return self.send("PUT", path, body, **kw)

    def patch(self, path, body=None, **kw):
        return self.send("PATCH", path, body, **kw)

    def delete(self, path, body=None, **kw):
        return self.send("DELETE", path, body, **kw)

    def adopt(self, answer):
        self.login_answer = answer
        self.access, self.refresh = answer["access"], answer["refresh"]
        return self

    def pages(self, path, size=None):
        """Every row of a list, walked by its links."""
        if size:
            path += ("&" if "?" in path else "?") + f"page_size={size}"
        rows = []
        while path:
            answer = self.get(path)
            assert answer.status == 200, answer
            rows += answer.json["results"]
            path = answer.json["next"]
        return rows


def eventually(check, seconds=15, every=0.05):
    """Waits until `check` gives something true, and gives it."""
    deadline = time.monotonic() + seconds
    last = None
    while True:
        try:
            value = check()
            if value:
                return value
        except AssertionError as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {seconds} s" + (f": {last}" if last else ""))
        time.sleep(every)


def sign_up(organization=None, **fields):
    """A new organization and the session of its admin."""
    address = fields.pop("email", unique("admin") + "@example.com")
    client = Client()
    answer = client.post("/api/account/signup/", {
        "email": address, "password": PASSWORD, "first_name": "Ada", "last_name": "Admin",
        "organization": organization or unique("Org"), **fields})
    assert answer.status == 201, answer
    client.email = address
    return client.adopt(answer.json)


def log_in(address, password=PASSWORD, **fields):
    client = Client()
    client.email = address
    answer = client.post("/api/account/login/", {"email": address, "password": password, **fields})
    assert answer.status == 200, answer
    return client.adopt(answer.json)


def mails(address, subject_contains=None):
    """The mails to an address, oldest first."""
    found = []
    for path in sorted(MAIL.glob("*.eml"), key=lambda p: (p.stat().st_mtime_ns, p.name)):
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        if address.lower() in (message["To"] or "").lower():
            if subject_contains is None or subject_contains.lower() in message["Subject"].lower():
                found.append(message)
    return found


def text_of(message):
    return message.get_body(preferencelist=("plain",)).get_content()


def link_in(message):
    """The path of the link that stands alone on a line."""
    for line in text_of(message).splitlines():
        match = re.fullmatch(r"https?://[^/\s]+(/api/account/\S+)", line.strip())
        if match:
            return match.group(1)
    return None


def welcome_link(address):
    return eventually(lambda: next((link_in(m) for m in reversed(mails(address)) if link_in(m)), None))


def add_user(admin, role="DEVELOPER", log_in_too=True, **fields):
    """A user of the admin's organization, with a password set by the mailed link, logged in."""
    address = fields.pop("email", unique(role.lower()) + "@example.com")
    answer = admin.post("/api/organization/users/", {
        "email": address, "first_name": role.title(), "last_name": "Person", "role": role, **fields})
    assert answer.status == 201, answer
    if not log_in_too:
        return answer.json
    path = welcome_link(address)
    answer = Client().post(path, {"password1": PASSWORD, "password2": PASSWORD})
    assert answer.status == 200, answer
    client = eventually(lambda: try_log_in(address))
    return client


def try_log_in(address):
    client = Client()
    client.email = address
    answer = client.post("/api/account/login/", {"email": address, "password": PASSWORD})
    return client.adopt(answer.json) if answer.status == 200 else None


def project(client, **fields):
    answer = client.post("/api/project_management/projects/", {"name": unique("Project"), **fields})
    assert answer.status == 201, answer
    return answer.json


def collaborate(client, project_id, person):
    answer = client.post(f"/api/project_management/projects/{project_id}/collaborators/{person.email}/")
    assert answer.status == 201, answer
    # The other person's session learns of it through the event; a position handed over makes it certain.
    position = answer.headers.get("Taskflow-Position")
    if position:
        person.get("/api/project/tasks/", headers={"Taskflow-Position": position})
    return answer.json


def task(client, project_id, **fields):
    answer = client.post(f"/api/project/{project_id}/tasks/", {"title": unique("Task"), **fields})
    assert answer.status == 201, answer
    return answer.json


def iso(**delta):
    """A moment that far from now: `iso(hours=1)`."""
    return (datetime.datetime.now(UTC) + datetime.timedelta(**delta)).isoformat().replace("+00:00", "Z")


def day(days, zone=UTC):
    """A civil date that many days from today."""
    return (datetime.datetime.now(zone).date() + datetime.timedelta(days=days)).isoformat()


def query(**values):
    return "?" + urllib.parse.urlencode(values, doseq=True)


def user_path(address):
    return f"{USERS}{urllib.parse.quote(address, safe='')}/"


def task_path(t):
    return f"{TASKS}{t['id']}/"


def seen_by(answer, *people):
    """Lets other sessions read what this write did."""
    position = answer.headers["Taskflow-Position"]
    for person in people:
        assert person.get(TASKS + "?page_size=1", headers={"Taskflow-Position": position}).status == 200


def new_user(**fields):
    """The body of a new user."""
    return {"email": unique("user") + "@example.com", "first_name": "New", "last_name": "Person", "role": "DEVELOPER",
            **fields}


def sign_up_form(address, **fields):
    return {"email": address, "password": PASSWORD, "first_name": "Ada", "last_name": "Admin",
            "organization": unique("Org"), **fields}


def new_link(address, before=()):
    """The newest link mailed to an address that is not one of `before`."""
    return eventually(lambda: next(
        (link for m in reversed(mails(address)) if (link := link_in(m)) and link not in before), None))


def member_of(admin, address, role="DEVELOPER"):
    """Takes somebody who has an account already into another organization; gives that one's id."""
    answer = admin.post(USERS, new_user(email=address, role=role))
    assert answer.status == 201, answer
    wanted = admin.login_answer["organization"]["id"]
    eventually(lambda: wanted in [o["id"] for o in log_in(address).login_answer["organizations"]])
    return wanted


def upload(client, data, name="a.png", kind="image/png", field="profile_img", **headers):
    """Makes a file the person's picture; gives the answer."""
    boundary = "xyz123"
    declared = f"Content-Type: {kind}\r\n" if kind else ""
    raw = (f"--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n"
           f"{declared}\r\n").encode() + data + f"\r\n--{boundary}--\r\n".encode()
    kind_of_body = f"multipart/form-data; boundary={boundary}"
    return client.put(PICTURE, raw=raw, headers={"Content-Type": kind_of_body, **headers})


class Case(unittest.TestCase):
    maxDiff = None

    def problem(self, answer, status, code=None, pointer=None, parameter=None, field_code=None):
        """Asserts a problem answer and gives its JSON."""
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers["Content-Type"].split(";")[0], "application/problem+json", answer)
        body = answer.json
        for name in ("type", "title", "status", "detail", "instance", "code", "request_id"):
            self.assertIn(name, body)
        self.assertEqual(body["status"], status)
        self.assertEqual(body["request_id"], answer.headers["X-Request-Id"])
        if code:
            self.assertEqual(body["code"], code, answer)
        if pointer is not None:
            errors = [e for e in body.get("errors", []) if e.get("pointer") == pointer]
            self.assertTrue(errors, answer)
            if field_code:
                self.assertIn(field_code, [e["code"] for e in errors], answer)
        if parameter is not None:
            self.assertIn(parameter, [e.get("parameter") for e in body.get("errors", [])], answer)
        if status in (401,):
            self.assertIn("WWW-Authenticate", answer.headers)
        if status in (429, 503):
            self.assertIn("Retry-After", answer.headers)
        return body

    def ok(self, answer, status=200):
        self.assertEqual(answer.status, status, answer)
        return answer.json if answer.body else None


class TaskCase(Case):
    """What is done with tasks again and again."""

    def one(self, client, t):
        return self.ok(client.get(task_path(t)))

    def set(self, client, t, **fields):
        return self.ok(client.patch(task_path(t), fields))

    def sub(self, client, parent, **fields):
        return self.ok(client.post(task_path(parent) + "subtasks/", {"title": unique("Sub"), **fields}), 201)

    def status(self, client, t):
        return self.one(client, t)["status"]


@unittest.skipUnless("TASKFLOW_ACCEPTANCE_BINARY" in os.environ, "needs the program to start another installation")
class OtherInstallation(Case):
    """Tests against an installation of their own, with SETTINGS; everything here then speaks to that one."""
    SETTINGS = {}

    @classmethod
    def setUpClass(cls):
        global ORIGIN, MAIL
        import run
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="taskflow-acceptance."))
        cls.folder.chmod(0o755)
        cls.addClassCleanup(shutil.rmtree, cls.folder, ignore_errors=True)
        cls.before = (ORIGIN, MAIL)
        cluster = None
        if "TASKFLOW_ACCEPTANCE_CLUSTER" in os.environ:
            cluster = stores.RedisCluster(cls.folder / "cluster")
            cls.addClassCleanup(cluster.stop)
            cluster.start()
        ORIGIN, MAIL, cls.processes, cls.log = run.start(
            os.environ["TASKFLOW_ACCEPTANCE_BINARY"], cls.folder, settings=cls.SETTINGS,
            redis_url=cluster and cluster.url)
        cls.origin = ORIGIN

    @classmethod
    def tearDownClass(cls):
        global ORIGIN, MAIL
        import run
        ORIGIN, MAIL = cls.before
        run.stop(cls.processes)
