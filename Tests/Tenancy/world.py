"""Two organizations for the matrix: one that is attacked, full of canaries, and the attacker's own.

Ids that are integers are counted per organization, so the attacked one gets a head start: what is named in the tests
has a number that the attacker's own things never reach, and a hit can only be a leak.
"""
import datetime
import re
import secrets
import urllib.parse
import uuid

import support
from support import (DEPARTMENTS, NOTICES, PASSWORD, PICTURE, PROJECTS, SIGN_UP, TASKS, USERS, Client, add_user,
                     eventually, log_in, new_user, task_path, user_path)

UNUSED_NUMBER = 987_654_321
HEAD_START = 6


def png(width=8, height=8):
    """A picture: one grey pixel often enough."""
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = zlib.compress(b"".join(b"\0" + b"\x80" * width for _ in range(height)))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def picture_form():
    head = b'--bound\r\nContent-Disposition: form-data; name="profile_img"; filename="me.png"\r\n'
    return head + b"Content-Type: image/png\r\n\r\n" + png() + b"\r\n--bound--\r\n"


FORM = {"Content-Type": "multipart/form-data; boundary=bound"}


class Watched(Client):
    """A client to whom some texts may never be told: it looks at every byte of every answer."""

    forbidden = ()
    seen = 0

    def send(self, method, path, body=None, headers=None, raw=None):
        answer = super().send(method, path, body, headers, raw)
        wire = "\n".join(f"{name}: {value}" for name, value in answer.headers.items()).encode() + b"\n" + answer.body
        type(self).seen += 1
        # What the request itself held may come back: its path in `instance`.
        wire = wire.replace(path.encode(), b"").replace(urllib.parse.unquote(path).encode(), b"")
        for text in self.forbidden:
            assert text.encode() not in wire, f"{method} {path} was told {text}: {answer}"
        return answer


def watched(client):
    """The same session as a watched client."""
    other = Watched()
    other.access, other.refresh = client.access, client.refresh
    other.email, other.login_answer = client.email, client.login_answer
    return other


