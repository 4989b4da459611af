"""Which organization each table of a statement is tied to: a small reader of the SQL that this project writes.

A statement is taken apart into scopes (SELECT, INSERT, UPDATE, DELETE, each branch of a UNION, each subquery). In a
scope every table has to be tied to the organization: `x.organization_id = ‹ORG›`, where ‹ORG› is the value bound for
the organization of the request, or `x.organization_id = y.organization_id` with a `y` that is. A condition counts
only where it must hold: joined by AND in WHERE, or in the ON of the table's own join. An INSERT has to write ‹ORG› to
its first column, organization_id, and to name organization_id first where it says which conflict it means.
"""
import re

TOKENS = re.compile(r"\s+|--[^\n]*|'(?:[^']|'')*'|\"[^\"]*\"|‹\w+›|::|<>|<=|>=|\|\||[A-Za-z_]\w*|\d+|.", re.S)
KEYWORDS = {"select", "from", "where", "join", "left", "right", "inner", "cross", "on", "using", "group", "order",
            "limit", "having", "for", "union", "intersect", "except", "returning", "set",
            "values", "lateral", "and", "or", "as",
            "window", "offset", "full", "natural", "conflict", "with", "do", "not", "ordinality"}
STATEMENTS = {"select", "insert", "update", "delete"}


def tokens(text):
    return [t for t in TOKENS.findall(text) if not t.isspace() and not t.startswith("--")]


def tree(words):
    """Tokens with each parenthesis as a list of its own."""
    root, stack = [], []
    here = root
    for word in words:
        if word == "(":
            inner = []
            here.append(inner)
            stack.append(here)
            here = inner
        elif word == ")" and stack:
            here = stack.pop()
        else:
            here.append(word)
    return root


def low(node):
    return node.lower() if isinstance(node, str) else ""


def flat(nodes):
    out = []
    for node in nodes:
        if isinstance(node, list):
            out += ["(", *flat(node), ")"]
        else:
            out.append(node)
    return out


def split(nodes, words):
    """Parts of a list of nodes between words at its own level."""
    parts = [[]]
    for node in nodes:
        if low(node) in words:
            parts.append([])
        else:
            parts[-1].append(node)
    return parts


