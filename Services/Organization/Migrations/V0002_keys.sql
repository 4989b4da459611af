-- Names and addresses as they are compared, kept beside them: under row security only an index on a column serves a
-- comparison, since lower() might tell of rows that are not the caller's.

ALTER TABLE department ADD COLUMN name_key text COLLATE "C" NOT NULL GENERATED ALWAYS AS (lower(name)) STORED;
DROP INDEX department_name_key;
CREATE UNIQUE INDEX department_name_key ON department (organization_id, name_key);

ALTER TABLE app_user
    ADD COLUMN email_key text COLLATE "C" NOT NULL GENERATED ALWAYS AS (lower(email)) STORED,
    ADD COLUMN name_key text COLLATE "C" NOT NULL GENERATED ALWAYS AS (lower(first_name || ' ' || last_name)) STORED;
DROP INDEX app_user_email_key;
DROP INDEX app_user_name;
CREATE UNIQUE INDEX app_user_email_key ON app_user (organization_id, email_key);
CREATE INDEX app_user_name ON app_user (organization_id, name_key, id);
