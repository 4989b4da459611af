"""The load: workers that use the installation as people do, each with a random generator of its own.

What a worker does next, and with which words, follows from the seed alone; which of its things it does it to follows
from the answers. `actions` are in `work.py` and `accounts.py`; here is what they have in common.
"""
import random
import threading
import time

from client import Maybe, insist


class Refused(Exception):
    """A refusal that the worker had reckoned with."""


class Worker(threading.Thread):
    """One thread, one session, one model of its own things."""

    # (weight, method name), filled in by the kinds of workers.
    ACTIONS = []
    # How many times longer than others it waits between two actions.
    LEISURE = 1

    def __init__(self, bench, number, organization, who):
        super().__init__(name=f"worker-{number}-{who}", daemon=True)
        self.bench, self.number, self.organization, self.who = bench, number, organization, who
        self.judge, self.model = bench.judge, bench.model
        self.random = random.Random(f"{bench.seed}/worker/{number}")
        # Which gateway, and other matters of chance that depend on answers, must not disturb what is done next.
        self.side = random.Random(f"{bench.seed}/side/{number}")
        self.session = organization.session(bench, who, self.side) if organization else None
        self.count = 0
        # Work whose outcome is not known yet, to be tried again: callables that raise Maybe.
        self.pending = []

    # The loop

    def run(self):
        interval = self.bench.interval * self.LEISURE
        due = time.monotonic() + self.random.random() * interval
        while not self.bench.is_over.is_set():
            wait = due - time.monotonic()
            if wait > 0 and self.bench.is_over.wait(wait):
                return
            # Requests that took long are not made up for: people wait, too.
            due = max(due, time.monotonic() - interval) + interval * (0.5 + self.random.random())
            choice = self.random.random() * sum(weight for weight, _ in self.ACTIONS)
            for weight, name in self.ACTIONS:
                choice -= weight
                if choice < 0:
                    break
            self.do(getattr(self, name))
            if self.pending and self.side.random() < 0.5:
                self.retry()

    def do(self, action):
        try:
            action()
        except Refused:
            self.judge.count("refused as foreseen")
        except Maybe:
            self.judge.count("ambiguous")
        except Exception as error:  # noqa: BLE001 - the bench's own mistakes must not pass for silence
            self.judge.violate("bench", f"{self.name} {action}: {type(error).__name__} {error}")

    def retry(self):
        action = self.pending.pop(0)
        try:
            action()
        except Maybe:
            self.pending.append(action)

    def finish(self, seconds):
        """After the faults: everything whose outcome is not known is brought to an end."""
        deadline = time.monotonic() + seconds
        unfinished = []
        for action in self.pending:
            try:
                insist(action, deadline - time.monotonic())
            except Maybe as maybe:
                unfinished.append(str(maybe))
            except Exception as error:  # noqa: BLE001
                self.judge.violate("bench", f"{self.name} {action}: {type(error).__name__} {error}")
        if unfinished:
            self.judge.violate("answers", f"{self.name}: {len(unfinished)} requests have no outcome {seconds} s after "
                                          f"the last fault: {unfinished[:3]}")
        self.pending = []

    # Words

    def token(self):
        self.count += 1
        return f"tk-{self.bench.seed}-{self.number}-{self.count}"

    def text(self, token, revision=0):
        return f"{self.organization.canary} {token} r{revision}"

    def pick(self, things):
        things = list(things)
        return self.side.choice(things) if things else None

    # Asking

    def ask(self, method, path, body=None, wanted=(200,), headers=None, session=None, fresh=False, refusal=None):
        """As `Session.call`, where a replica may have to be asked: a refusal may come from one that is behind, which it
        must not be, unless Redis has lost what the session had seen. `fresh`: what is asked for was the session's last
        write, so that the place it holds itself is the right one. `refusal`: the code of a 422 that is fine."""
        session = session or self.session
        answer = session.call(method, path, body, wanted=(*wanted, 404, 422), headers=headers)
        if answer.status in wanted:
            return answer
        if refusal and answer.status == 422 and refusal.encode() in answer.body:
            raise Refused(refusal)
        lost = self.judge.faults.during(answer.since - 20, answer.until, REDIS_TROUBLE)
        if lost and not (session.sends_position and fresh):
            # Documented: places of sessions that Redis has lost, or could not be told, are not made anew.
            self.judge.count("stale reads after Redis lost a session's places")
            raise Maybe("stale")
        self.judge.violate("read your writes", f"{answer} although the session has seen what it needs: "
                                               f"{answer.body[:200]!r}; faults {lost}; "
                                               f"position sent: {session.sends_position}")
        raise Maybe("stale")

    # Making, changing, deleting

    def create(self, kind, path, token, body, fields, made=None, fresh=False, refusal=None):
        """POSTs something; gives the thing, or raises Maybe and tries again later if there is a key."""
        key = token if self.random.random() < 0.8 and not refusal else None
        creation = self.model.creation(kind, self.organization.id, token, path, body, key)
        if key is None:
            self.judge.count("creations without a key")

        def attempt():
            thing = self.created(creation, fields)
            if made:
                self.do(lambda: made(thing))
        try:
            thing = self.created(creation, fields, fresh=fresh, refusal=refusal)
        except Maybe:
            if key:
                self.pending.append(attempt)
            raise
        if made:
            made(thing)
        return thing

    def created(self, creation, fields, **more):
        headers = {"Idempotency-Key": creation.key} if creation.key else {}
        try:
            answer = self.ask("POST", creation.path, creation.body, wanted=(201, 409), headers=headers, **more)
        except Refused:
            creation.state = "refused"
            raise
        except Maybe:
            self.judge.count("creations in doubt")
            raise
        if answer.status == 409:
            if creation.key and answer.code == "idempotency-in-progress":
                raise Maybe(answer.code)
            self.judge.unexpected(answer, (201,))
            raise Maybe(answer.code)
        self.judge.count("acknowledged")
        row = answer.json
        if answer.headers.get("Idempotency-Replayed"):
            self.judge.count("replayed by key")
        creation.state = "acked"
        creation.id = row["id"]
        thing = self.model.thing(creation.kind, self.organization.id, creation.token, answer.headers["Location"],
                                 fields, row["id"])
        thing.etag = answer.headers.get("ETag")
        self.check(thing, row, answer, "its creation")
        if "version" in row:
            self.model.versions.saw(thing.key, row["version"], 0, answer)
        return thing

    def check(self, thing, row, answer, what):
        for difference in thing.differences(row):
            self.judge.violate("acknowledged writes", f"{thing.key} {thing.token}, {what}: {difference} ({answer})")

    def replay(self, creation):
        """A key that was answered long ago gives the same answer again, and makes nothing."""
        headers = {"Idempotency-Key": creation.key}
        answer = self.ask("POST", creation.path, creation.body, wanted=(201,), headers=headers)
        if answer.json.get("id") != creation.id or answer.headers.get("Idempotency-Replayed") != "true":
            self.judge.violate("idempotency", f"{answer} with the key of {creation.kind} {creation.id} gave "
                                              f"{answer.json.get('id')}, "
                                              f"replayed: {answer.headers.get('Idempotency-Replayed')}")
        self.judge.count("replays checked")

    def read(self, thing, session=None, gone=False):
        """GETs a thing and judges what it shows; gives the row, or None if it is gone and may be."""
        floor = self.model.versions.floor(thing.key)
        session = session or self.session
        answer = session.call("GET", thing.path, wanted=(200, 404))
        if answer.status == 404:
            if thing.gone == "no":
                self.judge.violate("acknowledged writes", f"{thing.key} {thing.token} is not there: {answer}; faults "
                                                          f"{self.judge.faults.during(answer.since, answer.until)}")
                raise Maybe("gone")
            return None
        if thing.gone == "yes":
            self.judge.violate("acknowledged writes", f"{thing.key} {thing.token} was deleted and is there: {answer}")
            raise Maybe("back")
        row = answer.json
        if "version" in row:
            self.model.versions.saw(thing.key, row["version"], floor, answer)
        self.check(thing, row, answer, "a read")
        thing.etag = answer.headers.get("ETag") or thing.etag
        self.judge.count("reads of things")
        return row

    def change(self, thing, changes, method="PATCH"):
        """PATCHes a thing that nobody else writes to, mostly on condition that it is as last seen."""
        if thing.is_frozen or thing.gone != "no":
            return
        conditional = bool(thing.etag) and self.random.random() < 0.7
        headers = {"If-Match": thing.etag} if conditional else {}
        floor = self.model.versions.floor(thing.key)
        try:
            answer = self.session.call(method, thing.path, changes, wanted=(200, 412) if conditional else (200,),
                                       headers=headers)
        except Maybe:
            self.judge.count("changes in doubt")
            thing.doubt(changes, conditional)
            raise
        if answer.status == 412:
            # Somebody's name has changed, or an earlier try was carried out after all: look again, write next time.
            self.read(thing)
            return
        self.judge.count("acknowledged")
        thing.acknowledge(changes, conditional)
        thing.etag = answer.headers.get("ETag")
        row = answer.json
        self.check(thing, row, answer, "its change")
        if "version" in row:
            self.model.versions.saw(thing.key, row["version"], floor, answer)

    def delete(self, thing):
        if thing.is_frozen or thing.gone != "no" or any(thing.doubts.values()):
            return
        try:
            self.session.call("DELETE", thing.path, wanted=(204,))
        except Maybe:
            thing.gone = "maybe"
            thing.is_frozen = True
            self.pending.append(lambda: self._delete_again(thing))
            raise
        self.judge.count("acknowledged")
        thing.gone = "yes"
        self.read(thing)

    def _delete_again(self, thing):
        self.session.call("DELETE", thing.path, wanted=(204, 404))
        self.judge.count("acknowledged")
        thing.gone = "yes"

    def restore(self, thing):
        """Back from the trash, where nothing is in doubt."""
        if thing.gone != "yes" or thing.is_frozen:
            return
        thing.gone = "maybe"
        try:
            answer = self.session.call("POST", thing.path + "restore/", wanted=(200,))
        except Maybe:
            thing.is_frozen = True
            raise
        self.judge.count("acknowledged")
        thing.gone = "no"
        thing.etag = answer.headers.get("ETag") or thing.etag
        self.check(thing, answer.json, answer, "its restoration")


# Faults that may make Redis forget, or keep a gateway from telling it, what a session has seen.
REDIS_TROUBLE = ["flushall", "redis-", "kill-redis", "stop-redis", "net-", "kill-gateway", "stop-gateway", "clock-far"]
