"""Where the sources name the organization in SQL, and each of these places broken: the mutants of the static check."""
import dataclasses
import pathlib
import re

import statements
from swift_literals import Program

BOUND = r"\\#*\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
ALIAS = rf"(?:(?:\w+|{BOUND})\.)?"
PREDICATE = re.compile(rf"(?<!\w){ALIAS}(?:last_)?organization_id\s*=\s*(?:{BOUND}(?:::uuid)?|{ALIAS}organization_id)")
WRITTEN = re.compile(rf"INSERT INTO (?:\w+)(?: AS \w+)?\s*\(\s*organization_id\b[^)]*\)(?:\s|\\\n)*"
                     rf"(?:VALUES\s*\(|SELECT)\s*({BOUND})", re.S)


@dataclasses.dataclass
class Mutant:
    path: str
    line: int
    what: str
    text: str


def of_source(path, text, program):
    """Mutants of one file; only in literals, so that Swift code is never touched."""
    found = set()
    for literal in (li for li in program.literals if li.source.path == path):
        raw = text[literal.start:literal.end]
        for match in PREDICATE.finditer(raw):
            before = raw[:match.start()]
            if re.search(r"\bSET\s[^;]*$", before) and "WHERE" not in before.rpartition("SET")[2]:
                continue  # an assignment, not a condition
            found.add((literal.start + match.start(), literal.start + match.end(), "true", "predicate dropped"))
        for match in WRITTEN.finditer(raw):
            found.add((literal.start + match.start(1), literal.start + match.end(1), r"\\(foreign)",
                       "another organization written"))
    for start, end, replacement, what in sorted(found):
        replacement = replacement.replace("\\\\", "\\")
        yield Mutant(path, text.count("\n", 0, start) + 1, what, text[:start] + replacement + text[end:])


def all_of(root=statements.ROOT):
    for part in statements.PARTS:
        paths = statements.sources_of(root, part)
        program = Program(paths)
        for path in paths:
            for mutant in of_source(path, pathlib.Path(path).read_text(), program):
                yield part, mutant
