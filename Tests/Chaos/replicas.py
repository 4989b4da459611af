"""Read models against the tables they are made from, and the event log against itself, by SQL and read-only.

What a service keeps of another's data must be what it would be if it were built anew from all that the other has said:
that is, what the other's own tables say. Each comparison gives the rows that one side has and the other has not.
"""
import json

PRODUCERS = ("auth", "organization", "project", "task")

ORGANIZATIONS = "SELECT organization_id, name, time_zone, reminder_hour, version FROM organization.organization"
PEOPLE = """SELECT u.organization_id, u.id, u.version, u.email, u.first_name, u.last_name, u.role::text,
    u.department_id, d.name, u.is_active, u.picture_url, u.created_at, u.updated_at FROM organization.app_user u
    LEFT JOIN organization.department d ON d.organization_id = u.organization_id AND d.id = u.department_id"""
FULL_MEMBER = """organization_id, user_id, revision, email, first_name, last_name, role, department_id, department_name,
    is_active, profile_img, created_at, updated_at"""

# What is compared: the truth, and the replica.
COMPARISONS = {
    "organization: organizations founded": (
        "SELECT organization_id, (payload::json->>'user')::uuid, payload::json->>'email' FROM auth.outbox "
        "WHERE type = 'organization.founded'",
        # Not the first of its people by time: a clock that was moved lets somebody seem to come before the founder.
        """SELECT o.organization_id, u.id, u.email FROM organization.organization o
        LEFT JOIN organization.app_user u ON u.organization_id = o.organization_id AND u.id IN (
        SELECT (payload::json->>'user')::uuid FROM auth.outbox WHERE type = 'organization.founded')"""),
    "auth: organizations": (
        ORGANIZATIONS, "SELECT organization_id, name, time_zone, reminder_hour, revision FROM auth.organization"),
    "task: organizations": (
        ORGANIZATIONS, "SELECT organization_id, name, time_zone, reminder_hour, revision FROM task.organization"),
    "notification: organizations": (
        ORGANIZATIONS,
        "SELECT organization_id, name, time_zone, reminder_hour, revision FROM notification.organization"),
    "project: organizations": (
        "SELECT organization_id FROM organization.organization", "SELECT organization_id FROM project.organization"),
    "auth: memberships": (PEOPLE, f"SELECT {FULL_MEMBER} FROM auth.membership"),
    "auth: accounts of memberships": (
        "SELECT organization_id, id, lower(email) FROM organization.app_user",
        "SELECT m.organization_id, m.user_id, a.email_key FROM auth.membership m JOIN auth.account a "
        "ON a.id = m.account_id"),
    "task: members": (PEOPLE, f"SELECT {FULL_MEMBER} FROM task.member"),
    "project: members": (
        "SELECT organization_id, id, version, email, first_name, last_name, is_active, picture_url "
        "FROM organization.app_user",
        "SELECT organization_id, user_id, revision, email, first_name, last_name, is_active, profile_img "
        "FROM project.member"),
    "notification: members": (
        "SELECT organization_id, id, version, email, first_name, last_name, is_active FROM organization.app_user",
        "SELECT organization_id, user_id, revision, email, first_name, last_name, is_active FROM notification.member"),
    "task: projects": (
        "SELECT organization_id, id, key, name, status::text, task_visibility, created_by, deleted_at "
        "FROM project.project",
        "SELECT organization_id, id, key, name, status, task_visibility, created_by, deleted_at FROM task.project"),
    "notification: projects": (
        "SELECT organization_id, id, name, deleted_at IS NOT NULL FROM project.project",
        "SELECT organization_id, id, name, is_deleted FROM notification.project"),
    "task: collaborators of projects": (
        "SELECT organization_id, project_id, user_id FROM project.project_collaborator",
        "SELECT organization_id, project_id, user_id FROM task.project_collaborator"),
    "notification: tasks": (
        """SELECT t.organization_id, t.id, t.project_id, p.key || '-' || t.number, t.title, t.priority::text,
        t.status::text, t.due_day, t.due_at, t.created_by, t.deleted_at IS NOT NULL FROM task.task t
        JOIN project.project p ON p.organization_id = t.organization_id AND p.id = t.project_id""",
        "SELECT organization_id, id, project_id, key, title, priority, status, due_day, due_at, created_by, is_deleted "
        "FROM notification.task"),
    "notification: collaborators of tasks": (
        "SELECT organization_id, task_id, user_id FROM task.task_collaborator",
        "SELECT organization_id, task_id, user_id FROM notification.task_collaborator"),
}

