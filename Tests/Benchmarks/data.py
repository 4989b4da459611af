"""The data: organizations with people, projects and tasks, by COPY into every schema that holds a replica.

The same rows, from the same generator, go into the baseline's tables. Everything follows from the size alone.
"""
import datetime
import itertools
import random
import subprocess

ORGANIZATIONS, PEOPLE, PROJECTS, DEPARTMENTS = 100, 10, 5, 3
SIZES = {"10k": 10_000, "100k": 100_000, "1m": 1_000_000}
PASSWORD = "correct-horse-battery"
STATUSES = ["PENDING", "IN_PROGRESS", "ON_HOLD", "COMPLETED", "CANCELLED", "OVERDUE"]
PRIORITIES = ["LOW", "MEDIUM", "HIGH"]
FOUNDED = datetime.datetime(2025, 1, 1, tzinfo=datetime.timezone.utc)
SYLLABLES = ["ba", "do", "fi", "gu", "ka", "le", "mi", "no", "pa", "ro", "su", "ta", "ve", "zo", "li", "ra"]
WORDS = ["".join(parts) for parts in itertools.product(SYLLABLES, repeat=3)]
MICROSECOND = datetime.timedelta(microseconds=1)
DAY = datetime.timedelta(days=1)


def organization_id(n):
    """Its last digits choose the shard of the log; those of a real one are random."""
    return f"01900000-0000-7000-8000-{n:06x}{n:06x}"


def user_id(n, k):
    """Person k of organization n: 0 is the admin, 1 and 2 are managers, the others developers."""
    return f"01900000-0000-7000-8000-{n:06x}{k + 1:06x}"


def account_id(n, k):
    return f"01900000-0000-7000-9000-{n:06x}{k + 1:06x}"


def address(n, k):
    return f"person{k}@organization{n}.example.com"


def role(k):
    return "ADMIN" if k == 0 else "MANAGER" if k < 3 else "DEVELOPER"


def people():
    for n in range(1, ORGANIZATIONS + 1):
        for k in range(PEOPLE):
            yield n, k


def projects():
    for n in range(1, ORGANIZATIONS + 1):
        for p in range(1, PROJECTS + 1):
            yield n, p


def tasks(total):
    """Rows of tasks; ten in a row are of one project, the last two are subtasks of the first."""
    each = total // ORGANIZATIONS
    for n in range(1, ORGANIZATIONS + 1):
        draw = random.Random(n)
        numbers = [0] * (PROJECTS + 1)
        for task in range(1, each + 1):
            block, place = divmod(task - 1, 10)
            project = block % PROJECTS + 1
            numbers[project] += 1
            created = FOUNDED + datetime.timedelta(seconds=draw.randrange(300 * 86400))
            start = FOUNDED + DAY * draw.randrange(400)
            # Far ahead or closed: the overdue clock has nothing to do while others are measured.
            due = datetime.datetime(2031, 1, 1, tzinfo=datetime.timezone.utc) + DAY * draw.randrange(700)
            status = draw.choices(STATUSES[:5], [30, 25, 10, 30, 5])[0]
            kind = draw.randrange(10)
            first = draw.randrange(PEOPLE)
            yield {
                "n": n, "id": task, "project": project, "number": numbers[project],
                "parent": block * 10 + 1 if place >= 8 else None,
                "title": " ".join(draw.choices(WORDS, k=4)), "description": " ".join(draw.choices(WORDS, k=16)),
                "priority": draw.choice(PRIORITIES), "status": status, "start": start,
                "due_day": due if kind < 6 else None, "due_at": due + DAY / 3 if 6 <= kind < 8 else None,
                "completed": created + DAY if status == "COMPLETED" else None,
                "creator": draw.randrange(PEOPLE), "created": created,
                "updated": created + datetime.timedelta(seconds=draw.randrange(86400)),
                "people": sorted({first, (first + 1 + draw.randrange(PEOPLE - 1)) % PEOPLE}),
            }


