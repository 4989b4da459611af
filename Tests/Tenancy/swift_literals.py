"""Swift sources as far as this suite has to understand them: string literals with their interpolations, functions and
properties that give SQL, and what an expression that is interpolated may stand for.

Not a Swift parser. It knows the few forms in which this project composes statements, and whatever it doesn't know
becomes an opaque value: a predicate hidden in one is then missed, which turns the check red and never green.

Longer than other files: scanning, finding definitions and expanding them share one picture of a source.
"""
import itertools
import pathlib
import re

# How many texts one literal may stand for.
MOST_ALTERNATIVES = 256
# The ids of rows that are organizations.
ORGANIZATION_ROWS = {"organization.id", "record.id"}
TOKEN = re.compile(r"⟦(\d+)⟧")


class Literal:
    """`parts` are texts (str) and interpolations (Expression); `start` and `end` are its place in the file."""

    def __init__(self, number, source, start):
        self.number, self.source, self.start = number, source, start
        self.end = start
        self.parts = []


class Expression:
    """The source of an interpolation with every literal in it replaced by ⟦its number⟧."""

    def __init__(self, text):
        self.text = text


class Definition:
    """A function, property or constant that gives SQL."""

    def __init__(self, name, owner, parameters, results, scope, source):
        self.name, self.owner, self.parameters = name, owner, parameters
        self.results, self.scope, self.source = results, scope, source


class Source:
    """One file: `skeleton` is its text without comments, literals replaced by ⟦number⟧."""

    def __init__(self, path, text, literals):
        self.path, self.text, self.literals = path, text, literals
        self.skeleton = ""
        self.places = {}
        self.scopes = []
        self._scan()
        self._find_scopes()

    def _scan(self):
        out, position, length = [], 0, 0
        while position < len(self.text):
            piece, position = self._next(position)
            out.append(piece)
            match = TOKEN.fullmatch(piece)
            if match:
                self.places[int(match[1])] = length
            length += len(piece)
        self.skeleton = "".join(out)

    def _next(self, position):
        text = self.text
        if text.startswith("//", position):
            end = text.find("\n", position)
            return "", end if end >= 0 else len(text)
        if text.startswith("/*", position):
            return "", text.index("*/", position) + 2
        match = re.compile(r'(#*)("""|")').match(text, position)
        if match:
            literal = self._literal(position, match[1], match[2])
            return f"⟦{literal.number}⟧", literal.end
        return text[position], position + 1

    def _literal(self, position, hashes, quote):
        literal = Literal(len(self.literals), self, position)
        self.literals.append(literal)
        text = self.text
        at = position + len(hashes) + len(quote)
        closing, escape = quote + hashes, "\\" + hashes
        piece = []
        while not text.startswith(closing, at):
            if text.startswith(escape + "(", at):
                literal.parts.append("".join(piece))
                piece = []
                expression, at = self._interpolation(at + len(escape) + 1)
                literal.parts.append(Expression(expression))
            elif text.startswith(escape, at):
                after = text[at + len(escape)]
                piece.append({"n": "\n", "t": "\t", "\n": " "}.get(after, after))
                at += len(escape) + 1
            else:
                piece.append(text[at])
                at += 1
        literal.parts.append("".join(piece))
        literal.end = at + len(closing)
        return literal

    def _interpolation(self, at):
        out, depth = [], 1
        while True:
            piece, at = self._next(at)
            depth += {"(": 1, ")": -1}.get(piece, 0)
            if depth == 0:
                return "".join(out), at
            out.append(piece)

    def _find_scopes(self):
        """Every brace pair, innermost last, with what stands before it."""
        stack = []
        for match in re.finditer(r"[{}]", self.skeleton):
            if match[0] == "{":
                stack.append(match.start())
            elif stack:
                self.scopes.append((stack.pop(), match.start()))
        self.scopes.sort()

    def place(self, literal):
        """Where a literal is in the skeleton; one inside another's interpolation is where the outer one is."""
        if isinstance(literal, Place):
            return literal.at
        if literal.number in self.places:
            return self.places[literal.number]
        outer = max((n for n in self.places if n < literal.number and self.literals[n].start <= literal.start),
                    key=lambda n: self.literals[n].start)
        return self.places[outer]


HEAD = re.compile(r"(?:func|init)\s*([A-Za-z]\w*)?\s*(?:<[^>]*>)?\(")


def matching(text, start, pair="()"):
    depth = 0
    for at in range(start, len(text)):
        depth += (text[at] == pair[0]) - (text[at] == pair[1])
        if depth == 0:
            return at
    return len(text) - 1


def split_top(text, separator):
    """Parts of a text between separators outside of brackets."""
    parts, depth, last, at = [], 0, 0, 0
    while at < len(text):
        if text[at] in "([{":
            depth += 1
        elif text[at] in ")]}":
            depth -= 1
        elif depth == 0 and text.startswith(separator, at):
            parts.append(text[last:at])
            at += len(separator)
            last = at
            continue
        at += 1
    return [*parts, text[last:]]