class Reader:
    """`tables` are those that must be tied; `free` are (table, alias) that need not be here. Gives complaints."""

    def __init__(self, tables, free=()):
        self.tables, self.free = tables, set(free)
        self.complaints = []

    def check(self, text, outer=()):
        nodes = tree(tokens(text))
        self._any(nodes, set(outer), set())
        return self.complaints

    def _any(self, nodes, tied, ctes):
        """A list of nodes that may be a statement, or an expression with statements inside."""
        if low(nodes[0] if nodes else "") == "with":
            nodes, ctes = self._with(nodes, tied, ctes)
        if low(nodes[0] if nodes else "") in STATEMENTS:
            for branch in split(nodes, {"union", "intersect", "except"}):
                if low(branch[0]) in ("all", "distinct"):
                    branch = branch[1:]
                self._scope(branch, tied, ctes)
        else:
            for node in nodes:
                if isinstance(node, list):
                    self._any(node, tied, ctes)

    def _with(self, nodes, tied, ctes):
        ctes = set(ctes)
        at = 1
        while at < len(nodes):
            if low(nodes[at]) in STATEMENTS:
                break
            if isinstance(nodes[at], str) and low(nodes[at]) not in ("recursive", "as", "materialized", ","):
                ctes.add(low(nodes[at]))
            elif isinstance(nodes[at], list) and low(nodes[at - 1]) in ("as", "materialized"):
                self._any(nodes[at], tied, ctes)
            at += 1
        return nodes[at:], ctes

    def _scope(self, nodes, tied, ctes):
        kind = low(nodes[0])
        if kind == "insert":
            return self._insert(nodes, tied, ctes)
        clauses = self._clauses(nodes, kind)
        references, edges = [], []
        for clause, part in clauses:
            if clause in ("from", "using", "update", "delete"):
                self._from(part, references, edges, ctes)
        for clause, part in clauses:
            if clause == "where":
                edges += [(None, e) for e in self._equalities(part)]
        known = self._tie(references, edges, tied, ctes)
        for clause, part in clauses:
            for node in part:
                if isinstance(node, list):
                    self._any(node, known, ctes)

    @staticmethod
    def _clauses(nodes, kind):
        clauses = [("update" if kind == "update" else kind, [])]
        previous = ""
        for node in nodes[1:]:
            word = low(node)
            if word == "from" and previous == "distinct":
                clauses[-1][1].append(node)
            elif word == "from" and kind == "delete" and clauses[-1][0] == "delete" and not clauses[-1][1]:
                pass
            elif word in ("from", "where", "group", "order", "limit", "having", "for", "returning", "set", "using",
                          "window", "offset") and not (word == "using" and clauses[-1][0] == "from"):
                clauses.append((word, []))
            else:
                clauses[-1][1].append(node)
            previous = word
        return clauses

    def _from(self, part, references, edges, ctes):
        """Tables and joins; an ON ties the table that is joined."""
        for item in split(part, {","}):
            joined = [[]]
            for node in item:
                if low(node) == "join":
                    joined.append([])
                elif low(node) not in ("left", "right", "inner", "outer", "cross", "full", "lateral"):
                    joined[-1].append(node)
            is_outer = any(low(n) in ("left", "right", "full") for n in item)
            for table in joined:
                on = [i for i, n in enumerate(table) if low(n) == "on"]
                condition = table[on[0] + 1:] if on else []
                alias = self._reference(table[:on[0]] if on else table, references, ctes)
                for equality in self._equalities(condition):
                    edges.append((alias if is_outer else None, equality))

    def _reference(self, nodes, references, ctes):
        if not nodes or not isinstance(nodes[0], str):
            names = [n for n in nodes if isinstance(n, str) and low(n) not in KEYWORDS]
            return names[0] if names else None
        name = nodes[0].lower()
        if len(nodes) > 1 and isinstance(nodes[1], list) and name not in self.tables:
            names = [n for n in nodes[2:] if isinstance(n, str) and low(n) not in KEYWORDS]
            return names[0] if names else name
        rest = [n for n in nodes[1:] if isinstance(n, str) and low(n) not in KEYWORDS and re.match(r"\w|‹name›", n)]
        alias = rest[0] if rest else nodes[0]
        if name == "‹name›" or (name in self.tables and name not in ctes):
            references.append((name, alias))
        elif name in ctes:
            references.append((None, alias))
        return alias

    @staticmethod
    def _equalities(nodes):
        """`a.organization_id = b` where it must hold: not below OR or NOT; below parentheses if those are only AND."""
        found = []
        if any(low(n) == "or" for n in nodes):
            return found
        for part in split(nodes, {"and"}):
            if len(part) == 1 and isinstance(part[0], list) and low(part[0][0] if part[0] else "") not in STATEMENTS:
                found += Reader._equalities(part[0])
                continue
            words = [p for p in part if isinstance(p, str)]
            if len(words) != len(part):
                continue
            text = "".join(words)
            match = re.fullmatch(
                r"(?:([\w‹›]+)\.)?organization_id=(?:([\w‹›]+)\.organization_id|(‹ORG›)(?:::uuid)?)", text)
            if match:
                found.append((match[1], match[2], match[3]))
        return found

    def _tie(self, references, edges, tied, ctes):
        known = set(tied) - {alias for _, alias in references}
        own = [alias for name, alias in references if name is not None]
        # What a WITH gives has been tied where it was made.
        known |= {alias for name, alias in references if name is None or (name, alias) in self.free}
        changed = True
        while changed:
            changed = False
            for only, (left, right, bound) in edges:
                if left is None and len(own) == 1:
                    left = own[0]
                pairs = [(left, bound or right in known)] + ([(right, left in known)] if right else [])
                for alias, holds in pairs:
                    if alias and holds and alias not in known and (only is None or only == alias):
                        known.add(alias)
                        changed = True
        for name, alias in references:
            if name is not None and alias not in known:
                self.complaints.append((name, alias))
        return known

    def _insert(self, nodes, tied, ctes):
        name = low(nodes[2])
        rest = nodes[3:]
        if rest and low(rest[0]) == "as":
            rest = rest[2:]
        columns = [low(n) for n in rest[0] if n != ","] if rest and isinstance(rest[0], list) else []
        returning = next((i for i, n in enumerate(rest) if low(n) == "conflict"), len(rest))
        source = rest[1:returning]
        if name in self.tables and (name, "") not in self.free:
            if "organization_id" not in columns:
                self.complaints.append((name, "insert without organization_id"))
            elif self._value(source, columns.index("organization_id")) not in ("‹ORG›", "‹ORG›::uuid"):
                self.complaints.append((name, "insert writes another"))
            target = rest[returning + 1] if returning + 1 < len(rest) else None
            if isinstance(target, list) and low(target[0] if target else "") != "organization_id":
                self.complaints.append((name, "conflict without organization_id"))
        if source and low(source[0]) == "select":
            cut = next((i for i, n in enumerate(source) if low(n) == "returning"), len(source))
            body = source[:cut]
            if body and low(body[-1]) == "on":
                body = body[:-1]
            self._any(body, tied, ctes)
        else:
            for node in source:
                if isinstance(node, list):
                    self._any(node, tied, ctes)

    @staticmethod
    def _value(source, index):
        if not source:
            return ""
        if low(source[0]) == "values":
            values = split(source[1], {","})
        else:
            values = []
            for part in split(source[1:], {","}):
                values.append(split(part, {"from", "where"})[0])
        return "".join(w for w in flat(values[index])) if index < len(values) else ""
