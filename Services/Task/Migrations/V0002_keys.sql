-- What lists compare, kept beside what it is made of. Under row security an index serves a comparison only if nothing in
-- it could tell of rows that are not the caller's: lower(), COALESCE and the operators of enumerations are not trusted
-- with that; plain columns, CASE and the operators of numbers, times and texts are.

ALTER TABLE member ADD COLUMN email_key text COLLATE "C" NOT NULL GENERATED ALWAYS AS (lower(email)) STORED;
DROP INDEX member_email;
CREATE INDEX member_email ON member (organization_id, email_key);

ALTER TABLE task
    ADD COLUMN title_key text COLLATE "C" NOT NULL GENERATED ALWAYS AS (lower(title)) STORED,
    -- What is searched; a term has no white space, so none is found across the line.
    ADD COLUMN search_text text NOT NULL GENERATED ALWAYS AS (lower(title || E'\n' || description)) STORED,
    -- The places of the values in their enumerations.
    ADD COLUMN status_order smallint NOT NULL GENERATED ALWAYS AS (
        CASE status WHEN 'PENDING' THEN 1 WHEN 'IN_PROGRESS' THEN 2 WHEN 'COMPLETED' THEN 3 WHEN 'OVERDUE' THEN 4
            WHEN 'ON_HOLD' THEN 5 WHEN 'CANCELLED' THEN 6 END) STORED,
    ADD COLUMN priority_order smallint NOT NULL GENERATED ALWAYS AS (
        CASE priority WHEN 'LOW' THEN 1 WHEN 'MEDIUM' THEN 2 WHEN 'HIGH' THEN 3 END) STORED;

DROP INDEX task_by_start, task_by_start_down, task_by_due, task_by_due_down, task_by_priority, task_by_status,
    task_by_title, task_of_project;
CREATE INDEX task_by_start ON task
    (organization_id, (CASE WHEN start_moment IS NULL THEN 'infinity'::timestamptz ELSE start_moment END), id)
    WHERE deleted_at IS NULL;
CREATE INDEX task_by_start_down ON task
    (organization_id, (CASE WHEN start_moment IS NULL THEN '-infinity'::timestamptz ELSE start_moment END), id)
    WHERE deleted_at IS NULL;
CREATE INDEX task_by_due ON task
    (organization_id, (CASE WHEN due_moment IS NULL THEN 'infinity'::timestamptz ELSE due_moment END), id)
    WHERE deleted_at IS NULL;
CREATE INDEX task_by_due_down ON task
    (organization_id, (CASE WHEN due_moment IS NULL THEN '-infinity'::timestamptz ELSE due_moment END), id)
    WHERE deleted_at IS NULL;
CREATE INDEX task_by_priority ON task (organization_id, priority_order, id) WHERE deleted_at IS NULL;
CREATE INDEX task_by_status ON task (organization_id, status_order, id) WHERE deleted_at IS NULL;
CREATE INDEX task_by_title ON task (organization_id, title_key, id) WHERE deleted_at IS NULL;
CREATE INDEX task_of_project ON task
    (organization_id, project_id, (CASE WHEN start_moment IS NULL THEN 'infinity'::timestamptz ELSE start_moment END), id)
    WHERE deleted_at IS NULL;
