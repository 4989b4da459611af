"""Traffic through the gateways, and a book of what was answered with 2xx."""
import http.client
import itertools
import json
import random
import threading
import time
import urllib.parse
import uuid

from stage import Failed, expect

PASSWORD = "correct-horse-battery"
TASKS, PROJECTS, USERS = "/api/project/tasks/", "/api/project_management/projects/", "/api/organization/users/"
_names = itertools.count(1)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


class Session:
    """A person with a kept-alive connection to one of the gateways; the next one is tried if one refuses it."""

    def __init__(self, origins, timeout=35):
        self.targets = itertools.cycle([(p.hostname, p.port) for p in map(urllib.parse.urlsplit, origins)])
        self.count = len(origins)
        self.timeout = timeout
        self.connection = None
        self.access = self.refresh = self.email = None
        self.reconnects = 0

    def connect(self):
        error = None
        for _ in range(self.count):
            host, port = next(self.targets)
            connection = http.client.HTTPConnection(host, port, timeout=self.timeout)
            try:
                connection.connect()
                self.connection = connection
                return
            except OSError as failure:
                error = failure
        raise error

    def send(self, method, path, body=None, **headers):
        if self.connection is None:
            self.connect()
        sent = {"Accept": "application/json", **headers}
        if self.access:
            sent["Authorization"] = f"Bearer {self.access}"
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        try:
            self.connection.request(method, path, body=data, headers=sent)
            response = self.connection.getresponse()
            answer = Answer(response.status, response.headers, response.read())
        except (http.client.HTTPException, OSError):
            self.close()
            raise
        if response.will_close:
            self.close()
            self.reconnects += 1
        return answer

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def must(self, status, method, path, body=None, **headers):
        answer = self.send(method, path, body, **headers)
        expect(answer.status == status, f"{method} {path}: {answer} instead of {status}")
        return answer

    def adopt(self, answer):
        self.access, self.refresh = answer["access"], answer["refresh"]
        return self

    def log_in(self, email, password=PASSWORD):
        self.access, self.email = None, email
        return self.adopt(self.must(200, "POST", "/api/account/login/", {"email": email, "password": password}).json)

    def renew(self):
        return self.adopt(self.must(200, "POST", "/api/account/token/refresh/", {"refresh": self.refresh}).json)

    def pages(self, path):
        rows = []
        while path:
            answer = self.must(200, "GET", path).json
            rows += answer["results"]
            path = answer["next"]
        return rows