class Program:
    """All sources that a service's statements are made from."""

    def __init__(self, paths, texts=None):
        self.literals = []
        self.sources = []
        self.definitions = {}
        self.functions = []
        for path in paths:
            text = (texts or {}).get(path) or pathlib.Path(path).read_text()
            self.sources.append(Source(path, text, self.literals))
        for source in self.sources:
            self._find_definitions(source)
        for source in self.sources:
            self._find_assignments(source)
        self.inlined = set()

    def _find_assignments(self, source):
        """Local names that are given what a known function or property gives: `var visible = visibility.tasks()`."""
        known = {name for name, found in self.definitions.items() if any(d.function is None for d in found)}
        for match in re.finditer(r"(?<![\w.])(\w+)\s*=\s*(?![=⟦])", source.skeleton):
            value = self._statement(source.skeleton, match.end())
            call = re.fullmatch(r"(?:\w+(?:\([^()]*\))?\.)*(\w+)\([^()]*\)", value)
            if call and call[1] in known:
                self._define(match[1], "", [], [value], None, source, match.start())

    def _find_definitions(self, source):
        text = source.skeleton
        owners = [(m.start(), m[1]) for m in re.finditer(r"(?:struct|enum|class|extension|actor)\s+([\w.]+)", text)]

        def owner(at):
            return next((name.split(".")[-1] for start, name in reversed(owners) if start < at), "")
        for match in HEAD.finditer(text):
            close = matching(text, match.end() - 1)
            brace = text.find("{", close)
            between = text[close + 1:brace]
            if brace < 0 or re.search(r"\n\s*(?:func|let|var|case|})", between):
                continue
            end = next((e for s, e in source.scopes if s == brace), len(text))
            parameters = self._parameters(text[match.end():close])
            self.functions.append((source, match.start(), end, match[1] or "init", parameters))
            if re.search(r"->\s*SQL\??\s*$", between):
                self._define(match[1], owner(match.start()), parameters, self._results(text[brace + 1:end]),
                             (brace, end), source)
        for match in re.finditer(r"\bvar\s+(\w+)\s*:\s*SQL\??\s*{", text):
            end = next(e for s, e in source.scopes if s == match.end() - 1)
            self._define(match[1], owner(match.start()), [], self._results(text[match.end():end]),
                         (match.end() - 1, end), source)
        for match in re.finditer(r"\b(?:let|var)\s+(\w+)\s*(?::\s*SQL\??\s*)?=\s*(?!=)", text):
            value = self._statement(text, match.end())
            if re.match(r"switch\b|if\b", value):
                brace = text.find("{", match.end())
                end = next(e for s, e in source.scopes if s == brace)
                results = TOKEN.findall(text[brace:end])
                self._define(match[1], owner(match.start()), [], [f"⟦{n}⟧" for n in results], None, source,
                             match.start())
            elif TOKEN.search(value) or "SQL" in match[0] or value.startswith("SQL(") or "sql(" in value:
                self._define(match[1], owner(match.start()), [], [value], None, source, match.start())
        for match in re.finditer(r"(?<![\w.])(\w+)\s*=\s*(⟦\d+⟧)", text):
            if not re.search(r"(?:let|var)\s+$|:\s*\w+\s*$", text[:match.start()][-40:]):
                self._define(match[1], owner(match.start()), [], [match[2]], None, source, match.start())

    def _define(self, name, owner, parameters, results, scope, source, at=None):
        definition = Definition(name, owner, parameters, results, scope, source)
        definition.at = at if at is not None else scope[0]
        definition.function = self._function(source, definition.at) if scope is None else None
        self.definitions.setdefault(name, []).append(definition)

    @staticmethod
    def _parameters(text):
        found = []
        for part in split_top(text, ","):
            match = re.match(r"\s*(\w+)(?:\s+(\w+))?\s*:\s*([^=]+?)\s*(?:=\s*(.+))?$", part, re.S)
            if match:
                found.append((match[1], match[2] or match[1], match[3], match[4]))
        return found

    @staticmethod
    def _statement(text, at):
        """An expression up to the end of its line, and further while the next line goes on with it."""
        end, depth = at, 0
        while end < len(text):
            depth += (text[end] in "([{") - (text[end] in ")]}")
            if depth < 0:
                break
            if text[end] == "\n" and depth == 0:
                following = text[end:].lstrip()
                if text[at:end].strip() and not re.match(r"\?|:|\+|\.\w", following):
                    break
            end += 1
        return text[at:end].strip().rstrip(",")

    def _results(self, body):
        returns = [self._statement(body, m.end()) for m in re.finditer(r"\breturn\s", body)]
        if returns:
            return returns
        if re.match(r"\s*switch\b", body):
            return [self._statement(body, m.end())
                    for m in re.finditer(r"(?:case\b[^\n]*?|default\s*):(?=\s)", body)]
        return [body.strip()]

    def _function(self, source, at):
        inside = [f for f in self.functions if f[0] is source and f[1] <= at < f[2]]
        return max(inside, key=lambda f: f[1], default=None)

    def function_of(self, literal):
        return self._function(literal.source, literal.source.place(literal))

    def name_of(self, literal):
        """The function or property that a literal stands in."""
        place = literal.source.place(literal)
        found = [(d.scope[0], d.name) for ds in self.definitions.values() for d in ds
                 if d.source is literal.source and d.scope and d.scope[0] <= place < d.scope[1]]
        function = self._function(literal.source, place)
        if function:
            found.append((function[1], function[3]))
        return max(found)[1] if found else "-"

    # MARK: Expansion

    def expand(self, literal, environment=None, trail=()):
        """Every text that a literal may stand for; bound values are ‹ORG› or ‹value›."""
        if literal.number in trail:
            return ["‹again›"]
        choices = []
        for part in literal.parts:
            if isinstance(part, str):
                choices.append([part])
            else:
                choices.append(self.evaluate(part.text, literal, environment or {}, (*trail, literal.number)))
        # Each form of each part once, with the first form of the others: enough to see every fragment in its place.
        texts = ["".join(c[0] for c in choices)]
        for index, forms in enumerate(choices):
            texts += ["".join(form if i == index else c[0] for i, c in enumerate(choices)) for form in forms[1:]]
        assert len(texts) <= MOST_ALTERNATIVES, f"{literal.source.path}: too many forms of {texts[0][:80]}"
        return list(dict.fromkeys(t for t in texts if "‹again›" not in t)) or ["‹again›"]

    def evaluate(self, text, literal, environment, trail):
        text = re.sub(r"^(?:\s*(?:try|await|return)\b[?!]?)+", "", text).strip()
        unsafe = re.fullmatch(r"unsafe:\s*(.+)", text, re.S) or re.fullmatch(r"SQL\((?:unsafe:)?\s*(.+)\)", text, re.S)
        if unsafe:
            found = self.evaluate(unsafe[1], literal, environment, trail)
            return ["‹name›" if f.startswith("‹") else f for f in found]
        token = TOKEN.fullmatch(text)
        if token:
            inner = self.literals[int(token[1])]
            self.inlined.add(inner.number)
            return self.expand(inner, environment, trail)
        parts = split_top(text, " ? ")
        if len(parts) == 2:
            branches = split_top(parts[1], " : ")
            if len(branches) < 2:
                branches = split_top(parts[1], ":")
            return [t for branch in branches for t in self.evaluate(branch, literal, environment, trail)]
        for operator, joins in ((" ?? ", False), (" + ", True)):
            parts = split_top(text, operator)
            if len(parts) > 1 and TOKEN.search(text):
                found = [self.evaluate(p, literal, environment, trail) for p in parts]
                return ["".join(c) for c in itertools.product(*found)] if joins else sum(found, [])
        mapped = re.fullmatch(r"\w+\.map\s*{\s*(⟦\d+⟧)\s*}", text)
        if mapped:
            return self.evaluate(mapped[1], literal, environment, trail)
        return self._call(text, literal, environment, trail)

    def _call(self, text, literal, environment, trail):
        *path, last = split_top(text, ".")
        call = re.fullmatch(r"\s*(\w+)(\(.*\))?", last, re.S)
        if not call:
            return ["‹value›"]
        prefix, name, arguments = ".".join(path) or None, call[1], call[2]
        if prefix is None and arguments is None and name in environment:
            return environment[name]
        if arguments is None and self._is_organization(text, literal):
            return ["‹ORG›"]
        definitions = self._resolve(prefix, name, arguments, literal)
        if not definitions:
            return ["‹value›"]
        texts = []
        for definition in definitions:
            is_local = definition.scope is None and definition.function is not None
            inner = environment if is_local else self._bind(definition, arguments, literal, environment, trail)
            for result in definition.results:
                anchor = next((self.literals[int(n)] for n in TOKEN.findall(result)), None)
                # A result without a literal is a name in the definition's own function.
                at = definition.scope[0] + 1 if definition.scope else definition.at
                stand_in = anchor or Place(definition.source, at)
                texts += self.evaluate(result, stand_in, inner, trail)
        return list(dict.fromkeys(t for t in texts if "‹again›" not in t)) or ["‹value›"]

    def _resolve(self, prefix, name, arguments, literal):
        candidates = self.definitions.get(name, [])
        place = literal.source.place(literal)
        function = self._function(literal.source, place)
        if prefix is None and arguments is None:
            local = [d for d in candidates if d.scope is None and d.function and d.source is literal.source
                     and d.function == function]
            same_body = [d for d in candidates if d.scope is None and d.source is literal.source
                         and self._same_body(literal.source, d.at, place)]
            if local or same_body:
                return local or same_body
            if function and any(name in (p[0], p[1]) for p in function[4]):
                return []
        members = [d for d in candidates if d.function is None]
        if arguments is None:
            members = [d for d in members if not d.parameters] or (
                [d for d in members if all(p[3] for p in d.parameters)])
        else:
            count = len([a for a in split_top(arguments[1:-1], ",") if a.strip()])
            members = [d for d in members
                       if len([p for p in d.parameters if p[3] is None]) <= count <= len(d.parameters)]
            labels = [m[1] if (m := re.match(r"\s*(\w+)\s*:", a)) else "_"
                      for a in split_top(arguments[1:-1], ",") if a.strip()]
            exact = [d for d in members if [p[0] for p in d.parameters][:len(labels)] == labels]
            members = exact or members
        kind = re.search(r"([A-Z]\w+)(?:\([^()]*\))?$", prefix) if prefix else None
        if kind:
            owned = [d for d in members if d.owner == kind[1]]
            return owned or members
        if prefix is None:
            near = [d for d in members if d.source is literal.source]
            return near or members
        return members

    def lists(self):
        """The statements that `ListRequest.run` puts together of its parts, each with the place of its call."""
        for source in self.sources:
            for match in re.finditer(r"\brequest\.run\(", source.skeleton):
                close = matching(source.skeleton, match.end() - 1)
                parts = split_top(source.skeleton[match.end():close], ",")
                given = {m[1]: m[2] for p in parts if (m := re.match(r"\s*(\w+)\s*:\s*(.+)$", p, re.S))}
                place = Place(source, match.start())
                function = self._function(source, match.start())
                environment = self._callers_forms(source, function)
                forms = [self.evaluate(given[k], place, environment, ()) for k in ("select", "from", "visible")]
                for index, some in enumerate(forms):
                    for form in some if index == 0 else some[1:]:
                        select, tables, visible = [form if i == index else f[0] for i, f in enumerate(forms)]
                        yield place, f"SELECT {select} FROM {tables} WHERE ({visible})"

    def _callers_forms(self, source, function):
        """What the SQL parameters of a function are given by its callers in the same file."""
        forms = {}
        for label, name, kind, _ in function[4]:
            if kind != "SQL":
                continue
            for match in re.finditer(rf"(?<!func )\b{function[3]}\(", source.skeleton):
                arguments = source.skeleton[match.end():matching(source.skeleton, match.end() - 1)]
                for argument in split_top(arguments, ","):
                    found = re.match(rf"\s*{label}\s*:\s*(.+)$", argument, re.S)
                    if found:
                        forms.setdefault(name, []).extend(
                            self.evaluate(found[1], Place(source, match.start()), {}, ()))
        return forms

    @staticmethod
    def _same_body(source, one, other):
        """Whether a definition's innermost braces hold the other place too, and are no type's."""
        around = [s for s in source.scopes if s[0] <= one < s[1]]
        if not around:
            return False
        start, end = max(around)
        head = source.skeleton[:start].rstrip().splitlines()[-1] if start else ""
        return start <= other < end and not re.search(r"\b(struct|enum|class|extension|actor)\b", head)

    def _bind(self, definition, arguments, literal, environment, trail):
        inner = {}
        given = [a.strip() for a in split_top(arguments[1:-1], ",") if a.strip()] if arguments else []
        labelled = {}
        positional = []
        for argument in given:
            match = re.match(r"(\w+)\s*:\s*(.+)$", argument, re.S)
            if match:
                labelled[match[1]] = match[2]
            else:
                positional.append(argument)
        for label, name, kind, default in definition.parameters:
            value = labelled.get(label) if label != "_" else None
            if value is None and label == "_" and positional:
                value = positional.pop(0)
            if kind == "OrganizationID":
                inner[name] = ["‹ORG›"]
            elif value is not None and kind in ("SQL", "String", "SQL?"):
                inner[name] = self.evaluate(value, literal, environment, trail)
            elif default is not None and TOKEN.search(default):
                inner[name] = self.evaluate(default, literal, {}, trail)
        return inner

    def _is_organization(self, text, literal):
        last = text.split(".")[-1]
        if last in ("organization", "tenant"):
            return True
        function = self._function(literal.source, literal.source.place(literal))
        if function and any(p[1] == text and p[2] == "OrganizationID" for p in function[4]):
            return True
        return text in ORGANIZATION_ROWS



class Place:
    """A place in a source, where a name is looked up that stands in no literal."""

    def __init__(self, source, at):
        self.source, self.at, self.number = source, at, -1
