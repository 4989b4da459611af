"""Sessions that begin and end, roles that change, organizations that are founded while everything breaks."""
import random
import time

from client import Maybe, Session, quote
from judge import PASSING
from load import Worker
from world import PASSWORD


class AccountKeeper(Worker):
    """Ends sessions of one organization's people and sees to it that they stay ended."""

    ACTIONS = [(3, "log_out"), (2, "change_role"), (1, "end_others"), (8, "try_dead_tokens"), (4, "list_sessions")]
    # Passwords cost a core's twentieth of a second each.
    LEISURE = 3

    def __init__(self, bench, number, organization):
        super().__init__(bench, number, organization, "admin")
        self.person = "developer-2"

    def entered(self, who):
        session = self.organization.session(self.bench, who, self.side)
        session.log_in()
        self.model.secrets.add(session.refresh_token)
        return session

    def dead(self, session, why):
        """From the moment of the answer on, no gateway lets this token in."""
        entry = (session.access, time.monotonic() + 55, why, self.organization.canary)
        self.model.dead_tokens.append(entry)
        for gateway in sorted(self.bench.gateways):
            try_dead(self, entry, gateway)

    def log_out(self):
        session = self.entered(self.person)
        session.call("GET", "/api/account/sessions/?page_size=5")
        session.call("POST", "/api/account/logout/", {"refresh": session.refresh_token}, wanted=(200,))
        self.judge.count("acknowledged")
        self.judge.count("sessions ended")
        self.dead(session, "logout")
        answer = session.send("POST", "/api/account/token/refresh/", {"refresh": session.refresh_token}, bare=True)
        if answer.status not in (401, *PASSING):
            self.judge.violate("ended sessions", f"the refresh token of a session that was logged out works: {answer}")

    def change_role(self):
        session = self.entered("victim")
        path = f"/api/organization/users/{quote(self.organization.address('victim'))}/"
        user = self.session.call("GET", path)
        role = "MANAGER" if user.json["role"] == "DEVELOPER" else "DEVELOPER"
        # On condition, so that it is a change and not the repetition of one that was in doubt.
        answer = self.session.call("PATCH", path, {"role": role}, wanted=(200, 412),
                                   headers={"If-Match": user.headers["ETag"]})
        if answer.status == 200:
            self.judge.count("acknowledged")
            self.dead(session, "role change")

    def end_others(self):
        """Every other session of the account ends; the one that asks goes on."""
        one, other = self.entered("victim"), self.entered("victim")
        other.call("DELETE", "/api/account/sessions/", wanted=(204,))
        self.judge.count("acknowledged")
        self.dead(one, "all other sessions ended")
        other.call("GET", "/api/account/sessions/?page_size=1")

    def list_sessions(self):
        self.session.call("GET", "/api/account/sessions/?page_size=10")

    def try_dead_tokens(self):
        now = time.monotonic()
        entries = [e for e in self.model.dead_tokens if e[1] > now and e[3] == self.organization.canary]
        entry = self.pick(entries)
        if entry:
            try_dead(self, entry, self.side.choice(sorted(self.bench.gateways)))


def try_dead(worker, entry, gateway):
    token, _, why, canary = entry
    session = Session(worker.judge, worker.bench.gateways, worker.side, f"dead token ({why})", canary=canary)
    session.access = token
    try:
        answer = session.send("GET", "/api/organization/", gateway=gateway)
    except Maybe:
        return
    finally:
        session.close()
    worker.judge.count("dead tokens tried")
    if answer.status not in (401, *PASSING):
        faults = worker.judge.faults.during(answer.since - 10, answer.until)
        worker.judge.violate("ended sessions", f"a token that died by {why} was let in by {gateway}: {answer}; "
                                               f"faults: {faults}")


class Founder(Worker):
    """Signs organizations up, and uses each at once: four services must have heard of it."""

    ACTIONS = [(4, "sign_up"), (2, "log_in_again"), (1, "delete_organization")]
    LEISURE = 3

    def __init__(self, bench, number):
        super().__init__(bench, number, None, "founder")

    def sign_up(self):
        token = self.token()
        canary = f"cnry-{random.Random(f'{self.bench.seed}/{token}').getrandbits(48):012x}"
        session = Session(self.judge, self.bench.gateways, self.side, f"{token}.{canary}@example.com", PASSWORD, canary)
        session.sends_position = self.count % 2 == 0
        entry = {"session": session, "name": f"Founded {token} {canary}", "state": "maybe", "project": None}
        self.model.sign_ups.append(entry)
        self._attempt(entry)

    def _attempt(self, entry):
        try:
            if entry["state"] == "maybe":
                self._sign_up(entry)
            if entry["state"] == "acked":
                self._look(entry)
        except Maybe:
            self.pending.append(lambda: self._attempt(entry))
            raise

    def _sign_up(self, entry):
        session = entry["session"]
        body = {"email": session.email, "password": PASSWORD, "first_name": "Fay",
                "last_name": f"Founder {session.canary}", "organization": entry["name"]}
        is_again = entry.get("tried", False)
        entry["tried"] = True
        answer = session.send("POST", "/api/account/signup/", body, bare=True)
        if answer.status == 201:
            session.adopt(answer.json)
        elif answer.status == 409 and answer.code == "account-exists" and is_again:
            # An earlier try was carried out after all.
            session.log_in()
        elif answer.status in PASSING:
            raise Maybe(answer.code)
        else:
            self.judge.unexpected(answer, (201,))
            entry["state"] = "refused"
            return
        self.judge.count("acknowledged")
        entry["state"] = "acked"

    def _look(self, entry):
        """What was founded a moment ago is there, in a service that has it from an event."""
        answer = self.ask("GET", "/api/organization/", session=entry["session"], fresh=True)
        if answer.json["name"] != entry["name"]:
            self.judge.violate("acknowledged writes", f"{answer} shows another organization than {entry['name']}")
        # With a key: once, whatever happens.
        entry["body"] = {"name": f"First {entry['session'].canary}"}
        self._first_project(entry)

    def _first_project(self, entry):
        answer = entry["session"].call("POST", "/api/project_management/projects/", entry["body"], wanted=(201,),
                                       headers={"Idempotency-Key": "first"})
        entry["project"] = answer.json["id"]
        self.judge.count("acknowledged")

    def delete_organization(self):
        """Gone everywhere within a minute, whatever breaks meanwhile."""
        entry = self.pick(e for e in self.model.sign_ups if e["state"] == "acked" and e["project"] is not None)
        if not entry:
            return
        session = entry["session"]
        session.stay_logged_in()
        entry["state"] = "in doubt"
        session.call("DELETE", "/api/organization/", {"name": entry["name"]}, wanted=(202,))
        self.judge.count("acknowledged")
        self.judge.count("organizations deleted")
        entry["state"] = "deleted"
        self.model.deleted.add(session.organization)

    def log_in_again(self):
        entry = self.pick(e for e in self.model.sign_ups if e["state"] == "acked")
        if entry:
            entry["session"].log_in()
            self.ask("GET", "/api/organization/", session=entry["session"])
