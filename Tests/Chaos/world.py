"""Who there is before the load begins: organizations with their people, each person with a password and a session."""
import email
import email.policy
import random
import re
import threading
import time

from client import Maybe, Session, insist

ROLES = [("manager-1", "MANAGER"), ("manager-2", "MANAGER"), ("developer-1", "DEVELOPER"),
         ("developer-2", "DEVELOPER"), ("guest", "DEVELOPER"), ("victim", "DEVELOPER")]
PASSWORD = "chaos-horse-battery-staple"


class Organization:
    """One tenant. Its canary stands in every name and text of it, and may stand in nobody else's answers."""

    def __init__(self, number, seed):
        self.number = number
        self.canary = f"cnry-{random.Random(f'{seed}/canary/{number}').getrandbits(48):012x}"
        self.name = f"Org {number} {self.canary}"
        self.id = None
        self.people = {}
        # A project that stays, and everybody but guest and victim is on it.
        self.base = None

    def address(self, who):
        return f"{who}.{self.canary}@example.com"

    def session(self, bench, who, rng):
        return Session(bench.judge, bench.gateways, rng, self.address(who), PASSWORD, self.canary)


def found(bench, organization):
    """Signs an organization up, makes its people and their passwords, and a project to work in."""
    rng = random.Random(f"{bench.seed}/found/{organization.number}")
    admin = organization.session(bench, "admin", rng)
    answer = admin.send("POST", "/api/account/signup/", {
        "email": admin.email, "password": PASSWORD, "first_name": "Ada", "last_name": f"Admin {organization.canary}",
        "organization": organization.name}, bare=True)
    if answer.status != 201:
        raise RuntimeError(f"sign-up failed: {answer} {answer.body[:300]!r}")
    admin.adopt(answer.json)
    organization.id = admin.organization
    organization.people["admin"] = admin
    for who, role in ROLES:
        insist(lambda: admin.call("POST", "/api/organization/users/", {
            "email": organization.address(who), "first_name": who, "last_name": f"Person {organization.canary}",
            "role": role}, wanted=(201,)), 30)
    for who, _ in ROLES:
        path = welcome_link(bench, organization.address(who))
        session = organization.session(bench, who, rng)
        answer = session.send("POST", path, {"password1": PASSWORD, "password2": PASSWORD}, bare=True)
        if answer.status != 200:
            raise RuntimeError(f"the welcome link fails: {answer} {answer.body[:300]!r}")
        insist(session.log_in, 30)
        organization.people[who] = session
    manager = organization.people["manager-1"]
    base = insist(lambda: manager.call("POST", "/api/project_management/projects/", {
        "name": f"Base {organization.canary}", "task_visibility": "project"}, wanted=(201,)), 30).json
    organization.base = base["id"]
    for who in ("manager-2", "developer-1", "developer-2", "admin"):
        path = f"/api/project_management/projects/{base['id']}/collaborators/{organization.address(who)}/"
        insist(lambda: manager.call("POST", path, wanted=(201,)), 30)
        bench.model.expect_notice(organization.id, organization.address(who), "project-added", base["id"])
    # Everybody sees it before the load begins.
    position = manager.position
    for who in ("manager-2", "developer-1", "developer-2", "admin"):
        person = organization.people[who]
        person.position, person.position_at = position, manager.position_at
        insist(lambda: person.call("GET", f"/api/project/{base['id']}/tasks/"), 30)


def found_all(bench, organizations):
    failures = []

    def run(organization):
        try:
            found(bench, organization)
        except (RuntimeError, Maybe, KeyError, OSError) as error:
            failures.append(f"{organization.name}: {error!r}")
    threads = [threading.Thread(target=run, args=(o,)) for o in organizations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError("; ".join(failures))


def welcome_link(bench, address, seconds=60):
    """The path of the link in the mail that welcomes somebody."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for path in bench.installation.mail.glob("*.eml"):
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            if address in (message["To"] or ""):
                text = message.get_body(preferencelist=("plain",)).get_content()
                match = re.search(r"^https?://[^/\s]+(/api/account/request-reset-password/\S+)\s*$", text, re.MULTILINE)
                if match:
                    return match.group(1)
        time.sleep(0.1)
    raise RuntimeError(f"no welcome mail to {address}")
