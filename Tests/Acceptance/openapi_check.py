"""Compares every answer that the tests see with the OpenAPI document that the installation serves.

A status, content type or member that the document does not know fails the test that caused it. Needs the package
`jsonschema`; without it nothing is compared.
"""
import copy
import json
import re
import urllib.request

try:
    import jsonschema
except ImportError:
    jsonschema = None


class Document:
    def __init__(self, origin):
        with urllib.request.urlopen(origin + "/api/openapi.json", timeout=20) as answer:
            self.root = json.load(answer)
        self.components = {"components": _closed(self.root.get("components", {}))}
        self.partial = {"components": _without_required(self.components["components"])}
        self.validators = {}
        self.templates = []
        for path, item in self.root["paths"].items():
            parts = path.rstrip("/").split("/")
            # A part that is written out wins over a parameter.
            rank = tuple(part.startswith("{") for part in parts)
            pattern = "/".join("[^/]+" if part.startswith("{") else re.escape(part) for part in parts)
            if parts[-1] == "{path}":
                pattern = pattern[:-len("[^/]+")] + ".+"
            self.templates.append((rank, re.compile(pattern), path, item))
        self.templates.sort(key=lambda entry: entry[0])

    def resolve(self, node):
        while isinstance(node, dict) and "$ref" in node:
            target = self.root
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target[part.replace("~1", "/").replace("~0", "~")]
            node = target
        return node

    def differences(self, method, target, status, headers, body):
        """What of an answer the document does not say; None if nothing."""
        path, _, query = target.partition("?")
        matching = [(name, item) for _, pattern, name, item in self.templates if pattern.fullmatch(path.rstrip("/"))]
        if not matching:
            return None if status in (400, 404, 414) else f"{path} is in no path, but answers {status}"
        name, item = matching[0]
        verb = "get" if method == "HEAD" else method.lower()
        if verb not in item:
            return None if status in (
                400, 405) or method == "OPTIONS" else f"{name} has no {method}, but answers {status}"
        where = f"{method} {name} {status}"
        responses = item[verb]["responses"]
        response = self.resolve(responses.get(str(status)))
        if response is None:
            return f"{where}: not one of {sorted(responses)}"
        kind = (headers.get("Content-Type") or "").split(";")[0]
        content = response.get("content", {})
        if method == "HEAD" or status in (204, 304):
            return None if not body else f"{where}: has a body"
        if not content:
            # What brings no body may still be a bare word for a person.
            return None if not body or kind == "text/plain" else f"{where}: has a body of {kind}, nothing is said of one"
        if kind not in content:
            wild = [entry for entry in content if entry.endswith("/*") and kind.startswith(entry[:-1])]
            if not wild:
                return f"{where}: {kind!r} is not one of {sorted(content)}"
            return None
        schema = content[kind].get("schema")
        if schema is None or "json" not in kind:
            return None
        is_partial = "fields=" in query
        key = (name, verb, status, kind, is_partial)
        if key not in self.validators:
            shared = self.partial if is_partial else self.components
            own = _closed(schema)
            if is_partial:
                own = _without_required(own)
            self.validators[key] = jsonschema.Draft202012Validator(
                {**own, **shared}, format_checker=jsonschema.FormatChecker())
        errors = sorted(self.validators[key].iter_errors(json.loads(body)), key=lambda e: list(e.absolute_path))
        if errors:
            said = "; ".join(f"/{'/'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in errors[:3])
            return f"{where}: {said}"
        return None


def _closed(node):
    """The same schemas, but objects may only have the members that are named."""
    node = copy.deepcopy(node)

    def walk(part, is_joined=False):
        if isinstance(part, dict):
            if "properties" in part and isinstance(part["properties"], dict) and not is_joined:
                if "additionalProperties" not in part and part.get("type", "object") != "string":
                    part["unevaluatedProperties"] = False
            for key, value in part.items():
                walk(value, is_joined=key in ("allOf", "anyOf", "oneOf"))
        elif isinstance(part, list):
            for value in part:
                walk(value, is_joined)

    walk(node)
    # What is joined to something else by reference must stay open.
    joined = set()

    def references(part):
        if isinstance(part, dict):
            for entry in part.get("allOf", []) if isinstance(part.get("allOf"), list) else []:
                if isinstance(entry, dict) and "$ref" in entry:
                    joined.add(entry["$ref"].rsplit("/", 1)[1])
            for value in part.values():
                references(value)
        elif isinstance(part, list):
            for value in part:
                references(value)

    references(node)
    for name in joined:
        schema = node.get("schemas", {}).get(name)
        if schema:
            schema.pop("unevaluatedProperties", None)
    return node


def _without_required(node):
    """The same schemas for answers to `?fields=`, which leave members out."""
    if isinstance(node, dict):
        return {k: _without_required(v) for k, v in node.items() if k != "required" or not isinstance(v, list)}
    if isinstance(node, list):
        return [_without_required(v) for v in node]
    return node


_documents = {}


def check(origin, method, target, status, headers, body):
    """Fails the test if an answer is not what the document says."""
    if jsonschema is None:
        return
    if origin not in _documents:
        _documents[origin] = Document(origin)
    difference = _documents[origin].differences(method, target, status, headers, body)
    if difference:
        raise AssertionError(f"not as the OpenAPI document says: {difference}")