class Company:
    """An organization with its admin and a project, and what was acknowledged of its tasks: title by id."""

    def __init__(self, origins):
        self.origins = origins
        self.email = f"admin-{uuid.uuid4().hex[:12]}@example.com"
        self.admin = Session(origins)
        answer = self.admin.must(201, "POST", "/api/account/signup/", {
            "email": self.email, "password": PASSWORD, "first_name": "Ada", "last_name": "Admin",
            "organization": f"Company {next(_names)}"})
        self.admin.email = self.email
        self.admin.adopt(answer.json)
        self.project = self.within(30, "POST", PROJECTS, {"name": f"Project {uuid.uuid4().hex[:8]}"}).json["id"]
        self.lock = threading.Lock()
        self.tasks = {}
        self.unsure = set()

    def within(self, seconds, method, path, body):
        """A change that is tried again while the organization is not yet known everywhere."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self.admin.send(method, path, body)
            if answer.status < 300:
                return answer
            if answer.status != 503 or time.monotonic() > deadline:
                raise Failed(f"{method} {path}: {answer}")
            time.sleep(0.2)

    def session(self):
        return Session(self.origins).log_in(self.email)

    def create_task(self, session, title=None, headers=None):
        """An answer; what is acknowledged is written down, what has no answer is in doubt."""
        title = title or f"Task {uuid.uuid4().hex}"
        try:
            answer = session.send("POST", f"/api/project/{self.project}/tasks/", {"title": title}, **(headers or {}))
        except Exception:
            with self.lock:
                self.unsure.add(title)
            raise
        with self.lock:
            if answer.status == 201:
                self.tasks[answer.json["id"]] = title
            elif answer.status >= 500:
                self.unsure.add(title)
        return answer

    def check(self, session=None):
        """Every acknowledged task is there, none twice, and none that nobody asked for. How many there are."""
        session = session or self.session()
        found = {row["id"]: row["title"] for row in session.pages(f"/api/project/{self.project}/tasks/?page_size=100")}
        lost = {key: title for key, title in self.tasks.items() if found.get(key) != title}
        expect(not lost, f"{self.email}: {len(lost)} acknowledged tasks are lost: {dict(list(lost.items())[:3])}")
        titles = list(found.values())
        expect(len(titles) == len(set(titles)), f"{self.email}: tasks are there twice")
        strange = set(titles) - set(self.tasks.values()) - self.unsure
        expect(not strange, f"{self.email}: tasks that nobody made: {sorted(strange)[:3]}")
        return len(found)


class Load:
    """A steady rate of mixed requests from several threads, each with a session of its own."""

    def __init__(self, companies, rate=50, threads=8, seed=1):
        self.companies, self.rate = companies, rate
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.answers, self.failures, self.latencies = {}, [], []
        self.done = 0
        self.threads = [threading.Thread(target=self.work, args=(number, threads, random.Random(seed * 1000 + number)),
                                         daemon=True) for number in range(threads)]

    def __enter__(self):
        self.begun = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
        self.seconds = time.monotonic() - self.begun

    def work(self, number, count, random_):
        company = self.companies[number % len(self.companies)]
        session, signed_in = None, 0
        turn = self.begun + number * 1 / self.rate
        while not self.stopping.is_set():
            now = time.monotonic()
            if turn > now:
                time.sleep(turn - now)
            turn = max(turn + count / self.rate, time.monotonic() - 1)
            start = time.monotonic()
            what = "?"
            try:
                if session is None:
                    what = "login"
                    session, signed_in = company.session(), start
                elif start - signed_in > 120:
                    what = "refresh"
                    session.renew()
                    signed_in = start
                what, answer = self.one(company, session, random_)
                self.note(what, answer.status, answer, time.monotonic() - start)
            except Exception as error:  # noqa: BLE001: every failure of a request is a figure of the drill
                self.note(what, 0, f"{type(error).__name__} {error}", time.monotonic() - start)
                time.sleep(0.05)

    def one(self, company, session, random_):
        dice = random_.random()
        if dice < 0.4 or not company.tasks:
            return "create", company.create_task(session, headers={"Idempotency-Key": uuid.uuid4().hex})
        with company.lock:
            key = random_.choice(list(company.tasks))
        if dice < 0.6:
            return "change", session.send("PATCH", f"{TASKS}{key}/", {"description": uuid.uuid4().hex})
        if dice < 0.8:
            return "read", session.send("GET", f"{TASKS}{key}/")
        if dice < 0.9:
            return "list", session.send("GET", f"{TASKS}?page_size=20")
        return "project", session.send("GET", f"{PROJECTS}{company.project}/")

    def note(self, what, status, answer, seconds):
        with self.lock:
            self.done += 1
            self.answers[status] = self.answers.get(status, 0) + 1
            self.latencies.append(seconds)
            if not 200 <= status < 300:
                retry = answer.headers.get("Retry-After") if isinstance(answer, Answer) else None
                self.failures.append((round(time.monotonic() - self.begun, 2), what, status, retry, repr(answer)[:200]))

    def figures(self):
        latencies = sorted(self.latencies) or [0]
        return (f"{self.done} requests in {self.seconds:.0f} s ({self.done / self.seconds:.0f}/s), "
                f"{len(self.failures)} failed, p99 {latencies[int(len(latencies) * 0.99)] * 1000:.0f} ms")
