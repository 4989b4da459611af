#!/usr/bin/env python3
"""Compares what `taskflow demo --backlogs DIR` loaded with the files, to the last code point.

    Tests/Acceptance/backlogs.py DIR --origin http://127.0.0.1:8080 --email ADDRESS --password PASSWORD
"""
import argparse
import collections
import csv
import os
import pathlib
import sys
import urllib.parse

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--origin", default="http://127.0.0.1:8080")
parser.add_argument("--email", required=True)
parser.add_argument("--password", required=True)
arguments = parser.parse_args()
os.environ["TASKFLOW_ORIGIN"] = arguments.origin
from support import log_in  # noqa: E402

csv.field_size_limit(1 << 30)
client = log_in(arguments.email, arguments.password)
projects = {p["name"]: p["id"] for p in client.pages("/api/project_management/projects/", 200)}
wrong = total = 0
for path in sorted(pathlib.Path(arguments.folder).glob("*.csv")):
    with path.open(newline="", encoding="utf-8-sig") as file:
        wanted = [(row["title"], row["description"]) for row in csv.DictReader(file)]
    rows = client.pages(f"/api/project/{projects[path.stem]}/tasks/?ordering=title", 100)
    got = collections.Counter((row["title"], row["description"]) for row in rows)
    difference = collections.Counter(wanted) - got, got - collections.Counter(wanted)
    if len({row["id"] for row in rows}) != len(rows):
        print(f"{path.name}: a row came twice")
        wrong += 1
    for missing in difference[0]:
        print(f"{path.name}: not there: {missing[0]!r}")
        wrong += 1
    for extra in difference[1]:
        print(f"{path.name}: not in the file: {extra[0]!r}")
        wrong += 1
    for title, _ in wanted[::50]:
        terms = title.split()[:4]
        query = urllib.parse.urlencode({"search": " ".join(terms), "page_size": 200})
        found = client.pages(f"/api/project/{projects[path.stem]}/tasks/?{query}")
        if title not in [row["title"] for row in found]:
            print(f"{path.name}: not found by search: {title!r}")
            wrong += 1
    total += len(wanted)
print(f"{total} issues compared, {wrong} wrong")
sys.exit(1 if wrong else 0)