class Organization:
    """An organization with people, things and ids; `canary` is in every text of it that somebody can write."""

    def __init__(self, head_start=0, people=True):
        self.canary = "canary" + secrets.token_hex(8)
        self.name = f"Org {self.canary}"
        # The addresses that attacks name hold no canary, so that an echo is not taken for a leak.
        self.mark = secrets.token_hex(4)
        self.admin = self.sign_up()
        self.id = self.admin.login_answer["organization"]["id"]
        for number in range(head_start):
            self.make(DEPARTMENTS, {"department_name": f"Filler {number} {self.canary}"})
        self.department = self.make(DEPARTMENTS, {"department_name": f"Department {self.canary}"})["id"]
        for number in range(head_start):
            self.make(PROJECTS, {"name": f"Filler {number} {self.canary}"})
        self.project = self.make_project()
        for number in range(head_start):
            self.make_task(self.project)
        self.task = self.make_task(self.project)["id"]
        self.task_key = self.get(f"{TASKS}{self.task}/")["key"]
        self.subtask = self.make(f"{TASKS}{self.task}/subtasks/", {"title": f"Subtask {self.canary}"})["id"]
        # Nobody can log in as this one; the canary is in the address.
        self.make(USERS, new_user(email=f"{self.canary}@example.com", first_name=self.canary, last_name="Canary"))
        assert self.admin.post(f"{TASKS}{self.task}/collaborators/{self.admin.email}/").status == 201
        if people:
            self.add_people(head_start)
        self.picture = self.upload(self.developer if people else self.admin)

    @staticmethod
    def upload(person):
        answer = person.put(PICTURE, raw=picture_form(), headers=FORM)
        assert answer.status == 200, answer
        return urllib.parse.urlsplit(answer.json["profile_img"]).path

    def sign_up(self):
        client = Client()
        client.email = f"admin-{self.mark}@example.com"
        answer = client.post(SIGN_UP, {"email": client.email, "password": PASSWORD, "first_name": "Ada",
                                       "last_name": f"Admin {self.canary}", "organization": self.name})
        assert answer.status == 201, answer
        return client.adopt(answer.json)

    def person(self, word, role):
        return add_user(self.admin, role, email=f"{word}-{self.mark}@example.com", last_name=self.canary)

    def add_people(self, head_start):
        self.manager = self.person("manager", "MANAGER")
        self.developer = self.person("developer", "DEVELOPER")
        self.outsider = self.person("outsider", "DEVELOPER")
        self.removed = self.person("removed", "DEVELOPER")
        self.deactivated = self.person("deactivated", "DEVELOPER")
        for person in (self.developer, self.removed, self.deactivated):
            support.collaborate(self.admin, self.project, person)
        for person in (self.removed, self.deactivated):
            assert self.admin.post(f"{TASKS}{self.task}/collaborators/{person.email}/").status == 201
        for _ in range(head_start + 1):
            self.make_task(self.project, collaborators=[self.developer.email])
        notices = eventually(lambda: len(found := self.developer.get(NOTICES).json["results"]) > head_start and found)
        self.notice = max(n["id"] for n in notices)
        assert self.admin.delete(f"{PROJECTS}{self.project}/collaborators/{self.removed.email}/").status == 204
        eventually(lambda: self.removed.get(f"{TASKS}{self.task}/").status == 404)
        assert self.admin.patch(user_path(self.deactivated.email), {"is_active": False}).status == 200
        eventually(lambda: self.deactivated.get(TASKS).status == 401)
        sessions = self.admin.get("/api/account/sessions/").json["results"]
        self.session = sessions[0]["id"]

    def get(self, path):
        answer = self.admin.get(path)
        assert answer.status == 200, answer
        return answer.json

    def make(self, path, body):
        answer = self.admin.post(path, body)
        assert answer.status == 201, answer
        return answer.json

    # MARK: Fresh things, for what uses them up

    def make_project(self, **fields):
        name = f"Project {secrets.token_hex(4)} {self.canary}"
        body = {"name": name, "description": self.canary, "task_visibility": "project", **fields}
        return self.make(PROJECTS, body)["id"]

    def make_task(self, project, **fields):
        return self.make(f"/api/project/{project}/tasks/",
                         {"title": f"Task {self.canary}", "description": self.canary, **fields})

    def deleted_project(self):
        project = self.make_project()
        assert self.admin.delete(f"{PROJECTS}{project}/").status == 204
        return project

    def deleted_task(self):
        task = self.make_task(self.project)
        assert self.admin.delete(task_path(task)).status == 204
        return task["id"]

    def project_with(self, person):
        project = self.make_project()
        support.collaborate(self.admin, project, person)
        return project

    def task_with(self, person):
        return self.make_task(self.project, collaborators=[person.email])["id"]

    def make_department(self):
        return self.make(DEPARTMENTS, {"department_name": f"Fresh {secrets.token_hex(4)}"})["id"]

    def make_user(self):
        return self.make(USERS, new_user())["email"]

    def another_session(self):
        log_in(self.admin.email)
        found = self.get("/api/account/sessions/")["results"]
        return next(s["id"] for s in found if not s["current"])


def unused(kind):
    """A value that names nothing anywhere."""
    return {"session": str(uuid.uuid4()), "email": f"nobody-{secrets.token_hex(6)}@example.com",
            "organization": str(uuid.uuid4()), "file": secrets.token_hex(16) + ".png"}.get(kind, UNUSED_NUMBER)


def same_bytes(answer, path):
    """An answer without what may differ from request to request."""
    body = re.sub(rb'"request_id":"[^"]*"', b'"request_id":"-"', answer.body)
    body = re.sub(rb'"instance":"[^"]*"', b'"instance":"-"', body)
    headers = sorted((name.lower(), value) for name, value in answer.headers.items()
                     if name.lower() not in ("x-request-id", "date", "content-length", "ratelimit", "taskflow-position",
                                             "traceparent"))
    return answer.status, headers, body


def today():
    return datetime.date.today().isoformat()
