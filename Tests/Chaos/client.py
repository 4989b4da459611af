"""A person's session: its tokens, its connections to both gateways, and what it has been told so far."""
import http.client
import json
import select
import time
import urllib.parse

from judge import PASSING, Answer

# Longer than a gateway lets a service think; what has not come by then is "maybe".
PATIENCE = 15
# Positions are good for ten minutes; who was idle for longer has none to send.
POSITION_AGE = 540
# The token before the newest is good for thirty seconds of Auth's clock, which may be eight off.
GRACE = 20


class Maybe(Exception):
    """It is not known whether the request was carried out."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


class Session:
    """Speaks to one gateway or the other, as its random generator says. Belongs to one thread."""

    def __init__(self, judge, gateways, random, email=None, password=None, canary=None):
        self.judge, self.gateways, self.random = judge, gateways, random
        self.email, self.password, self.canary = email, password, canary
        self.organization = self.user = None
        self.connections = {}
        self.access = self.refresh_token = None
        self.expires_at = 0.0
        # The newest place it was told of; sent along or not, as a client likes.
        self.position = None
        self.position_at = 0.0
        self.sends_position = True
        # When a refresh was first tried whose outcome is not known.
        self.refresh_in_doubt = None
        # Whether the token was made, or may have been, by a clock that is far off.
        self.is_odd = False

    def __str__(self):
        return self.email or "nobody"

    # One request

    def send(self, method, path, body=None, headers=None, gateway=None, bare=False, patience=PATIENCE):
        """One request, one answer; raises Maybe where there is none."""
        name = gateway or self.random.choice(sorted(self.gateways))
        sent = {"Accept": "application/json", **(headers or {})}
        if not bare and self.access:
            sent.setdefault("Authorization", f"Bearer {self.access}")
            if self.position and self.sends_position and time.monotonic() - self.position_at < POSITION_AGE:
                sent.setdefault("Taskflow-Position", self.position)
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        self.judge.count("requests")
        since = time.monotonic()
        for attempt in (1, 2):
            connection, is_new = self._connection(name, patience)
            try:
                connection.request(method, path, body=data, headers=sent)
                response = connection.getresponse()
                content = response.read()
                break
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self.connections.pop(name, None)
                # A kept connection that was closed before it could be used says nothing: a gateway that was killed
                # has closed it long ago.
                closed = isinstance(error, (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError))
                if closed and not is_new and attempt == 1 and method == "GET":
                    continue
                self.judge.failed(self, method, path, since, error)
                raise Maybe(f"{type(error).__name__}: {error}") from error
        if response.will_close:
            connection.close()
            self.connections.pop(name, None)
        answer = Answer(method, path, self, response.status, response.headers, content, since, time.monotonic())
        self.judge.answered(answer)
        if self.canary:
            self.judge.canaries(answer, self.canary)
        if answer.headers.get("Taskflow-Position"):
            self.position = answer.headers["Taskflow-Position"]
            self.position_at = time.monotonic()
        return answer

    def _connection(self, name, patience):
        kept = self.connections.get(name)
        if kept is not None and kept.sock is not None and self._is_readable(kept.sock):
            # The gateway has said good-bye meanwhile, as to anyone who is idle for a minute.
            kept.close()
            kept = None
        if kept is not None:
            kept.timeout = patience
            if kept.sock is not None:
                kept.sock.settimeout(patience)
            return kept, kept.sock is None
        url = urllib.parse.urlsplit(self.gateways[name])
        connection = self.connections[name] = http.client.HTTPConnection(url.hostname, url.port, timeout=patience)
        return connection, True

    @staticmethod
    def _is_readable(sock):
        """poll, since select knows no descriptor above 1,023, and a long run has more."""
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))

    def close(self):
        for connection in self.connections.values():
            connection.close()
        self.connections = {}

    # Calls that a live session makes

    def call(self, method, path, body=None, wanted=(200,), headers=None, gateway=None):
        """An answer of a wanted status; Maybe for whatever passes; anything else is a violation, and Maybe as well."""
        self.stay_logged_in()
        answer = self.send(method, path, body, headers, gateway)
        if answer.status == 401:
            answer = self._again(answer, method, path, body, headers, gateway)
        if answer.status == 400 and answer.code == "bad-position":
            # Sealed positions are good for ten minutes; a moved clock makes them old at once.
            if not self.judge.faults.during(answer.since - 30, answer.until, ["clock-far"]):
                self.judge.unexpected(answer, wanted)
            self.position = None
            raise Maybe("bad-position")
        if answer.status in wanted:
            return answer
        if answer.status not in PASSING:
            if answer.status != 401 and answer.status < 500:
                self.judge.unexpected(answer, wanted)
        raise Maybe(f"{answer.status} {answer.code}")

    def _again(self, refused, method, path, body, headers, gateway):
        """A live token was refused: right only if it has run out meanwhile, or somebody's clock is far off."""
        is_excused = self.is_odd or bool(
            self.judge.faults.during(refused.since - 5, refused.until, ["clock-far"]))
        if time.monotonic() < self.expires_at - 2 and not is_excused:
            self.judge.violate("sessions", f"a live token was refused: {refused} {refused.code}, it had "
                                           f"{self.expires_at - refused.until:.0f} s to live")
        self.judge.count("401 of live tokens" if not is_excused else "401 under a far clock")
        self.refresh()
        answer = self.send(method, path, body, headers, gateway)
        if answer.status == 401 and not is_excused and not self.judge.faults.during(
                answer.since - 5, answer.until, ["clock-far"]):
            self.judge.violate("sessions", f"a token that was just refreshed is refused: {answer} {answer.code}")
        return answer

    # Tokens

    def adopt(self, tokens):
        self.access, self.refresh_token = tokens["access"], tokens["refresh"]
        self.expires_at = time.monotonic() + tokens["expires_in"]
        self.refresh_in_doubt = None
        now = time.monotonic()
        self.is_odd = bool(self.judge.faults.during(now - 5, now, ["clock-far"]))
        if "organization" in tokens:
            self.organization = tokens["organization"]["id"]
            self.user = tokens["user"]["id"]

    def log_in(self):
        answer = self.send("POST", "/api/account/login/", {"email": self.email, "password": self.password}, bare=True)
        if answer.status != 200:
            if answer.status not in PASSING:
                self.judge.unexpected(answer, (200,))
            raise Maybe(f"login: {answer.status} {answer.code}")
        self.judge.count("logins")
        self.adopt(answer.json)

    def stay_logged_in(self):
        if self.access is None:
            self.log_in()
        elif time.monotonic() > self.expires_at - 10:
            self.refresh()

    def refresh(self):
        """A new pair of tokens. A lost reply must do no harm for thirty seconds."""
        if self.refresh_in_doubt is not None and time.monotonic() - self.refresh_in_doubt > GRACE:
            # The grace is over, or nearly: what this client holds may be dead by its own fault.
            self.judge.count("sessions given up after a lost refresh")
            self.access = None
            self.refresh_in_doubt = None
            return self.log_in()
        begun = time.monotonic()
        try:
            answer = self.send("POST", "/api/account/token/refresh/", {"refresh": self.refresh_token}, bare=True)
        except Maybe:
            self.refresh_in_doubt = self.refresh_in_doubt or begun
            raise
        if answer.status == 200:
            self.judge.count("refreshes")
            return self.adopt(answer.json)
        if answer.status in PASSING:
            self.refresh_in_doubt = self.refresh_in_doubt or begun
            raise Maybe(f"refresh: {answer.status} {answer.code}")
        # Sent in time, it may still have come too late.
        is_late = self.refresh_in_doubt is not None and answer.until - self.refresh_in_doubt > GRACE
        if not is_late and not self.judge.faults.during(begun - 60, answer.until, ["clock-far"]):
            self.judge.violate("sessions", f"a session was lost: {answer} {answer.code}, in doubt since "
                                           f"{self.refresh_in_doubt and begun - self.refresh_in_doubt}")
        self.access = None
        self.refresh_in_doubt = None
        return self.log_in()

    # Lists

    def pages(self, path):
        """Every row of a list; raises Maybe if it cannot be had now."""
        rows = []
        path += ("&" if "?" in path else "?") + "page_size=200"
        while path:
            answer = self.call("GET", path)
            rows += answer.json["results"]
            path = answer.json["next"]
        return rows


def insist(action, seconds, pause=0.3):
    """Does it until it is not Maybe; raises the last Maybe when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return action()
        except Maybe:
            if time.monotonic() > deadline:
                raise
            time.sleep(pause)


def quote(email):
    return urllib.parse.quote(email, safe="@")
