"""What is judged when all is mended and at rest. Each check has a name; it has failed if it has anything to say."""
import collections
import email
import email.policy
import json
import re

import replicas
from client import Maybe, insist
from judge import CANARY
from model import TOKEN
from work import PROJECTS, TASKS
from world import PASSWORD, ROLES

# Judged while the load ran, and by the checks below as well.
LIVE = ["answers", "acknowledged writes", "one writer wins", "read your writes", "versions", "sessions",
        "ended sessions", "idempotency", "tenancy of answers", "notices", "recovery", "event log", "processes", "bench"]


# How long an answer is waited for that must come at once by now.
PATIENCE = 15


class Checks:
    def __init__(self, bench):
        self.bench, self.judge, self.model = bench, bench.judge, bench.model
        self.installation, self.sql = bench.installation, bench.installation.sql

    def run(self, only=None):
        """The name of every check, or of one, with the sentences of what is wrong."""
        if only is None or only in LIVE:
            for organization in self.bench.organizations:
                self.guarded("acknowledged writes", lambda o=organization: self.organization(o))
                self.guarded("notices", lambda o=organization: self.notices(o))
            self.guarded("acknowledged writes", self.sign_ups)
            self.guarded("acknowledged writes", self.families)
        checks = {"mails": self.mails, "tenancy of mails": self.mail_canaries,
                  "tenancy and secrets of logs": self.logs,
                  "streams hold what outboxes hold": lambda: replicas.streams(self.installation)}
        checks |= {f"read model of {name}": lambda n=name: replicas.compare(self.sql, n)
                   for name in replicas.COMPARISONS}
        checks |= {name: lambda n=name: replicas.never(self.sql, n) for name in replicas.NEVER}
        checks["organizations deleted: nothing is left"] = lambda: replicas.remains(self.sql, self.model.deleted)
        results = {name: self.asked(check) for name, check in checks.items() if only in (None, name)}
        return results | {name: list(self.judge.violations.get(name, [])) for name in LIVE}

    def guarded(self, name, check):
        """A check that cannot be carried out has failed."""
        try:
            check()
        except Maybe as maybe:
            self.judge.violate(name, f"could not be checked: {maybe}")

    def asked(self, question):
        try:
            return question()
        except (OSError, ValueError, KeyError) as error:
            return [f"could not be checked: {type(error).__name__} {error}"]

    # What was acknowledged

    def organization(self, organization):
        """Everything that was made is there, once, as it was acknowledged last; and nothing else."""
        admin = self.bench.reader(organization, "admin")
        def pages(path):
            return insist(lambda: admin.pages(path), PATIENCE)
        rows = {"task": pages(TASKS), "project": pages(PROJECTS), "user": pages("/api/organization/users/"),
                "department": pages("/api/organization/departments/")}
        trash = {"task": pages("/api/project/trash/"), "project": pages("/api/project_management/trash/")}
        creations = {c.token: c for c in self.model.creations.values() if c.organization == organization.id}
        hidden = {t.token for t in self.model.things if t.project is not None and t.project.gone != "no"}
        for kind, live in rows.items():
            there = collections.Counter(found for row in live + trash.get(kind, []) for found in self.tokens(kind, row))
            for token, number in there.items():
                if token not in creations or creations[token].kind != kind:
                    self.wrong(f"{kind} {token} of {organization.canary} was never asked for")
                elif creations[token].state == "refused":
                    self.wrong(f"{kind} {token} was refused and is there")
                elif number > 1:
                    self.wrong(f"{kind} {token} is there {number} times (key: {creations[token].key})")
            for creation in creations.values():
                if creation.kind == kind and creation.state == "acked" and not there[creation.token] \
                        and creation.token not in hidden:
                    self.wrong(f"{kind} {creation.id} {creation.token} was acknowledged and is not there")
        self.things(organization, rows, trash)
        self.collaborators(organization, admin)

    def tokens(self, kind, row):
        name = {"task": "title", "project": "name", "user": "last_name", "department": "department_name"}[kind]
        return TOKEN.findall(row[name])[:1]

    def things(self, organization, rows, trash):
        by_id = {kind: {row["id"]: row for row in live} for kind, live in rows.items()}
        in_trash = {kind: {row["id"]: row for row in gone} for kind, gone in trash.items()}
        for thing in self.model.things:
            if thing.organization != organization.id:
                continue
            row = by_id[thing.kind].get(thing.id)
            gone = thing.gone if thing.project is None or thing.project.gone == "no" else thing.project.gone
            if row is None:
                if gone == "no":
                    self.wrong(f"{thing.key} {thing.token} is not in the list")
                elif gone == "yes" and thing.project is None and thing.id not in in_trash.get(thing.kind, {}):
                    self.wrong(f"{thing.key} {thing.token} was deleted and is not in the trash")
                continue
            if gone == "yes":
                self.wrong(f"{thing.key} {thing.token} was deleted and is in the list")
            for difference in thing.differences(row):
                self.wrong(f"{thing.key} {thing.token} in the end: {difference}")
            if "version" in row and row["version"] < self.model.versions.floor(thing.key):
                self.judge.violate("versions", f"{thing.key} ends at version {row['version']}, seen was "
                                               f"{self.model.versions.floor(thing.key)}")

    def collaborators(self, organization, admin):
        for project in self.model.of(organization.id, "project"):
            if project.gone != "no":
                continue
            answer = insist(lambda: admin.call("GET", project.path), PATIENCE)
            there = {c["user"]["email"] for c in answer.json["collaborators"]}
            for address in project.people - there - project.people_in_doubt:
                self.wrong(f"{address} was put on project {project.id} and is not there")
            known = {organization.address(who) for who in ("admin", "manager-1")}
            for address in there - project.people - project.people_in_doubt - known:
                self.wrong(f"{address} was taken off project {project.id} and is there")

    def families(self):
        for family in self.model.families:
            done = family["completed"]
            for subtask in family["subtasks"]:
                worker = next(w for w in self.bench.workers
                              if w.organization and w.organization.id == subtask.organization)
                status = insist(lambda: worker.session.call("GET", subtask.path), PATIENCE).json["status"]
                if subtask.id in done and status != "COMPLETED":
                    self.wrong(f"{subtask.key} was completed and is {status}")
                if subtask.id not in done | family["doubtful"] and status != "PENDING":
                    self.wrong(f"{subtask.key} was left alone and is {status}")

    def sign_ups(self):
        for entry in self.model.sign_ups[-40:]:
            if entry["state"] != "acked":
                continue
            session = entry["session"]
            insist(session.log_in, PATIENCE)
            name = insist(lambda: session.call("GET", "/api/organization/"), PATIENCE).json["name"]
            if name != entry["name"]:
                self.wrong(f"{session} founded {entry['name']} and is in {name}")
            projects = [row["id"] for row in insist(lambda: session.pages(PROJECTS), PATIENCE)]
            if entry["project"] is not None and projects != [entry["project"]]:
                self.wrong(f"{session} made project {entry['project']}, there are {projects}")

    def wrong(self, sentence):
        self.judge.violate("acknowledged writes", sentence)

    # What people were told

    def notices(self, organization):
        for who in ["admin", *(w for w, _ in ROLES)]:
            session = self.bench.reader(organization, who)
            rows = insist(lambda: session.pages("/api/notifications/"), PATIENCE)
            counts = collections.Counter((r["kind"], r["project"] if r["kind"] == "project-added" else r["task"])
                                         for r in rows)
            if len({r["id"] for r in rows}) != len(rows):
                self.judge.violate("notices", f"{session} is shown a notice twice")
            expected = {(kind, about): most for (org, address, kind, about), most in self.model.notices.items()
                        if org == organization.id and address == session.email}
            for (kind, about), (least, most) in expected.items():
                if not least <= counts[(kind, about)] <= most:
                    self.judge.violate("notices", f"{session} has {counts[(kind, about)]} notices {kind} of {about}, "
                                                  f"to be expected were {least} to {most}")
            known = {(c.kind, c.id) for c in self.model.creations.values()
                     if c.organization == organization.id and c.state == "acked"} | {("project", organization.base)}
            for (kind, about), number in counts.items():
                thing = ("project" if kind == "project-added" else "task", about)
                if (kind, about) not in expected and kind != "daily-reminder" and thing in known:
                    self.judge.violate("notices", f"{session} has {number} notices {kind} of {about} and none was to "
                                                  "be expected")
            unread = {r["id"] for r in rows if not r["read_at"]}
            for org, address, notice in self.model.read_notices:
                if (org, address) == (organization.id, session.email) and notice in unread:
                    self.judge.violate("notices", f"{session} has read notice {notice}, and it is unread")

    # Mails

    def mails(self):
        """One file for each mail that was sent, and one mail for each Message-ID."""
        found = []
        seen = collections.defaultdict(list)
        for path in sorted(self.installation.mail.glob("*.eml")):
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            seen[message["Message-ID"]].append(path.name)
        for identity, names in seen.items():
            if len(names) > 1 or not identity:
                found.append(f"{len(names)} mails with the Message-ID {identity}: {names[:3]}")
        names = {name for group in seen.values() for name in group}
        try:
            rows = self.sql.query("SELECT event_id, recipient, kind FROM notification.mail_queue WHERE state = 'sent'")
        except OSError as error:
            return [f"could not be checked: {error}"]
        for row in rows:
            end = f"-{row['kind']}-{row['event_id']}-{row['recipient']}.eml"
            files = [name for name in names if name.endswith(end)]
            if len(files) != 1:
                found.append(f"{len(files)} files for the mail that was sent as {end}")
        if len(names) > len(rows):
            found.append(f"{len(names)} mails, {len(rows)} were sent")
        return found

    def mail_canaries(self):
        found = []
        for path in self.installation.mail.glob("*.eml"):
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            own = set(CANARY.findall(str(message["To"]).encode()))
            text = str(message["Subject"]) + "".join(
                part.get_content() for part in message.walk() if part.get_content_maintype() == "text")
            foreign = set(CANARY.findall(text.encode())) - own
            if foreign:
                found.append(f"{path.name} to {message['To']} holds {foreign}")
        return found

    def logs(self):
        """No line of one organization holds a word of another; no line of anybody a secret."""
        found = []
        canaries = {o.id: o.canary for o in self.bench.organizations}
        canaries |= {e["session"].organization: e["session"].canary for e in self.model.sign_ups
                     if e["session"].organization}
        secrets = {PASSWORD, *(s for s in list(self.model.secrets)[:200])}
        pattern = re.compile("|".join(re.escape(s) for s in secrets))
        for path in sorted(self.installation.logs.glob("*.log")):
            if path.stem in ("postgres", "redis", "initdb", "proxy"):
                continue
            with path.open(errors="replace") as lines:
                for line in lines:
                    if pattern.search(line):
                        found.append(f"{path.name} holds a secret: {pattern.sub('[secret]', line)[:200]}")
                    if "cnry-" not in line:
                        continue
                    try:
                        own = canaries.get(json.loads(line).get("organization"))
                    except ValueError:
                        continue
                    for canary in CANARY.findall(line.encode()):
                        if own and canary.decode() != own:
                            found.append(f"{path.name}: {line[:300]}")
        return found[:20]