# What must not be: each question gives rows that are wrong.
NEVER = {
    "tasks: their collaborators are on the project": """
        SELECT c.organization_id, c.task_id, c.user_id FROM task.task_collaborator c
        JOIN task.task t ON t.organization_id = c.organization_id AND t.id = c.task_id
        WHERE NOT EXISTS (SELECT FROM project.project_collaborator p WHERE p.organization_id = c.organization_id
        AND p.project_id = t.project_id AND p.user_id = c.user_id)""",
    "event log: nothing is parked": " UNION ALL ".join(
        f"SELECT '{c}' AS consumer, stream, seq, subject, type, state, reason FROM {c}.parked"
        for c in (*PRODUCERS, "notification")),
    "event log: numbers are dense": " UNION ALL ".join(
        f"""SELECT '{p}' AS producer, l.shard, l.seq, count(o.seq) AS there, max(o.seq) AS highest
        FROM {p}.event_log l LEFT JOIN {p}.outbox o ON o.shard = l.shard GROUP BY l.shard, l.seq
        HAVING count(o.seq) <> l.seq OR coalesce(max(o.seq), 0) <> l.seq OR count(DISTINCT o.seq) <> count(o.seq)"""
        for p in PRODUCERS),
    "event log: cursors are at the end": " UNION ALL ".join(
        f"""SELECT '{c}' AS consumer, k.stream, k.seq, k.settled, l.seq AS newest FROM {c}.cursor k
        JOIN {p}.event_log l ON k.stream = '{p}.' || lpad(l.shard::text, 2, '0')
        WHERE k.seq <> l.seq OR k.settled <> l.seq""" for c in (*PRODUCERS, "notification") for p in PRODUCERS),
    "event log: revisions of a subject count up by one": " UNION ALL ".join(
        f"""SELECT '{p}' AS producer, * FROM (SELECT organization_id, subject, seq, type, {r} AS revision,
        lag({r}) OVER (PARTITION BY organization_id, subject ORDER BY seq) AS before FROM {p}.outbox) e
        WHERE revision <> before + 1"""
        for p, r in (("task", "(payload::json->>'revision')::bigint"),
                     ("project", "(payload::json->>'revision')::bigint"),
                     ("organization", "coalesce(payload::json->'profile'->>'revision', "
                                      "payload::json->>'revision')::bigint"))),
    "notices: one for each person and event, none without": """
        WITH due AS (
            SELECT organization_id, id, (payload::json->>'user')::uuid AS user_id FROM project.outbox
            WHERE type = 'project.collaborator-added' AND NOT (payload::json->>'is_creator')::boolean
            AND (payload::json->>'user')::uuid IS DISTINCT FROM actor
            UNION SELECT organization_id, id, (payload::json->>'user')::uuid FROM task.outbox
            WHERE type = 'task.collaborator-added' AND (payload::json->>'user')::uuid IS DISTINCT FROM actor
            UNION SELECT o.organization_id, o.id, c.v::uuid FROM task.outbox o,
            json_array_elements_text(o.payload::json->'collaborators') c(v)
            WHERE o.type = 'task.created' AND c.v::uuid IS DISTINCT FROM o.actor),
        there AS (SELECT organization_id, event_id, user_id, kind FROM notification.notice
            WHERE kind NOT IN ('daily-reminder', 'task-overdue'))
        SELECT 'missing' AS what, d.organization_id, d.id, d.user_id, 1 FROM due d
        WHERE NOT EXISTS (SELECT FROM there t WHERE t.organization_id = d.organization_id AND t.event_id = d.id
            AND t.user_id = d.user_id)
        UNION ALL SELECT 'without an event', t.organization_id, t.event_id, t.user_id, 1 FROM there t
        WHERE NOT EXISTS (SELECT FROM due d WHERE t.organization_id = d.organization_id AND t.event_id = d.id
            AND t.user_id = d.user_id)
        UNION ALL SELECT 'more than one', organization_id, event_id, user_id, count(*) FROM notification.notice
        GROUP BY organization_id, event_id, user_id HAVING count(*) > 1""",
    "notices: every overdue task has been told of once": """
        SELECT coalesce(o.organization_id, n.organization_id) AS organization_id, o.id AS event, n.event_id AS notice
        FROM (SELECT organization_id, id FROM task.outbox WHERE type = 'task.overdue') o
        FULL JOIN (SELECT DISTINCT organization_id, event_id FROM notification.notice WHERE kind = 'task-overdue') n
        ON n.organization_id = o.organization_id AND n.event_id = o.id
        WHERE o.id IS NULL OR n.event_id IS NULL
        UNION ALL SELECT organization_id, (min(id::text))::uuid, NULL FROM task.outbox WHERE type = 'task.overdue'
        GROUP BY organization_id, subject HAVING count(*) > 1""",
    "notices: a daily reminder once a day": """
        SELECT organization_id, user_id, created_at::date AS day, count(*) FROM notification.notice
        WHERE kind = 'daily-reminder' GROUP BY 1, 2, 3 HAVING count(*) > 1""",
    "mails: none is dropped, none waits": """
        SELECT event_id, recipient, kind, state, attempts FROM notification.mail_queue WHERE state <> 'sent'""",
    "mails: every notice has its mail": """
        SELECT n.organization_id, n.event_id, n.user_id, n.kind FROM notification.notice n
        WHERE NOT EXISTS (SELECT FROM notification.mail_queue q WHERE q.event_id = n.event_id
        AND q.recipient = n.user_id)""",
    "versions: no replica is ahead of what it is made from": """
        SELECT 'task.project' AS replica, r.organization_id, r.id::text, r.revision, p.revision AS truth
        FROM task.project r JOIN project.project p USING (organization_id, id) WHERE r.revision > p.revision
        UNION ALL SELECT 'notification.project', r.organization_id, r.id::text, r.revision, p.revision
        FROM notification.project r JOIN project.project p USING (organization_id, id) WHERE r.revision > p.revision
        UNION ALL SELECT 'notification.task', r.organization_id, r.id::text, r.revision, t.revision
        FROM notification.task r JOIN task.task t USING (organization_id, id) WHERE r.revision > t.revision""",
}


