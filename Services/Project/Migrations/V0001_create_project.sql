-- Projects and their collaborators, with replicas of the users they show.

-- In the order in which lists sort them.
CREATE TYPE project_status AS ENUM ('PENDING', 'IN_PROGRESS', 'COMPLETED', 'CLOSED');

CREATE TABLE project (
    organization_id uuid NOT NULL,
    id bigint NOT NULL CHECK (id >= 1),
    key text NOT NULL CHECK (key ~ '^[A-Z][A-Z0-9]{1,9}$'),
    name text NOT NULL,
    description text NOT NULL,
    status project_status NOT NULL,
    task_visibility text NOT NULL CHECK (task_visibility IN ('collaborators', 'project')),
    created_by uuid NOT NULL,
    updated_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    -- Counts the changes of what an answer shows, names of people included: the ETag.
    version bigint NOT NULL CHECK (version >= 1),
    -- Counts the events: what replicas go by.
    revision bigint NOT NULL CHECK (revision >= 1),
    PRIMARY KEY (organization_id, id)
);

-- Also of those in the trash: the keys of tasks are made of it for ever.
CREATE UNIQUE INDEX project_key_key ON project (organization_id, key);
CREATE UNIQUE INDEX project_name_key ON project (organization_id, (lower(name) COLLATE "C")) WHERE deleted_at IS NULL;
CREATE INDEX project_updated ON project (organization_id, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX project_trash ON project (organization_id, deleted_at, id) WHERE deleted_at IS NOT NULL;

CREATE TABLE project_collaborator (
    organization_id uuid NOT NULL,
    project_id bigint NOT NULL,
    user_id uuid NOT NULL,
    added_at timestamptz NOT NULL,
    added_by uuid NOT NULL,
    PRIMARY KEY (organization_id, project_id, user_id),
    FOREIGN KEY (organization_id, project_id) REFERENCES project (organization_id, id)
);

CREATE INDEX project_collaborator_user ON project_collaborator (organization_id, user_id, project_id);

-- What is kept of the users of an organization; taken from events, newest revision wins.
CREATE TABLE member (
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    revision bigint NOT NULL,
    email text NOT NULL,
    first_name text NOT NULL,
    last_name text NOT NULL,
    is_active boolean NOT NULL,
    profile_img text,
    PRIMARY KEY (organization_id, user_id)
);

CREATE INDEX member_email ON member (organization_id, (lower(email) COLLATE "C"));

-- The organizations there are. Whoever adds a project holds the row, so that none is added to one that is going.
CREATE TABLE organization (
    organization_id uuid NOT NULL,
    founded_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id)
);

-- The organizations that there were: nothing said earlier and heard later brings one back. A global table, nothing in
-- it but the id.
CREATE TABLE deleted_organization (
    id uuid PRIMARY KEY
);

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

ALTER TABLE member ENABLE ROW LEVEL SECURITY;
ALTER TABLE member FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON member
    USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))
    WITH CHECK (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));

ALTER TABLE organization ENABLE ROW LEVEL SECURITY;
ALTER TABLE organization FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON organization
    USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))
    WITH CHECK (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));
