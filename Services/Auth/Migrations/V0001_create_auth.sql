-- Everything here belongs to the installation and not to one organization: a person logs in before it is known which
-- organization they want. That is why no table has row level security; statements name the rows they mean.

CREATE TABLE account (
    id uuid PRIMARY KEY,
    -- As typed; email_key is the same in lower case and what is compared.
    email text NOT NULL,
    email_key text NOT NULL CONSTRAINT account_email_key UNIQUE,
    -- PHC string of Argon2id; NULL until an invited person has set one.
    password_hash text,
    password_changed_at timestamptz,
    -- The organization of the last login or switch: the one that a login without a choice enters.
    last_organization_id uuid,
    created_at timestamptz NOT NULL
);

-- What is kept of organizations and users, from the events of Organization (and of a sign-up, from ourselves).
CREATE TABLE organization (
    organization_id uuid PRIMARY KEY,
    revision bigint NOT NULL,
    name text NOT NULL,
    time_zone text NOT NULL,
    reminder_hour integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);

CREATE TABLE membership (
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    account_id uuid NOT NULL REFERENCES account (id),
    revision bigint NOT NULL,
    email text NOT NULL,
    first_name text NOT NULL,
    last_name text NOT NULL,
    role text NOT NULL CHECK (role IN ('ADMIN', 'MANAGER', 'DEVELOPER')),
    department_id bigint,
    department_name text,
    is_active boolean NOT NULL,
    profile_img text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (organization_id, user_id)
);
CREATE INDEX membership_account ON membership (account_id);

CREATE TABLE session (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES account (id) ON DELETE CASCADE,
    organization_id uuid NOT NULL,
    user_id uuid NOT NULL,
    -- Raised by a switch of organization or a change of role: access tokens of lower generations are dead.
    generation bigint NOT NULL,
    -- The number of the newest refresh token; the token itself is derived from it and kept nowhere.
    counter bigint NOT NULL,
    rotated_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    idle_expires_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ip text,
    user_agent text,
    ended_at timestamptz,
    ended_reason text,
    CHECK ((ended_at IS NULL) = (ended_reason IS NULL))
);
CREATE INDEX session_account ON session (account_id, last_used_at DESC) WHERE ended_at IS NULL;
CREATE INDEX session_member ON session (organization_id, user_id) WHERE ended_at IS NULL;
CREATE INDEX session_ended ON session (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX session_expiry ON session (expires_at);

-- The lowest generation of a session's access tokens that still lives; 9223372036854775807 when the session has ended.
-- Needed only as long as an older token could still be shown. published_at is NULL until Redis has it.
CREATE TABLE revocation (
    session_id uuid PRIMARY KEY,
    lowest_generation bigint NOT NULL,
    expires_at timestamptz NOT NULL,
    published_at timestamptz
);
CREATE INDEX revocation_unpublished ON revocation (expires_at) WHERE published_at IS NULL;
CREATE INDEX revocation_expiry ON revocation (expires_at);

-- A mailed link; its token is derived from the id and kept nowhere. account_id has no foreign key: the account of a
-- sign-up that waits for its address to be proved does not exist yet.
CREATE TABLE link_request (
    id uuid PRIMARY KEY,
    account_id uuid NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('verify-email', 'reset-password', 'activate')),
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    -- Set when a newer request replaced it or another link of the account was used.
    void_at timestamptz
);
CREATE INDEX link_request_account ON link_request (account_id) WHERE used_at IS NULL AND void_at IS NULL;
CREATE INDEX link_request_expiry ON link_request (expires_at);

CREATE TABLE pending_signup (
    account_id uuid PRIMARY KEY,
    email text NOT NULL,
    email_key text NOT NULL,
    password_hash text NOT NULL,
    first_name text NOT NULL,
    last_name text NOT NULL,
    organization_name text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX pending_signup_email ON pending_signup (email_key);
CREATE INDEX pending_signup_expiry ON pending_signup (expires_at);

-- Failed logins in a row, by address and, in the row with an empty address, over all addresses. The name that was
-- tried is kept as a keyed hash: people type passwords into the wrong field.
CREATE TABLE login_throttle (
    name_hash bytea NOT NULL,
    address text NOT NULL,
    failures integer NOT NULL,
    locked_until timestamptz,
    succeeded_at timestamptz,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (name_hash, address)
);
CREATE INDEX login_throttle_age ON login_throttle (updated_at);

-- When mails that anyone can trigger were sent to an address, within the last hour.
CREATE TABLE mail_throttle (
    name_hash bytea PRIMARY KEY,
    sent timestamptz[] NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE INDEX mail_throttle_age ON mail_throttle (updated_at);

CREATE TABLE signing_key (
    kid text PRIMARY KEY,
    public_key bytea NOT NULL,
    -- AES-256-GCM: nonce, ciphertext, tag.
    private_key bytea NOT NULL,
    created_at timestamptz NOT NULL,
    -- Signs from here on, until a younger key does.
    active_from timestamptz NOT NULL,
    revoked_at timestamptz,
    revocation_published_at timestamptz
);

CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    action text NOT NULL,
    account_id uuid,
    organization_id uuid,
    user_id uuid,
    session_id uuid,
    address text,
    request_id text,
    traceparent text,
    detail text
);
CREATE INDEX audit_account ON audit (account_id, at);
CREATE INDEX audit_age ON audit (at);
CREATE INDEX audit_organization ON audit (organization_id) WHERE organization_id IS NOT NULL;