def compare(sql, name):
    """Sentences on what the replica lacks and what it has too much."""
    truth, replica = COMPARISONS[name]
    found = []
    for left, right, words in ((truth, replica, "is missing in the replica"),
                               (replica, truth, "is in the replica alone")):
        rows = sql.query(f"SELECT row_to_json(d)::text AS row FROM (({left}) EXCEPT ALL ({right}) LIMIT 20) d")
        found += [f"{row['row']} {words}" for row in rows]
    return found


def never(sql, name):
    return [json.dumps(row) for row in sql.query(f"SELECT * FROM ({NEVER[name]}) w LIMIT 20")]


def remains(sql, organizations):
    """Rows that name an organization which is gone, but for those whose business it is to remember its id."""
    if not organizations:
        return []
    tables = sql.query("""
        SELECT c.table_schema || '.' || c.table_name AS name FROM information_schema.columns c
        JOIN information_schema.tables t USING (table_schema, table_name)
        WHERE c.column_name = 'organization_id' AND t.table_type = 'BASE TABLE'
        AND c.table_schema IN ('auth', 'organization', 'project', 'task', 'notification')
        AND c.table_name NOT LIKE 'outbox%' AND c.table_name <> 'known_organization'""")
    ids = ", ".join(f"'{organization}'" for organization in sorted(organizations))
    rows = sql.query(" UNION ALL ".join(
        f"SELECT '{t['name']}' AS place, organization_id FROM {t['name']} WHERE organization_id IN ({ids})"
        for t in tables) + " LIMIT 20")
    rows += sql.query(" UNION ALL ".join(
        f"SELECT '{p}.outbox' AS place, organization_id FROM {p}.outbox WHERE organization_id IN ({ids}) "
        "AND type NOT IN ('tombstone', 'organization.deleted', 'session.revoked')" for p in PRODUCERS) + " LIMIT 20")
    return [json.dumps(row) for row in rows]


def streams(installation):
    """Every stream holds what its outbox holds, from its first entry to the newest number."""
    found = []
    for producer in PRODUCERS:
        rows = installation.sql.query(
            f"SELECT shard, seq, id, type FROM {producer}.outbox ORDER BY shard, seq")
        shards = {}
        for row in rows:
            shards.setdefault(row["shard"], {})[row["seq"]] = row
        for shard, events in sorted(shards.items()):
            key = f"ev:{{{producer}.{shard:02}}}"
            entries = installation.redis_replies([["XRANGE", key, "-", "+"]])[0]
            numbers = [int(entry[0].split("-")[0]) for entry in entries]
            newest = max(events)
            if not numbers or numbers != list(range(numbers[0], newest + 1)):
                found.append(f"{key} holds {len(numbers)} entries, {numbers[:1]} to {numbers[-1:]}; the outbox ends "
                             f"with {newest}")
                continue
            for number, entry in zip(numbers, entries):
                event = json.loads(dict(zip(entry[1][::2], entry[1][1::2]))["e"])
                # Of a deleted organization the outbox keeps the numbers alone.
                types = (event["type"], "tombstone")
                if event["id"] != events[number]["id"] or events[number]["type"] not in types:
                    found.append(f"{key} {number} is {event['type']} {event['id']}, in the outbox it is "
                                 f"{events[number]['type']} {events[number]['id']}")
    return found[:20]
