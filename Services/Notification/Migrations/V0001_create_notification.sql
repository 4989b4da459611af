-- Organizations this service has heard of: a list over all tenants, for the reminder clock to walk. It holds no data
-- of theirs. A deleted organization keeps its row, so that an event that comes late cannot bring it back.
CREATE TABLE known_organization (
    organization_id uuid PRIMARY KEY,
    -- No one in it is due a reminder before this; -infinity: look at once.
    reminder_due_at timestamptz NOT NULL DEFAULT '-infinity',
    deleted_at timestamptz
);
CREATE INDEX known_organization_reminder ON known_organization (reminder_due_at) WHERE deleted_at IS NULL;

-- What other services have told of organizations, users, projects and tasks. Events of different services come in any
-- order, so nothing here refers to anything else here.
CREATE TABLE organization (
    organization_id uuid PRIMARY KEY,
    revision bigint NOT NULL,
    name text NOT NULL,
    time_zone text NOT NULL,
    reminder_hour smallint NOT NULL
);

CREATE TABLE member (
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    revision bigint NOT NULL,
    email text NOT NULL,
    first_name text NOT NULL,
    last_name text NOT NULL,
    is_active boolean NOT NULL,
    PRIMARY KEY (organization_id, user_id)
);

CREATE TABLE project (
    organization_id uuid NOT NULL,
    id bigint NOT NULL,
    revision bigint NOT NULL,
    name text NOT NULL,
    is_deleted boolean NOT NULL DEFAULT false,
    PRIMARY KEY (organization_id, id)
);

CREATE TABLE task (
    organization_id uuid NOT NULL,
    id bigint NOT NULL,
    revision bigint NOT NULL,
    project_id bigint NOT NULL,
    key text NOT NULL,
    title text NOT NULL,
    priority text NOT NULL,
    status text NOT NULL,
    -- At most one of the two.
    due_day date,
    due_at timestamptz,
    created_by uuid NOT NULL,
    is_deleted boolean NOT NULL DEFAULT false,
    PRIMARY KEY (organization_id, id)
);

CREATE TABLE task_collaborator (
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    task_id bigint NOT NULL,
    PRIMARY KEY (organization_id, user_id, task_id)
);
CREATE INDEX task_collaborator_task ON task_collaborator (organization_id, task_id);

-- This service's own.
CREATE TABLE notice (
    organization_id uuid NOT NULL,
    id bigint NOT NULL,
    user_id uuid NOT NULL,
    event_id uuid NOT NULL,
    kind text NOT NULL,
    title text NOT NULL,
    body text NOT NULL,
    project_id bigint,
    task_id bigint,
    created_at timestamptz NOT NULL,
    read_at timestamptz,
    PRIMARY KEY (organization_id, id),
    -- One event makes at most one notice per person.
    CONSTRAINT notice_event_key UNIQUE (organization_id, event_id, user_id)
);
CREATE INDEX notice_of_user ON notice (organization_id, user_id, created_at, id);
CREATE INDEX notice_unread_of_user ON notice (organization_id, user_id, created_at, id) WHERE read_at IS NULL;

CREATE TABLE preference (
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    version bigint NOT NULL DEFAULT 0,
    muted_in_app text[] NOT NULL DEFAULT '{}',
    muted_mail text[] NOT NULL DEFAULT '{}',
    reminder_hour smallint CHECK (reminder_hour BETWEEN 0 AND 23),
    time_zone text,
    PRIMARY KEY (organization_id, user_id)
);

-- A person's local day whose reminder has been judged, whether or not there was anything to say.
CREATE TABLE reminder_day (
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    local_day date NOT NULL,
    PRIMARY KEY (organization_id, user_id, local_day)
);

-- What there is to say in a mail to a user; gone when it has been sent.
CREATE TABLE mail (
    organization_id uuid NOT NULL,
    event_id uuid NOT NULL,
    user_id uuid NOT NULL,
    kind text NOT NULL,
    -- Where it goes; NULL: to the user's address at the time of sending.
    email text,
    letter jsonb NOT NULL,
    PRIMARY KEY (organization_id, event_id, user_id, kind)
);

-- The same for accounts, which belong to no organization.
CREATE TABLE account_mail (
    event_id uuid NOT NULL,
    account_id uuid NOT NULL,
    kind text NOT NULL,
    email text NOT NULL,
    first_name text,
    letter jsonb NOT NULL,
    PRIMARY KEY (event_id, account_id, kind)
);

-- Which mails are to be sent, over all organizations, for the sender to claim; ids only.
CREATE TYPE mail_state AS ENUM ('pending', 'sent', 'dropped');
CREATE TABLE mail_queue (
    event_id uuid NOT NULL,
    recipient uuid NOT NULL,
    kind text NOT NULL,
    -- NULL: a mail to an account.
    organization_id uuid,
    state mail_state NOT NULL DEFAULT 'pending',
    attempts integer NOT NULL DEFAULT 0,
    -- The next attempt, and while one is under way the end of its lease.
    due_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (event_id, recipient, kind)
);
CREATE INDEX mail_queue_due ON mail_queue (due_at) WHERE state = 'pending';
CREATE INDEX mail_queue_finished ON mail_queue (finished_at) WHERE state <> 'pending';
CREATE INDEX mail_queue_organization ON mail_queue (organization_id);

ALTER TABLE organization ENABLE ROW LEVEL SECURITY;
ALTER TABLE organization FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON organization
    USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))
    WITH CHECK (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));

ALTER TABLE member ENABLE ROW LEVEL SECURITY;
ALTER TABLE member FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON member
    USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))
    WITH CHECK (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));

ALTER TABLE project ENABLE ROW LEVEL SECURITY;
ALTER TABLE project FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON project
    USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))
    WITH CHECK (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));

ALTER TABLE task ENABLE ROW LEVEL SECURITY;
ALTER TABLE task FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON task
    USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))
    WITH CHECK (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));

ALTER TABLE task_collaborator ENABLE ROW LEVEL SECURITY;
ALTER TABLE task_collaborator FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON task_collaborator
    USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))
    WITH CHECK (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));

ALTER TABLE notice ENABLE ROW LEVEL SECURITY;
ALTER TABLE notice FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON notice
    USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))
    WITH CHECK (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));

ALTER TABLE preference ENABLE ROW LEVEL SECURITY;
ALTER TABLE preference FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON preference
    USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))
    WITH CHECK (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));

ALTER TABLE reminder_day ENABLE ROW LEVEL SECURITY;
ALTER TABLE reminder_day FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON reminder_day
    USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))
    WITH CHECK (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));

ALTER TABLE mail ENABLE ROW LEVEL SECURITY;
ALTER TABLE mail FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON mail
    USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))
    WITH CHECK (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));
