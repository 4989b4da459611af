-- Which organizations there are: the clock that empties the trash has to know where to look. A global table, nothing in
-- it but the id.
CREATE TABLE live_organization (
    id uuid PRIMARY KEY
);

-- Row level security holds for the owner too, who has to see all of them this once.
ALTER TABLE organization NO FORCE ROW LEVEL SECURITY;
INSERT INTO live_organization (id) SELECT organization_id FROM organization;
ALTER TABLE organization FORCE ROW LEVEL SECURITY;
