-- Tasks with their collaborators, and what this service keeps of organizations, members and projects.

CREATE TYPE task_status AS ENUM ('PENDING', 'IN_PROGRESS', 'COMPLETED', 'OVERDUE', 'ON_HOLD', 'CANCELLED');
CREATE TYPE task_priority AS ENUM ('LOW', 'MEDIUM', 'HIGH');

-- Global: the overdue clock must know which organizations there are. It outlives the organization, so that an event
-- that comes late cannot bring a deleted one back.
CREATE TABLE known_organization (
    organization_id uuid PRIMARY KEY,
    deleted_at timestamptz
);

CREATE TABLE organization (
    organization_id uuid PRIMARY KEY,
    revision bigint NOT NULL,
    name text NOT NULL,
    time_zone text NOT NULL,
    -- The zone that SQL reckons with: time_zone where this server knows it, UTC otherwise.
    sql_zone text NOT NULL,
    reminder_hour integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- Added to the version of every task: rises when a name, address or picture shown in tasks changes.
    people_epoch bigint NOT NULL DEFAULT 0
);

CREATE TABLE member (
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    revision bigint NOT NULL,
    email text NOT NULL,
    first_name text NOT NULL,
    last_name text NOT NULL,
    role text NOT NULL,
    department_id bigint,
    department_name text,
    is_active boolean NOT NULL,
    profile_img text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, user_id)
);
CREATE INDEX member_email ON member (organization_id, lower(email));

CREATE TABLE project (
    organization_id uuid NOT NULL,
    id bigint NOT NULL,
    revision bigint NOT NULL,
    key text NOT NULL,
    name text NOT NULL,
    status text NOT NULL,
    task_visibility text NOT NULL,
    created_by uuid NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (organization_id, id)
);
CREATE INDEX project_key ON project (organization_id, key);

CREATE TABLE project_collaborator (
    organization_id uuid NOT NULL,
    project_id bigint NOT NULL,
    user_id uuid NOT NULL,
    PRIMARY KEY (organization_id, project_id, user_id)
);
CREATE INDEX project_collaborator_user ON project_collaborator (organization_id, user_id, project_id);

CREATE TABLE task (
    organization_id uuid NOT NULL,
    id bigint NOT NULL,
    project_id bigint NOT NULL,
    -- Counted per project, the second half of the key.
    number bigint NOT NULL,
    parent_id bigint,
    title text NOT NULL,
    description text NOT NULL,
    priority task_priority NOT NULL,
    status task_status NOT NULL,
    -- A day or a moment, at most one of each pair.
    start_day date,
    start_at timestamptz,
    due_day date,
    due_at timestamptz,
    -- What compares: the begin of the start day and the last microsecond of the due day in the organization's zone.
    start_moment timestamptz,
    due_moment timestamptz,
    completed_at timestamptz,
    -- What an overdue task was before.
    status_before_overdue task_status,
    -- Whether the overdue clock has had its turn with this due date.
    overdue_marked boolean NOT NULL DEFAULT false,
    created_by uuid NOT NULL,
    updated_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- The ETag; rises whenever an answer about the task would change, its subtasks and collaborators included.
    version bigint NOT NULL DEFAULT 1,
    -- Counts the events about the task, without a hole.
    revision bigint NOT NULL DEFAULT 1,
    deleted_at timestamptz,
    deleted_by uuid,
    -- The parent in whose deletion this task went along.
    deleted_with bigint,
    PRIMARY KEY (organization_id, id),
    CONSTRAINT task_number UNIQUE (organization_id, project_id, number),
    CONSTRAINT task_parent FOREIGN KEY (organization_id, parent_id) REFERENCES task (organization_id, id),
    CONSTRAINT task_start CHECK (start_day IS NULL OR start_at IS NULL),
    CONSTRAINT task_due CHECK (due_day IS NULL OR due_at IS NULL),
    CONSTRAINT task_not_own_parent CHECK (parent_id <> id)
);

-- One index for each order of the list. A missing date comes last in both directions, so there are two for each.
CREATE INDEX task_by_start ON task (organization_id, (COALESCE(start_moment, 'infinity'::timestamptz)), id)
    WHERE deleted_at IS NULL;
CREATE INDEX task_by_start_down ON task (organization_id, (COALESCE(start_moment, '-infinity'::timestamptz)), id)
    WHERE deleted_at IS NULL;
CREATE INDEX task_by_due ON task (organization_id, (COALESCE(due_moment, 'infinity'::timestamptz)), id)
    WHERE deleted_at IS NULL;
CREATE INDEX task_by_due_down ON task (organization_id, (COALESCE(due_moment, '-infinity'::timestamptz)), id)
    WHERE deleted_at IS NULL;
CREATE INDEX task_by_priority ON task (organization_id, priority, id) WHERE deleted_at IS NULL;
CREATE INDEX task_by_status ON task (organization_id, status, id) WHERE deleted_at IS NULL;
CREATE INDEX task_by_title ON task (organization_id, (lower(title) COLLATE "C"), id) WHERE deleted_at IS NULL;
CREATE INDEX task_by_creation ON task (organization_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX task_by_update ON task (organization_id, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX task_of_project
    ON task (organization_id, project_id, (COALESCE(start_moment, 'infinity'::timestamptz)), id)
    WHERE deleted_at IS NULL;
CREATE INDEX task_of_parent ON task (organization_id, parent_id, id) WHERE parent_id IS NOT NULL;
CREATE INDEX task_of_creator ON task (organization_id, created_by, id);
CREATE INDEX task_in_trash ON task (organization_id, deleted_at, id) WHERE deleted_at IS NOT NULL;
-- What the overdue clock has to look at: next to nothing, most of the time.
CREATE INDEX task_to_mark ON task (organization_id, due_moment)
    WHERE deleted_at IS NULL AND NOT overdue_marked AND status IN ('PENDING', 'IN_PROGRESS');

CREATE TABLE task_collaborator (
    organization_id uuid NOT NULL,
    task_id bigint NOT NULL,
    user_id uuid NOT NULL,
    added_at timestamptz NOT NULL,
    added_by uuid NOT NULL,
    PRIMARY KEY (organization_id, task_id, user_id),
    CONSTRAINT task_collaborator_task FOREIGN KEY (organization_id, task_id)
        REFERENCES task (organization_id, id) ON DELETE CASCADE
);
CREATE INDEX task_collaborator_user ON task_collaborator (organization_id, user_id, task_id);

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

ALTER TABLE project_collaborator ENABLE ROW LEVEL SECURITY;
ALTER TABLE project_collaborator FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON project_collaborator
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
