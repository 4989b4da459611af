"""The route table as gateway.conf states it, read and matched by code that has nothing in common with the gateway's."""

import pathlib
import re

CONFIGURATION = pathlib.Path(__file__).resolve().parent.parent.parent / "gateway.conf"


class Route:
    def __init__(self, pattern, body):
        self.pattern = pattern
        self.upstream, self.auth = re.search(r"\bto (\S+)\s+auth (\S+)", body).groups()
        self.methods = re.search(r"methods ([A-Z ]+?)\s+to", body).group(1).split()
        self.segments = pattern.strip("/").split("/")

    def rank(self, segments):
        """How well it fits, the better the more: literal before name before `**`, from the left; None: not at all."""
        rank = []
        for index, own in enumerate(self.segments):
            if own == "**":
                return rank + [0] if len(segments) > index else None
            if index >= len(segments):
                return None
            if own.startswith("{"):
                rank.append(1)
            elif own == segments[index]:
                rank.append(2)
            else:
                return None
        return rank if len(segments) == len(self.segments) else None


def read():
    text = CONFIGURATION.read_text()
    return [Route(pattern, body) for pattern, body in re.findall(r"^route (\S+) \{\n(.*?)^\}", text, re.M | re.S)]


def match(routes, path, method):
    """The route of a path; None if there is none."""
    segments = [s for s in path.split("/") if s]
    fitting = [(rank, route) for route in routes if (rank := route.rank(segments)) is not None]
    if not fitting:
        return None
    best = max(rank for rank, _ in fitting)
    return next((route for rank, route in fitting if rank == best and method in route.methods), None)
