"""What needs no running service but the catalogue: TEN-1 to TEN-4 as the migrated schemas have them, the predicate in
every statement, and how the context is set (TEN-5)."""
import os
import pathlib
import re
import unittest

import catalogue
import statements

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Statements(unittest.TestCase):
    def test_every_table_of_every_statement_is_tied_to_its_organization(self):
        complaints, count, used = statements.check()
        self.assertEqual(complaints, [])
        self.assertGreater(count, 350)
        self.assertEqual(set(statements.WHOLE_INSTALLATION) - used, set(), "declared, but there is no such statement")

    def test_statements_stand_nowhere_but_where_they_are_checked(self):
        places = [ROOT / place for place in statements.PARTS.values()]
        # The client, its migrator, and what `taskflow` itself does with whole installations name no tenant table.
        tables = set().union(*(statements.tables_of(ROOT, part)[0] for part in statements.PARTS))
        pattern = re.compile(rf"\b(?:FROM|JOIN|INTO|UPDATE)\s+(?:\w+\.)?(?:{'|'.join(tables)})\b")
        # `taskflow backup` and `verify` look at whole schemas, as the administrator, and change nothing.
        whole = ROOT / "Services/Taskflow/Backup"
        for path in [*ROOT.glob("Services/**/*.swift"), *ROOT.glob("Shared/**/*.swift")]:
            if not path.is_relative_to(whole) and not any(path.is_relative_to(place) for place in places):
                for number, line in enumerate(path.read_text().splitlines(), 1):
                    if pattern.search(line) and not line.lstrip().startswith("//"):
                        self.fail(f"{path.relative_to(ROOT)}:{number} speaks to a tenant table: {line.strip()}")


class Context(unittest.TestCase):
    """TEN-5: the organization is set for one transaction, never for a session."""

    # One place sets it, before anything else in the transaction.
    SETTERS = {"Shared/Postgres/PostgresTransaction.swift"}

    def sources(self):
        for path in sorted([*ROOT.glob("Services/**/*.swift"), *ROOT.glob("Shared/**/*.swift"),
                            *ROOT.glob("Services/**/*.sql"), *ROOT.glob("Shared/**/*.sql")]):
            yield path.relative_to(ROOT), path.read_text()

    def test_TEN_5_no_session_context(self):
        setting = re.compile(r"set_config\(\s*'app\.[^,]*,[^)]*?,\s*(\w+)\s*\)", re.I | re.S)
        spoken = 0
        for path, text in self.sources():
            self.assertNotRegex(text, r"(?i)\bSET\s+(?:SESSION\s+)?\"?app\.", f"{path} sets a context for a session")
            self.assertNotRegex(text, r"(?i)\bSET\s+(?:SESSION\s+)?row_security\b", str(path))
            for match in setting.finditer(text):
                spoken += 1
                self.assertEqual(match[1], "true", f"{path}: {match[0]}")
            if re.search(r"set_config\(", text):
                self.assertIn(str(path), self.SETTERS, "only the client sets the organization")
                for match in re.finditer(r"set_config\([^\n]*", text):
                    self.assertRegex(match[0], r"set_config\('app\.organization_id', [^,]+, true\)", str(path))
        self.assertGreaterEqual(spoken, 1)


class Catalogue(unittest.TestCase):
    """Read from pg_catalog of the running installation; the same is read in Swift, and the mutants break this one."""

    @classmethod
    def setUpClass(cls):
        cls.complaints = catalogue.check(os.environ["TASKFLOW_TENANCY_DATABASE"])

    def none(self, requirement):
        self.assertEqual([text for which, text in self.complaints if which == requirement], [])

    def test_TEN_1_keys(self):
        self.none("TEN-1")

    def test_TEN_2_row_level_security(self):
        self.none("TEN-2")

    def test_TEN_3_roles(self):
        self.none("TEN-3")

    def test_TEN_4_no_way_around(self):
        self.none("TEN-4")

    def test_the_check_sees_what_is_broken(self):
        """One of each kind; `mutants.py` breaks everything there is."""
        url = os.environ["TASKFLOW_TENANCY_DATABASE"]
        for breaking, requirement in [
                ("ALTER TABLE task.task ALTER organization_id SET DEFAULT gen_random_uuid()", "TEN-1"),
                ("ALTER TABLE notification.notice NO FORCE ROW LEVEL SECURITY", "TEN-2"),
                ("GRANT TRUNCATE ON project.project TO project_app", "TEN-3"),
                ("CREATE VIEW organization.leak AS SELECT * FROM organization.app_user", "TEN-4")]:
            with self.subTest(breaking=breaking):
                found = catalogue.check(url, "SET LOCAL lock_timeout = '10s'; " + breaking)
                self.assertIn(requirement, {which for which, _ in found})
