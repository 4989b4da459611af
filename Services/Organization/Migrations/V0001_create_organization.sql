-- Organizations, their departments and their users: the truth that every other service keeps replicas of.

CREATE TYPE user_role AS ENUM ('ADMIN', 'MANAGER', 'DEVELOPER');

CREATE TABLE organization (
    organization_id uuid NOT NULL,
    name text NOT NULL,
    time_zone text NOT NULL,
    reminder_hour smallint NOT NULL CHECK (reminder_hour BETWEEN 0 AND 23),
    version bigint NOT NULL CHECK (version >= 1),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id)
);

CREATE TABLE department (
    organization_id uuid NOT NULL,
    id bigint NOT NULL CHECK (id >= 1),
    name text NOT NULL,
    version bigint NOT NULL CHECK (version >= 1),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id)
);

-- Unique ignoring case, and the order of the list.
CREATE UNIQUE INDEX department_name_key ON department (organization_id, (lower(name) COLLATE "C"));

CREATE TABLE app_user (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    email text NOT NULL,
    first_name text NOT NULL,
    last_name text NOT NULL,
    role user_role NOT NULL,
    department_id bigint,
    is_active boolean NOT NULL,
    -- The picture: where it is kept, what it is called there, and the address that clients get.
    picture_storage text,
    picture_name text,
    picture_url text,
    version bigint NOT NULL CHECK (version >= 1),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, id),
    FOREIGN KEY (organization_id, department_id) REFERENCES department (organization_id, id),
    CHECK ((picture_storage IS NULL) = (picture_name IS NULL) AND (picture_name IS NULL) = (picture_url IS NULL))
);

-- One user per address; also how people are found by the address in a path, and the order of the list.
CREATE UNIQUE INDEX app_user_email_key ON app_user (organization_id, (lower(email) COLLATE "C"));
CREATE INDEX app_user_name ON app_user (organization_id, (lower(first_name || ' ' || last_name) COLLATE "C"), id);
CREATE INDEX app_user_department ON app_user (organization_id, department_id) WHERE department_id IS NOT NULL;
-- The last-admin rule counts these at every change of a user.
CREATE INDEX app_user_active_admin ON app_user (organization_id, id) WHERE role = 'ADMIN' AND is_active;

ALTER TABLE organization ENABLE ROW LEVEL SECURITY;
ALTER TABLE organization FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON organization
    USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))
    WITH CHECK (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));

ALTER TABLE department ENABLE ROW LEVEL SECURITY;
ALTER TABLE department FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON department
    USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))
    WITH CHECK (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));

ALTER TABLE app_user ENABLE ROW LEVEL SECURITY;
ALTER TABLE app_user FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON app_user
    USING (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid))
    WITH CHECK (organization_id = (SELECT nullif(current_setting('app.organization_id', true), '')::uuid));

-- Stored pictures that no user refers to: uploads under way, and those that were replaced or removed. A sweep works
-- through them for all organizations at once, and goes on with them when their organization is gone: a global table.
-- The name begins with the organization's id and says nothing else about anybody.
CREATE TABLE loose_media (
    storage text NOT NULL,
    name text NOT NULL,
    state text NOT NULL CHECK (state IN ('uploading', 'condemned')),
    attempts integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (storage, name)
);

CREATE INDEX loose_media_due ON loose_media (due_at);
