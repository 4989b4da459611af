-- Names and addresses as they are compared, kept beside them: under row security only an index on a column serves a
-- comparison, since lower() might tell of rows that are not the caller's.

ALTER TABLE project ADD COLUMN name_key text COLLATE "C" NOT NULL GENERATED ALWAYS AS (lower(name)) STORED;
DROP INDEX project_name_key;
CREATE UNIQUE INDEX project_name_key ON project (organization_id, name_key) WHERE deleted_at IS NULL;

ALTER TABLE member ADD COLUMN email_key text COLLATE "C" NOT NULL GENERATED ALWAYS AS (lower(email)) STORED;
DROP INDEX member_email;
CREATE INDEX member_email ON member (organization_id, email_key);
