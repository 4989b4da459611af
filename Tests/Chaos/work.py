"""What people do all day: projects, tasks, subtasks, collaborators, notices."""
import datetime
import random
import threading

from client import Maybe, quote
from judge import PASSING
from load import Worker

PROJECTS = "/api/project_management/projects/"
TASKS = "/api/project/tasks/"


class WorkingPerson(Worker):
    """What admins, managers and developers have in common: tasks in the project that everybody is on."""

    def __init__(self, bench, number, organization, who):
        super().__init__(bench, number, organization, who)
        # Some clients keep places themselves; the others leave it to the gateways.
        self.session.sends_position = number % 2 == 0
        self.tasks, self.projects, self.families = [], [], []
        self.memberships = {}

    # Tasks

    def live(self, things):
        return [t for t in things if t.gone == "no"]

    def home(self):
        """A project to put a task into: mostly the common one."""
        return self.organization.base

    def new_task(self):
        token = self.token()
        fields = {"title": self.text(token), "description": f"about {token}", "status": "PENDING",
                  "priority": self.random.choice(["LOW", "MEDIUM", "HIGH"])}
        body = {k: v for k, v in fields.items() if k != "status"}
        people = self.assigned()
        if people:
            body["collaborators"] = [self.organization.address(p) for p in people]
        if self.random.random() < 0.15:
            # Overdue in a moment; the clock will say so once.
            due = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=4 + self.side.random() * 4)
            body["due_date"] = due.isoformat()
            del fields["status"]
        elif self.random.random() < 0.3:
            body["due_date"] = fields["due_date"] = "2099-12-31"
        project = self.home()

        def made(task):
            self.tasks.append(task)
            # A thing whose status the clock changes is not written to: a moved clock would refuse its due date.
            task.is_frozen = "status" not in fields
            for person in people:
                if person != self.who:
                    self.model.expect_notice(self.organization.id, self.organization.address(person),
                                             "task-assigned", task.id)
            if task.is_frozen:
                readers = [p for p in people] or [self.who]
                for person in readers:
                    self.model.expect_notice(self.organization.id, self.organization.address(person),
                                             "task-overdue", task.id)
        # Where all is slow, the moment may have passed before the request arrives.
        refusal = None if "status" in fields else "in-past"
        self.create("task", f"/api/project/{project}/tasks/", token, body, fields, made=made, refusal=refusal)

    def assigned(self):
        """Who is put on a new task: people of the common project."""
        others = ["developer-1", "developer-2", "manager-2"]
        return self.random.sample(others, self.random.randrange(0, 3))

    def change_task(self):
        task = self.pick(t for t in self.live(self.tasks) if not t.is_frozen)
        revision = self.random.randrange(1, 1_000_000)
        if not task:
            return self.new_task()
        if self.random.random() < 0.6:
            changes = {"title": self.text(task.token, revision)}
        else:
            changes = {"description": f"about {task.token} r{revision}",
                       "status": self.random.choice(["IN_PROGRESS", "ON_HOLD", "PENDING"])}
        self.change(task, changes)

    def race_task(self, is_conditional=True):
        """Two clients change a task at once, each on condition that it is as they have seen it: one of them wins."""
        task = self.pick(t for t in self.live(self.tasks) if not t.is_frozen and t.etag)
        if not task:
            return
        self.session.stay_logged_in()
        rival = self.organization.session(self.bench, self.who, random.Random(0))
        rival.access = self.session.access
        headers = {"If-Match": task.etag} if is_conditional else {}
        titles = [self.text(task.token, self.random.randrange(1, 1_000_000)) for _ in range(2)]
        answers = [None, None]

        def write(number, session, gateway):
            try:
                answers[number] = session.send("PATCH", task.path, {"title": titles[number]}, headers, gateway)
            except Maybe:
                pass
        threads = [threading.Thread(target=write, args=(n, s, g)) for n, (s, g) in enumerate(
            zip((self.session, rival), sorted(self.bench.gateways)))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rival.close()
        if all(answer is not None and answer.status == 412 for answer in answers):
            self.read(task)
        won = [n for n, answer in enumerate(answers) if answer is not None and answer.status == 200]
        for number, answer in enumerate(answers):
            if answer is None or answer.status in PASSING:
                task.doubt({"title": titles[number]}, is_conditional)
            elif answer.status not in (200, 401, 412):
                self.judge.unexpected(answer, (200, 412))
        if len(won) == 2:
            self.judge.violate("one writer wins", f"both changed what they had seen as {task.etag}: {answers[0]}, "
                                                  f"{answers[1]}")
            task.doubt({"title": titles[0]}, True)
        for number in won:
            task.acknowledge({"title": titles[number]}, is_conditional and len(won) == 1)
            task.etag = answers[number].headers.get("ETag")
            self.judge.count("acknowledged")
        self.judge.count("races")

    def complete_task(self):
        task = self.pick(t for t in self.live(self.tasks) if not t.is_frozen)
        if task:
            self.change(task, {"status": "COMPLETED"})

    def delete_task(self):
        task = self.pick(t for t in self.live(self.tasks) if not t.is_frozen)
        if task:
            self.delete(task)

    def restore_task(self):
        task = self.pick(t for t in self.tasks if t.gone == "yes" and not t.is_frozen)
        if task:
            self.restore(task)

    def read_task(self):
        task = self.pick(t for t in self.tasks if t.gone != "maybe")
        if task:
            self.read(task)

    def new_family(self):
        """A parent with two subtasks; completing the last one completes the parent, in one transaction."""
        token = self.token()
        body = {"title": self.text(token)}
        fields = {"title": body["title"]}
        parent = self.create("task", f"/api/project/{self.organization.base}/tasks/", token, body, fields)
        parent.is_frozen = True
        family = {"parent": parent, "subtasks": [], "completed": set(), "doubtful": set()}
        for _ in range(2):
            token = self.token()
            body = {"title": self.text(token)}
            subtask = self.create("task", f"{TASKS}{parent.id}/subtasks/", token, body, dict(body))
            subtask.is_frozen = True
            family["subtasks"].append(subtask)
        self.families.append(family)
        self.model.families.append(family)

    def complete_family(self):
        family = self.pick(f for f in self.families if len(f["completed"] | f["doubtful"]) < 2)
        if not family:
            return self.new_family()
        subtask = next(s for s in family["subtasks"] if s.id not in family["completed"] | family["doubtful"])
        try:
            self.session.call("PATCH", subtask.path, {"status": "COMPLETED"}, wanted=(200,))
        except Maybe:
            family["doubtful"].add(subtask.id)
            raise
        self.judge.count("acknowledged")
        family["completed"].add(subtask.id)
        if len(family["completed"]) == 2:
            answer = self.session.call("GET", family["parent"].path)
            if answer.json["status"] != "COMPLETED":
                self.judge.violate("acknowledged writes", f"both subtasks are completed, the parent is not: {answer}")

    # Reading

    def read_lists(self):
        path = self.random.choice([
            f"{TASKS}?page_size=20&ordering=-created_at", f"{TASKS}?search={self.organization.canary}&page_size=10",
            f"{PROJECTS}?page_size=20", "/api/account/", "/api/organization/members/?page_size=20",
            f"/api/project/{self.organization.base}/tasks/?status=PENDING&page_size=20&count=true"])
        self.session.call("GET", path)
        self.judge.count("reads of lists")

    def read_notices(self):
        rows = self.session.call("GET", "/api/notifications/?page_size=50").json["results"]
        if len({row["id"] for row in rows}) != len(rows):
            self.judge.violate("notices", f"{self.session} was shown a notice twice on one page")
        unread = [row for row in rows if not row["read_at"]]
        if unread and self.random.random() < 0.5:
            notice = self.side.choice(unread)
            self.session.call("POST", f"/api/notifications/{notice['id']}/read/")
            self.model.read_notices.add((self.organization.id, self.session.email, notice["id"]))
            self.judge.count("acknowledged")

    def replay_key(self):
        mine = [c for c in list(self.model.creations.values())
                if c.state == "acked" and c.key and c.token.split("-")[2] == str(self.number) and c.kind == "task"]
        # Rights are judged before a key is: what is gone with its parent or project is not asked for.
        creation = self.pick(c for c in mine if "/subtasks/" not in c.path and f"/{self.organization.base}/" in c.path)
        if creation:
            self.replay(creation)


class Developer(WorkingPerson):
    ACTIONS = [(22, "new_task"), (26, "change_task"), (8, "complete_task"), (4, "delete_task"), (2, "restore_task"),
               (14, "read_task"), (12, "read_lists"), (10, "read_notices"), (3, "replay_key"),
               (3, "race_task")]

    def assigned(self):
        return []


class Manager(WorkingPerson):
    ACTIONS = [(16, "new_task"), (18, "change_task"), (6, "complete_task"), (3, "delete_task"), (2, "restore_task"),
               (10, "read_task"), (8, "read_lists"), (6, "read_notices"), (3, "replay_key"), (4, "new_family"),
               (5, "complete_family"), (6, "new_project"), (6, "change_project"), (2, "delete_project"),
               (2, "restore_project"), (4, "read_project"), (5, "add_guest"), (4, "remove_guest"),
               (4, "assign_guest")]

    # Projects

    def new_project(self):
        """A project, and at once a task in it: another service must have heard of it by then."""
        token = self.token()
        fields = {"name": self.text(token), "description": f"about {token}", "status": "PENDING"}

        def made(project):
            self.projects.append(project)
            second = self.token()
            body = {"title": self.text(second)}
            # Not deleted while a request for it may be under way.
            project.people_in_doubt.add(second)

            def inside(task):
                project.people_in_doubt.discard(second)
                self._inside(task, project)
            self.create("task", f"/api/project/{project.id}/tasks/", second, body, dict(body), made=inside, fresh=True)
        self.create("project", PROJECTS, token, {k: v for k, v in fields.items() if k != "status"}, fields, made=made)

    def _inside(self, task, project):
        """A task that vanishes and returns with its project is judged in the end only."""
        task.is_frozen = True
        task.project = project

    def change_project(self):
        project = self.pick(p for p in self.live(self.projects) if not p.is_frozen)
        revision = self.random.randrange(1, 1_000_000)
        if not project:
            return self.new_project()
        self.change(project, {"name": self.text(project.token, revision)} if self.random.random() < 0.7
                    else {"status": self.random.choice(["IN_PROGRESS", "COMPLETED"])})

    def delete_project(self):
        project = self.pick(p for p in self.live(self.projects) if not p.is_frozen and not p.people_in_doubt)
        if project and len(self.projects) > 3:
            self.delete(project)

    def restore_project(self):
        project = self.pick(p for p in self.projects if p.gone == "yes")
        if project:
            self.restore(project)

    def read_project(self):
        project = self.pick(p for p in self.projects if p.gone != "maybe")
        if project:
            self.read(project)

    # A guest who comes and goes

    def add_guest(self):
        guest = self.organization.address("guest")
        project = self.pick(p for p in self.live(self.projects)
                            if not p.is_frozen and guest not in p.people | p.people_in_doubt)
        if not project:
            return

        def attempt(wanted):
            answer = self.ask("POST", f"{project.path}collaborators/{quote(guest)}/", wanted=wanted)
            if answer.status == 409 and answer.code != "already-collaborator":
                self.judge.unexpected(answer, "already-collaborator")
            self.judge.count("acknowledged")
            project.people.add(guest)
            self.model.expect_notice(self.organization.id, guest, "project-added", project.id)
        try:
            attempt((201,))
        except Maybe:
            # Never taken off again: a request that is stuck could put the guest back.
            project.people_in_doubt.add(guest)
            self.pending.append(lambda: attempt((201, 409)))
            raise

    def remove_guest(self):
        guest = self.organization.address("guest")
        project = self.pick(p for p in self.live(self.projects)
                            if not p.is_frozen and guest in p.people and guest not in p.people_in_doubt)
        if not project:
            return
        try:
            self.session.call("DELETE", f"{project.path}collaborators/{quote(guest)}/", wanted=(204,))
        except Maybe:
            project.people_in_doubt.add(guest)
            raise
        self.judge.count("acknowledged")
        project.people.discard(guest)

    def assign_guest(self):
        """Somebody who was put on a project a moment ago is put on a task of it."""
        guest = self.organization.address("guest")
        project = self.pick(p for p in self.live(self.projects)
                            if not p.is_frozen and guest in p.people and guest not in p.people_in_doubt)
        if not project:
            return
        token = self.token()
        body = {"title": self.text(token), "collaborators": [guest]}

        def made(task):
            self._inside(task, project)
            self.model.expect_notice(self.organization.id, guest, "task-assigned", task.id)
        # The guest may have been taken off meanwhile, and then there is no retry that could succeed: no key.
        creation = self.model.creation("task", self.organization.id, token, f"/api/project/{project.id}/tasks/", body,
                                       None)
        made(self.created(creation, dict(title=body["title"])))


class Admin(Manager):
    ACTIONS = [(w * 0.6, n) for w, n in Manager.ACTIONS] + [
        (6, "new_user"), (6, "change_user"), (3, "read_user"), (2, "new_department"), (2, "change_department"),
        (2, "rename_organization"), (3, "welcome_user")]

    def __init__(self, bench, number, organization, who):
        super().__init__(bench, number, organization, who)
        self.users, self.departments = [], []

    def new_user(self):
        token = self.token()
        body = {"email": f"{token}.{self.organization.canary}@example.com", "first_name": "New",
                "last_name": self.text(token), "role": self.random.choice(["DEVELOPER", "MANAGER"])}
        self.create("user", "/api/organization/users/", token, body, dict(body), made=self.users.append)

    def change_user(self):
        user = self.pick(u for u in self.users if not u.is_frozen)
        revision = self.random.randrange(1, 1_000_000)
        if user:
            self.change(user, {"last_name": self.text(user.token, revision)})

    def read_user(self):
        user = self.pick(self.users)
        if user:
            self.read(user)

    def welcome_user(self):
        """A user made a moment ago is put on a project: the project service must know them."""
        user = self.pick(u for u in self.users[-3:] if not u.is_frozen)
        project = self.pick(p for p in self.live(self.projects) if not p.is_frozen)
        if not user or not project or user.fields["email"] in project.people | project.people_in_doubt:
            return
        email = user.fields["email"]

        def attempt(wanted):
            self.ask("POST", f"{project.path}collaborators/{quote(email)}/", wanted=wanted)
            self.judge.count("acknowledged")
            project.people.add(email)
            self.model.expect_notice(self.organization.id, email, "project-added", project.id)
        try:
            attempt((201,))
        except Maybe:
            project.people_in_doubt.add(email)
            self.pending.append(lambda: attempt((201, 409)))
            raise

    def new_department(self):
        token = self.token()
        body = {"department_name": self.text(token)}
        self.create("department", "/api/organization/departments/", token, body, dict(body),
                    made=self.departments.append)

    def change_department(self):
        """A department gets another name, or a user: what other services show of people follows."""
        department = self.pick(d for d in self.departments if not d.is_frozen)
        revision = self.random.randrange(1, 1_000_000)
        move = self.random.random() < 0.5
        user = self.pick(u for u in self.users if not u.is_frozen)
        if department and not (move and user):
            self.change(department, {"department_name": self.text(department.token, revision)})
        elif department:
            self.session.call("PATCH", user.path, {"department": department.id}, wanted=(200,))
            self.judge.count("acknowledged")

    def rename_organization(self):
        self.session.call("PATCH", "/api/organization/", {
            "name": f"{self.organization.name} r{self.random.randrange(1_000_000)}"}, wanted=(200,))
        self.judge.count("acknowledged")