def text(value):
    return "\\N" if value is None else value if isinstance(value, str) else \
        value.isoformat() if isinstance(value, datetime.datetime) else \
        ("t" if value else "f") if isinstance(value, bool) else str(value)


class Copy:
    """COPY of tables of a database, rows as tuples; local triggers and checks stay on, row security is passed over."""

    def __init__(self, machine, database):
        self.words = ["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-h", str(machine.sockets), "-U", "postgres", database]

    def __call__(self, table, columns, rows):
        process = subprocess.Popen([*self.words, "-c", f"COPY {table} ({columns}) FROM STDIN"],
                                   stdin=subprocess.PIPE, text=True)
        for chunk in iter(lambda: list(itertools.islice(rows, 5000)), []):
            process.stdin.write("".join("\t".join(map(text, row)) + "\n" for row in chunk))
        process.stdin.close()
        if process.wait():
            raise RuntimeError(f"COPY {table} failed")


def load(machine, database, total, password_hash):
    """Fills the five schemas of a migrated installation."""
    copy = Copy(machine, database)
    organizations = range(1, ORGANIZATIONS + 1)
    each = total // ORGANIZATIONS
    at = FOUNDED
    name = "Organization {}".format

    copy("auth.account", "id, email, email_key, password_hash, password_changed_at, created_at",
         ((account_id(n, k), address(n, k), address(n, k), password_hash, at, at) for n, k in people()))
    copy("auth.organization", "organization_id, revision, name, time_zone, reminder_hour, created_at, updated_at",
         ((organization_id(n), 1, name(n), "UTC", 9, at, at) for n in organizations))
    copy("auth.membership", "organization_id, user_id, account_id, revision, email, first_name, last_name, role, "
         "is_active, created_at, updated_at",
         ((organization_id(n), user_id(n, k), account_id(n, k), 1, address(n, k), f"First{k}", f"Last{n}", role(k),
           True, at, at) for n, k in people()))

    copy("organization.organization",
         "organization_id, name, time_zone, reminder_hour, version, created_at, updated_at",
         ((organization_id(n), name(n), "UTC", 9, 1, at, at) for n in organizations))
    copy("organization.department", "organization_id, id, name, version, created_at, updated_at",
         ((organization_id(n), d, f"Department {d}", 1, at, at) for n in organizations
          for d in range(1, DEPARTMENTS + 1)))
    copy("organization.app_user", "organization_id, id, email, first_name, last_name, role, is_active, version, "
         "created_at, updated_at",
         ((organization_id(n), user_id(n, k), address(n, k), f"First{k}", f"Last{n}", role(k), True, 1, at, at)
          for n, k in people()))
    copy("organization.counter", "organization_id, kind, value",
         ((organization_id(n), "department", DEPARTMENTS) for n in organizations))

    copy("project.organization", "organization_id, founded_at", ((organization_id(n), at) for n in organizations))
    copy("project.live_organization", "id", ((organization_id(n),) for n in organizations))
    copy("project.member", "organization_id, user_id, revision, email, first_name, last_name, is_active",
         ((organization_id(n), user_id(n, k), 1, address(n, k), f"First{k}", f"Last{n}", True) for n, k in people()))
    copy("project.project", "organization_id, id, key, name, description, status, task_visibility, created_by, "
         "updated_by, created_at, updated_at, version, revision",
         ((organization_id(n), p, f"PR{p}", f"Project {p}", "", "IN_PROGRESS", "collaborators", user_id(n, 0),
           user_id(n, 0), at, at, 1, 1) for n, p in projects()))
    copy("project.counter", "organization_id, kind, value", ((organization_id(n), "project", PROJECTS)
                                                             for n in organizations))
    copy("project.project_collaborator", "organization_id, project_id, user_id, added_at, added_by",
         ((organization_id(n), p, user_id(n, k), at, user_id(n, 0)) for n, p in projects() for k in range(PEOPLE)))

    copy("task.known_organization", "organization_id", ((organization_id(n),) for n in organizations))
    copy("task.organization", "organization_id, revision, name, time_zone, sql_zone, reminder_hour, created_at, "
         "updated_at", ((organization_id(n), 1, name(n), "UTC", "UTC", 9, at, at) for n in organizations))
    copy("task.member", "organization_id, user_id, revision, email, first_name, last_name, role, is_active, "
         "created_at, updated_at",
         ((organization_id(n), user_id(n, k), 1, address(n, k), f"First{k}", f"Last{n}", role(k), True, at, at)
          for n, k in people()))
    copy("task.project", "organization_id, id, revision, key, name, status, task_visibility, created_by",
         ((organization_id(n), p, 1, f"PR{p}", f"Project {p}", "IN_PROGRESS", "collaborators", user_id(n, 0))
          for n, p in projects()))
    copy("task.project_collaborator", "organization_id, project_id, user_id",
         ((organization_id(n), p, user_id(n, k)) for n, p in projects() for k in range(PEOPLE)))
    copy("task.task", "organization_id, id, project_id, number, parent_id, title, description, priority, status, "
         "start_day, due_day, due_at, start_moment, due_moment, completed_at, created_by, updated_by, created_at, "
         "updated_at",
         ((organization_id(t["n"]), t["id"], t["project"], t["number"], t["parent"], t["title"], t["description"],
           t["priority"], t["status"], t["start"], t["due_day"], t["due_at"], t["start"],
           t["due_day"] + DAY - MICROSECOND if t["due_day"] else t["due_at"], t["completed"],
           user_id(t["n"], t["creator"]), user_id(t["n"], t["creator"]), t["created"], t["updated"])
          for t in tasks(total)))
    copy("task.task_collaborator", "organization_id, task_id, user_id, added_at, added_by",
         ((organization_id(t["n"]), t["id"], user_id(t["n"], k), t["created"], user_id(t["n"], t["creator"]))
          for t in tasks(total) for k in t["people"]))
    blocks = [sum(min(10, each - start) for start in range(p * 10, each, PROJECTS * 10)) for p in range(PROJECTS)]
    copy("task.counter", "organization_id, kind, value",
         itertools.chain(((organization_id(n), "task", each) for n in organizations),
                         ((organization_id(n), f"task-number:{p}", blocks[p - 1]) for n, p in projects())))

    # Tomorrow: the reminders of thousands of people would be mailed in the middle of a measure.
    later = datetime.datetime.now(datetime.timezone.utc) + DAY
    copy("notification.known_organization", "organization_id, reminder_due_at",
         ((organization_id(n), later) for n in organizations))
    copy("notification.organization", "organization_id, revision, name, time_zone, reminder_hour",
         ((organization_id(n), 1, name(n), "UTC", 9) for n in organizations))
    copy("notification.member", "organization_id, user_id, revision, email, first_name, last_name, is_active",
         ((organization_id(n), user_id(n, k), 1, address(n, k), f"First{k}", f"Last{n}", True) for n, k in people()))
    copy("notification.project", "organization_id, id, revision, name",
         ((organization_id(n), p, 1, f"Project {p}") for n, p in projects()))
    copy("notification.task", "organization_id, id, revision, project_id, key, title, priority, status, due_day, "
         "due_at, created_by",
         ((organization_id(t["n"]), t["id"], 1, t["project"], f"PR{t['project']}-{t['number']}", t["title"],
           t["priority"], t["status"], t["due_day"], t["due_at"], user_id(t["n"], t["creator"])) for t in tasks(total)))
    copy("notification.task_collaborator", "organization_id, user_id, task_id",
         ((organization_id(t["n"]), user_id(t["n"], k), t["id"]) for t in tasks(total) for k in t["people"]))
    machine.psql("VACUUM ANALYZE;", database)
    machine.psql("CHECKPOINT;", database)
