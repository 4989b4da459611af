#!/usr/bin/env python3
"""Every statement of every service ties every table to its organization: the lock that row level security backs up.

    Tests/Tenancy/statements.py            # check the sources of this tree
    Tests/Tenancy/statements.py --list     # and print each statement as it was understood

The tables come from the migrations: those under row level security, and the global ones that have an organization_id
all the same. What works on a global table for the whole installation is declared below, with its reason.
"""
import argparse
import pathlib
import re
import sys

import sql_scopes
from swift_literals import Program

ROOT = pathlib.Path(__file__).resolve().parents[2]
PARTS = {**{name: f"Services/{name}" for name in ("Auth", "Organization", "Project", "Task", "Notification")},
         "Messaging": "Shared/Messaging", "ServiceKit": "Shared/ServiceKit", "Lists": "Shared/Lists"}
LOG = "Shared/Messaging/Migrations"

BY_ACCOUNT = "by the account or session that the caller has proved to own, over all its organizations"
BY_SESSION = "by the ids of sessions that the caller's own condition has selected"
SWEEP = "a sweep by age, over the whole installation"
LOG_WORK = "the log itself: by stream, shard and sequence, for relay, readers and the operator"
QUEUE = "the mail sender works through one queue for all organizations; rows hold ids only"

# (part, function, table, alias; "" for an INSERT): why no organization need be named. Tables under row level security
# cannot be listed here.
WHOLE_INSTALLATION = {
    ("Auth", "sweep", "session", "session"): SWEEP,
    ("Auth", "sweep", "audit", "audit"): SWEEP,
    ("Auth", "firstName", "membership", "membership"): BY_ACCOUNT,
    ("Auth", "person", "membership", "m"): BY_ACCOUNT,
    ("Auth", "removeOrganization", "membership", "m"): "whether an account is left without any organization",
    ("Auth", "end", "session", "session"): BY_SESSION,
    ("Auth", "raise", "session", "session"): BY_SESSION,
    ("Auth", "lockMembership", "membership", "m"): BY_ACCOUNT,
    ("Auth", "grant", "membership", "m"): BY_ACCOUNT,
    ("Auth", "sessions", "session", "s"): BY_ACCOUNT,
    ("Auth", "refresh", "session", "session"): BY_ACCOUNT,
    ("Auth", "switchOrganization", "session", "session"): BY_ACCOUNT,
    ("Task", "organizations", "known_organization", "known_organization"):
        "the overdue clock goes from organization to organization",
    ("Notification", "organizationsDue", "known_organization", "known_organization"):
        "the reminder clock goes from one to the next",
    ("Notification", "queue", "mail_queue", ""): "mails to accounts, which belong to no organization",
    ("Notification", "claimMails", "mail_queue", "mail_queue"): QUEUE,
    ("Notification", "claimMails", "mail_queue", "q"): QUEUE,
    ("Notification", "finish", "mail_queue", "mail_queue"): QUEUE,
    ("Notification", "postpone", "mail_queue", "mail_queue"): QUEUE,
    ("Notification", "forgetMails", "mail_queue", "mail_queue"): QUEUE,
    ("Messaging", "events", "outbox", "outbox"): LOG_WORK,
    ("Messaging", "oldest", "outbox", "outbox"): LOG_WORK,
    ("Messaging", "insertion", "outbox", ""): LOG_WORK,
    ("Messaging", "erase", "outbox", "outbox"): "what was said of accounts alone; it has no organization",
    ("Messaging", "erase", "outbox", ""): "a tombstone for them",
    **{("Messaging", "*", "parked", alias): LOG_WORK for alias in ("parked", "p", "q")},
}
# Where a declaration for every function does not hold.
TIED = {("Messaging", "eraseOrganization")}
# How often the organization is named where the rules above cannot tell: conditions that another function takes in, and
# choices between organizations of one account. (part, function): times.
NAMED = {
    ("Auth", "lockMembership"): 3,
    ("Auth", "removeOrganization"): 8,
    ("Auth", "update"): 4,
}
BEGINS = re.compile(r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE)\b")


def tables_of(root, part):
    """The tables under row level security, and the global ones with an organization_id."""
    folders = [root / LOG] + ([root / PARTS[part] / "Migrations"] if part != "Messaging" else [])
    forced, with_column = set(), set()
    for path in (p for folder in folders if folder.is_dir() for p in sorted(folder.glob("*.sql"))):
        text = path.read_text()
        forced |= set(re.findall(r"ALTER TABLE (\w+) ENABLE ROW LEVEL SECURITY", text))
        for match in re.finditer(r"CREATE TABLE (\w+) \((.*?)\n\)", text, re.S):
            if re.search(r"^\s+organization_id\b", match[2], re.M):
                with_column.add(match[1])
    return forced, with_column - forced


def sources_of(root, part):
    return sorted(str(p) for p in (root / PARTS[part]).rglob("*.swift"))


def mentions(text, tables):
    return re.search(rf"\b(?:FROM|JOIN|INTO|UPDATE)\s+(?:{'|'.join(tables)}|‹name›)\b", text) is not None


def statements_of(program, tables):
    """(where, text) of everything that is sent, or that no other text takes in and that names a table."""
    forms = {literal.number: program.expand(literal) for literal in program.literals}
    lists = [(place, text) for place, text in program.lists()]
    for place, text in lists:
        yield place, text
    for literal in program.literals:
        if literal.number in program.inlined:
            continue
        for text in forms[literal.number]:
            if BEGINS.match(text) or mentions(text, tables):
                yield literal, text


def check(root=ROOT, parts=PARTS, texts=None, show=False):
    """(complaints, statements, table references seen, exceptions used)."""
    complaints, count, used = [], 0, set()
    for part in parts:
        forced, loose = tables_of(root, part)
        tables = forced | loose
        program = Program(sources_of(root, part), texts)
        for where, text in statements_of(program, tables):
            function = program.name_of(where)
            names = (function,) if (part, function) in TIED else (function, "*")
            free = {key[2:] for key in WHOLE_INSTALLATION if key[0] == part and key[1] in names}
            assert not {table for table, _ in free} & forced, f"{part} {function}: is under row level security"
            count += 1
            place = f"{pathlib.Path(where.source.path).relative_to(root)} {function}"
            found = sql_scopes.Reader(tables, free).check(text)
            if free:
                unbound = sql_scopes.Reader(tables).check(text)
                used |= {key for f in (function, "*") for table, alias in unbound
                         for key in [(part, f, table, "" if alias.startswith("insert") else alias)]
                         if key in WHOLE_INSTALLATION}
            for table, alias in found:
                complaint = f"{place}: {table} ({alias}) is not tied to the organization"
                if complaint not in complaints:
                    complaints.append(complaint)
            if show:
                print(f"{place}: {' '.join(text.split())}\n")
        for (of, function), times in NAMED.items():
            if of == part:
                named = sum(times_named(li) for li in program.literals if program.name_of(li) == function)
                if named != times:
                    complaints.append(f"{part} {function} names the organization {named} times instead of {times}")
    return complaints, count, used


def times_named(literal):
    return sum(len(re.findall(r"(?<!\w)organization_id\s*=|_organization_id = $", part))
               for part in literal.parts if isinstance(part, str))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    complaints, count, used = check(show=arguments.list)
    for key in sorted(set(WHOLE_INSTALLATION) - used):
        complaints.append(f"{key}: declared as work on the whole installation, but there is none such")
    for complaint in complaints:
        print(complaint)
    print(f"{count} statements, {len(complaints)} complaints, {len(used)} declared exceptions")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
