#!/usr/bin/env python3
"""Flame graphs of a process under load, drawn into docs/benchmarks: where the time of a request goes.

    Tests/Benchmarks/flame.py --binary .build/release/taskflow            # all of PICTURES
    Tests/Benchmarks/flame.py --binary .build/release/taskflow one-gateway list-task

Needs what the bench needs, and `perf` with the right to use it. Each picture is eight seconds of one process while wrk
keeps 32 connections busy. Width is time on the processor, above a function is what it called; kernel frames are red,
Swift's blue, the rest yellow. Frames below a third of a percent are left out.
"""
import argparse
import collections
import html
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import bench
import data
import measures
import servers

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What is asked, and whose time it is; `serve` is everything in one process.
PICTURES = ["one-gateway", "one-task", "one-serve", "list-task", "post-task", "post-notification", "keys-gateway"]
WIDTH, ROW, SMALLEST = 1200, 16, 0.0033


def requests(kind, work, tokens, total):
    return {"one": lambda: work.task_requests(tokens, total),
            "list": lambda: work.list_requests(tokens),
            "post": lambda: work.creations(tokens, "2031-05-05"),
            "keys": lambda: work.driver.requests([("GET", "/.well-known/jwks.json", "", "")])}[kind]()


def stacks(recorded):
    """How often each stack was met, outermost first; a frame is (kind, name)."""
    text = subprocess.run(["perf", "script", "-i", str(recorded), "-F", "ip,sym,dso"], capture_output=True, text=True,
                          check=True).stdout
    demangle = shutil.which("swift-demangle") or shutil.which("swift")
    if demangle:
        words = [demangle] + (["demangle"] if demangle.endswith("swift") else [])
        text = subprocess.run([*words, "--simplified"], input=text, capture_output=True, text=True, check=True).stdout
    found = collections.Counter()
    for block in text.split("\n\n"):
        frames = []
        for line in block.splitlines():
            match = re.match(r"\s*[0-9a-f]+ (.*) \((\S+)\)$", line)
            if not match:
                continue
            name, place = match[1].strip(), match[2]
            is_swift = " in " in name or "." in name.split("(")[0] or name.startswith(("swift_", "specialized"))
            frames.append(("kernel" if "kernel" in place else "swift" if is_swift else "native", name))
        if frames:
            found[tuple(reversed(frames))] += 1
    return found


class Node:
    def __init__(self):
        self.count, self.inner = 0, {}

    def add(self, stack, count):
        self.count += count
        for frame in stack:
            self = self.inner.setdefault(frame, Node())
            self.count += count


def picture(title, found):
    root = Node()
    for stack, count in found.items():
        root.add(stack, count)
    if not root.count:
        sys.exit(f"{title}: nothing was recorded")
    boxes = []

    def place(node, x, depth):
        for (kind, name), inner in sorted(node.inner.items()):
            width = inner.count / root.count * WIDTH
            if inner.count >= SMALLEST * root.count:
                boxes.append((x, depth, width, kind, name, inner.count))
                place(inner, x, depth + 1)
            x += width
    place(root, 0.0, 0)
    height = (max(box[1] for box in boxes) + 3) * ROW
    colours = {"kernel": "#f4a48c", "swift": "#9ec5e8", "native": "#f2dc8c"}
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" '
             f'font-size="10"><rect width="{WIDTH}" height="{height}" fill="white"/>'
             f'<text x="6" y="13">{html.escape(title)}</text>']
    for x, depth, width, kind, name, count in boxes:
        y = height - (depth + 1) * ROW
        shown = name[:int(width / 6.1)] if width > 20 else ""
        parts.append(f'<g><title>{html.escape(name)}: {100 * count / root.count:.1f} %</title>'
                     f'<rect x="{x:.1f}" y="{y}" width="{max(width - 0.4, 0.1):.1f}" height="{ROW - 1}" '
                     f'fill="{colours[kind]}"/>'
                     + (f'<text x="{x + 2:.1f}" y="{y + 11}">{html.escape(shown)}</text>' if shown else "") + "</g>")
    return "\n".join(parts) + "</svg>\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", required=True)
    parser.add_argument("--size", choices=data.SIZES, default="100k")
    parser.add_argument("names", nargs="*", metavar="PICTURE", help=", ".join(PICTURES))
    options = parser.parse_args()
    unknown = set(options.names) - set(PICTURES)
    if unknown:
        parser.error(f"there is no picture called {', '.join(unknown)}; there are {', '.join(PICTURES)}")
    if not shutil.which("perf"):
        sys.exit("perf is missing: apt-get install linux-perf")
    options.rounds, options.seconds = 1, 3
    folder = pathlib.Path(tempfile.mkdtemp(prefix="taskflow-flame."))
    folder.chmod(0o755)
    machine = servers.Machine(folder, options.binary)
    try:
        machine.start_servers()
        total = data.SIZES[options.size]
        settings = bench.prepared(machine, "taskflow", 0, total)
        six, one = servers.Installation(machine, settings), servers.Installation(machine, settings, single=True)
        work = measures.Measures(machine, options, bench.say)
        tokens = bench.log_in(six, range(1, data.ORGANIZATIONS + 1))
        for name in options.names or PICTURES:
            kind, service = name.split("-")
            installation = one if service == "serve" else six
            asked = requests(kind, work, tokens, total)
            work.driver.run(installation.origin, asked, 32, 2)
            recorded = folder / "perf.data"
            recorder = subprocess.Popen(
                ["perf", "record", "-q", "-F", "997", "--call-graph", "fp", "-p",
                 str(installation.processes[service].pid), "-o", str(recorded), "sleep", "8"])
            rate = work.driver.run(installation.origin, asked, 32, 9)["rate"]
            if recorder.wait():
                sys.exit("perf could not record")
            target = ROOT / f"docs/benchmarks/flame-{name}.svg"
            target.write_text(picture(f"{service} at {rate:,.0f} requests/s ({kind})", stacks(recorded)))
            bench.say(f"{target.relative_to(ROOT)}: {target.stat().st_size // 1000} KB")
        six.stop()
        one.stop()
    finally:
        machine.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
