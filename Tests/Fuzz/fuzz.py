#!/usr/bin/env python3
"""Fuzzes the parsers with libFuzzer and AddressSanitizer. See README.md beside this file.

    Tests/Fuzz/fuzz.py                      # every target, one minute in all
    Tests/Fuzz/fuzz.py --only json --seconds 600
    Tests/Fuzz/fuzz.py --keep               # afterwards takes what was interesting into corpus/
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CORPUS = HERE / "corpus"

# Each module of the product with the parsers' own files and the few that these need, in the order of building. They are
# built with coverage; what they use of other people's packages comes, uninstrumented, from the debug build.
MODULES = [
    ("Chronology", ["Shared/Chronology/*.swift"]),
    ("Failures", ["Shared/Failures/*.swift"]),
    ("Identity", ["Shared/Identity/AccessToken.swift", "Shared/Identity/AccessTokenBase64URL.swift",
                  "Shared/Identity/AccessTokenJSON.swift", "Shared/Identity/Identifiers.swift",
                  "Shared/Identity/Principal.swift"]),
    ("Events", ["Shared/Events/Envelope.swift"]),
    ("Postgres", ["Shared/Postgres/PostgresError.swift", "Shared/Postgres/Row.swift", "Shared/Postgres/SQL.swift",
                  "Shared/Postgres/SQLTypes.swift"]),
    ("Redis", ["Shared/Redis/RedisProtocol.swift", "Shared/Redis/RedisValue.swift"]),
    ("Messaging", ["Shared/Messaging/JSONText.swift", "Tests/Fuzz/Driver/StandIns/Messaging.swift"]),
    ("Lists", ["Shared/Lists/*.swift"]),
    ("ServiceKit", ["Shared/ServiceKit/Base64URL.swift", "Shared/ServiceKit/JSON.swift",
                    "Shared/ServiceKit/JSONParser.swift", "Shared/ServiceKit/PercentCoding.swift"]),
    ("GatewayService", ["Services/Gateway/Configuration/*.swift", "Services/Gateway/Routing/*.swift",
                        "Services/Gateway/Front/AnswerHead.swift", "Services/Gateway/Front/HeadReader.swift",
                        "Services/Gateway/Front/HeaderFields.swift", "Services/Gateway/Front/HeaderRules.swift",
                        "Services/Gateway/Front/RequestHead.swift", "Services/Gateway/Front/RequestParser.swift",
                        "Services/Gateway/Upstreams/ResponseParser.swift", "Services/Gateway/Gate/Positions.swift",
                        "Tests/Fuzz/Driver/StandIns/GatewayService.swift"]),
    ("OrganizationService", ["Services/Organization/Domain/PictureFormats.swift",
                             "Services/Organization/Domain/PictureHeader.swift",
                             "Services/Organization/Routes/HeaderParameters.swift",
                             "Services/Organization/Routes/MultipartForm.swift"]),
]
# The judges: no coverage of theirs, or libFuzzer would keep inputs for what they do.
JUDGES = ["Tests/Fuzz/Properties/*.swift", "Tests/Fuzz/Driver/Driver.swift"]
SYSTEM_MODULES = ["CHiredis", "CLibPQ"]
SWIFT_FLAGS = [
    "-parse-as-library", "-swift-version", "6", "-enable-upcoming-feature", "ExistentialAny",
    "-enable-upcoming-feature", "MemberImportVisibility", "-enable-upcoming-feature", "InternalImportsByDefault",
    # Optimized, as it is shipped: what then still reads wrong memory is what AddressSanitizer is to see. The replay in
    # `swift test` runs the same inputs in a debug build, where the library's own checks are on.
    "-O", "-wmo", "-gline-tables-only", "-enable-testing",
]
LONGEST_INPUT = 4096
# Inputs of a target in the corpus: they are replayed in every `make test`.
MOST_KEPT = 60


class BuildFailure(Exception):
    """The words of the compiler."""


def sh(arguments, **options):
    result = subprocess.run(arguments, capture_output=True, text=True, errors="replace", **options)
    if result.returncode != 0:
        raise BuildFailure(" ".join(arguments[:6]) + " ...\n" + result.stdout + result.stderr)
    return result.stdout


class Builder:
    """Builds one program of all targets; a module is built again only if something of it has changed."""

    def __init__(self, directory, products):
        self.directory = directory
        self.products = products
        self.modules = directory / "modules"
        self.modules.mkdir(parents=True, exist_ok=True)
        self.stamps_file = directory / "stamps.json"
        self.stamps = json.loads(self.stamps_file.read_text()) if self.stamps_file.exists() else {}
        self.flags = SWIFT_FLAGS + ["-module-cache-path", str(directory / "cache"), "-I", str(self.modules),
                                    "-I", str(products / "Modules")] + self.clang_flags()

    def clang_flags(self):
        for name in ("NIOCore", "Crypto"):
            if not (self.products / "Modules" / f"{name}.swiftmodule").exists():
                raise BuildFailure(f"There is no {name} in {self.products}: run `swift build` first.")
        maps = [ROOT / "Shared" / name / "module.modulemap" for name in SYSTEM_MODULES]
        maps += sorted(self.products.glob("*.build/module.modulemap"))
        includes = []
        for folder in sorted(ROOT.glob(".build/checkouts/*/Sources/*/include")):
            includes.append(folder)
            if (folder / "module.modulemap").exists():
                maps.append(folder / "module.modulemap")
        flags = [flag for path in maps for flag in ("-Xcc", f"-fmodule-map-file={path}")]
        flags += [flag for path in includes for flag in ("-Xcc", "-I", "-Xcc", str(path))]
        packages = sh(["pkg-config", "--cflags-only-I", "libpq"]).split()
        return flags + [flag for path in packages for flag in ("-Xcc", path)]

    def sources(self, patterns):
        files = [file for pattern in patterns for file in sorted(ROOT.glob(pattern))]
        if not files:
            raise BuildFailure(f"no file matches {patterns}")
        return files

    def build(self):
        digest = hashlib.sha256(" ".join(self.flags).encode())
        digest.update(str((self.products / "Modules" / "NIOCore.swiftmodule").stat().st_mtime).encode())
        objects = []
        for name, patterns in MODULES + [("FuzzTests", JUDGES)]:
            sources = self.sources(patterns)
            for source in sources:
                digest.update(source.read_bytes())
            objects.append(self.module(name, sources, digest.hexdigest()))
        return self.link(objects, digest.hexdigest())

    def module(self, name, sources, stamp):
        """Each depends on all before it: that is a little too often, and never too seldom."""
        target = self.modules / f"{name}.o"
        if self.stamps.get(name) == stamp and target.exists():
            return target
        print(f"building {name}", flush=True)
        sanitizers = "address" if name == "FuzzTests" else "fuzzer,address"
        sh(["swiftc", f"-sanitize={sanitizers}", *self.flags, "-module-name", name, "-emit-module",
            "-emit-module-path", str(self.modules / f"{name}.swiftmodule"), "-c", "-o", str(target),
            *map(str, sources)], cwd=self.directory)
        self.remember(name, stamp)
        return target

    def link(self, objects, stamp):
        program = self.directory / "fuzz"
        if self.stamps.get("fuzz") == stamp and program.exists():
            return program
        # Packages of others only: among our own are programs with a `main`.
        foreign = {path.name for path in ROOT.glob(".build/checkouts/*/Sources/*")}
        packages = []
        for folder in sorted(self.products.glob("*.build")):
            if folder.name.removesuffix(".build") in foreign:
                packages += sorted(folder.rglob("*.o"))
        archive = self.directory / "packages.a"
        archive.unlink(missing_ok=True)
        # A thin archive: the linker takes what is needed and no more.
        response = self.directory / "packages.txt"
        response.write_text("".join(f'"{path}"\n' for path in packages))
        sh(["ar", "rcsT", str(archive), f"@{response}"])
        libraries = sh(["pkg-config", "--libs", "hiredis", "libpq"]).split()
        sh(["swiftc", "-sanitize=fuzzer,address", *map(str, objects), str(archive), *libraries, "-o", str(program)])
        self.remember("fuzz", stamp)
        return program

    def remember(self, name, stamp):
        self.stamps[name] = stamp
        self.stamps_file.write_text(json.dumps(self.stamps, indent=1))


class Target:
    def __init__(self, name, program, directory):
        self.name = name
        self.program = program
        self.kept = CORPUS / name
        self.working = directory / "corpus" / name
        self.artifacts = directory / "artifacts" / name
        for folder in (self.kept, self.working, self.artifacts):
            folder.mkdir(parents=True, exist_ok=True)

    def start(self, arguments, timeout):
        environment = dict(os.environ, TASKFLOW_FUZZ_TARGET=self.name, SWIFT_BACKTRACE="enable=no")
        options = "detect_leaks=0:allocator_may_return_null=1:abort_on_error=1"
        environment["ASAN_OPTIONS"] = options
        result = subprocess.run([str(self.program), *arguments], env=environment, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, timeout=timeout)
        return result.returncode, result.stdout.decode("utf-8", "replace")

    def common(self):
        arguments = [f"-max_len={LONGEST_INPUT}", "-timeout=10", "-rss_limit_mb=2560",
                     f"-artifact_prefix={self.artifacts}/"]
        dictionary = HERE / "dictionaries" / f"{self.name}.dict"
        return arguments + ([f"-dict={dictionary}"] if dictionary.exists() else [])

    def fuzz(self, seconds):
        """One run; what it printed, as figures, and the finding if there is one."""
        for old in self.artifacts.iterdir():
            old.unlink()
        code, output = self.start(
            [*self.common(), f"-max_total_time={seconds}", "-print_final_stats=1", "-reload=0",
             str(self.working), str(self.kept)], seconds + 120)
        covered = re.findall(r"cov: (\d+)", output)
        executed = re.findall(r"number_of_executed_units: (\d+)|^#(\d+)\t", output, re.M)
        added = re.findall(r"new_units_added:\s+(\d+)", output)
        row = {"executions": int(max(executed[-1])) if executed else 0,
               "coverage": int(covered[-1]) if covered else 0, "new": int(added[-1]) if added else 0}
        finding = None if code == 0 else self.keep_finding(output)
        return row, finding

    def keep_finding(self, output):
        words = describe(output)
        found = sorted(path for path in self.artifacts.iterdir() if not path.name.startswith("slow-unit-"))
        if not found:
            log = self.artifacts / "output.txt"
            log.write_text(output)
            return f"{self.name}: {words}; no input was kept, see {log.relative_to(ROOT)}"
        crash = self.minimized(found[0])
        content = crash.read_bytes()
        # What comes after the colon is the case, which the file itself tells.
        slug = re.sub(r"[^a-z0-9]+", "-", words.split(":")[0].lower()).strip("-")[:48].strip("-")
        place = self.kept / f"found-{slug}-{hashlib.sha1(content).hexdigest()[:8]}"
        place.write_bytes(content)
        return f"{self.name}: {words}\n    {place.relative_to(ROOT)}: {content[:160]!r}"

    def minimized(self, crash):
        smaller = self.artifacts / "minimized"
        try:
            self.start([*self.common(), "-minimize_crash=1", "-max_total_time=5",
                        f"-exact_artifact_path={smaller}", str(crash)], 60)
        except subprocess.TimeoutExpired:
            pass
        return smaller if smaller.exists() and smaller.stat().st_size else crash

    def keep_interesting(self):
        """Adds to the corpus what covers more of the code: as few inputs as will do, and of these the smallest."""
        with tempfile.TemporaryDirectory() as folder:
            merged = pathlib.Path(folder)
            for path in self.kept.iterdir():
                shutil.copy(path, merged / path.name)
            known = {path.name for path in merged.iterdir()}
            code, output = self.start([*self.common(), "-set_cover_merge=1", "-use_counters=0", str(merged),
                                       str(self.working)], 600)
            if code != 0:
                return f"{self.name}: merging failed\n{output[-2000:]}"
            fresh = [path for path in merged.iterdir() if path.name not in known]
            fresh.sort(key=lambda path: (path.stat().st_size, path.name))
            fresh = fresh[:max(0, MOST_KEPT - len(known))]
            for path in fresh:
                shutil.copy(path, self.kept / path.name)
        return f"{self.name}: {len(fresh)} inputs kept, {len(known) + len(fresh)} in all"


def describe(output):
    """What happened, in a few words."""
    for pattern in (r"VIOLATION: (.+)", r"Fatal error: (.+)", r"ERROR: AddressSanitizer: ([^\n(]+?)(?: on| \(|\n)",
                    r"ERROR: libFuzzer: ([^\n(]+)"):
        found = re.search(pattern, output)
        if found:
            words = found.group(1).strip()[:300]
            frame = re.search(r" in \$s\S+? .*/((?:Shared|Services)/[\w/+]+)\.swift:(\d+)", output)
            if frame and not words.startswith("deadly signal"):
                return f"{words} in {frame.group(1)}.swift:{frame.group(2)}"
            # Swift's traps say no more than where.
            return f"trap in {frame.group(1)}.swift line {frame.group(2)}" if frame else words
    return "ended badly: " + " ".join(output.strip().splitlines()[-3:])[:300]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="of fuzzing, in all (60)")
    parser.add_argument("--only", nargs="+", metavar="TARGET", help="these targets")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="targets at a time (one a core)")
    parser.add_argument("--keep", action="store_true", help="take what covers more code into corpus/")
    parser.add_argument("--products", type=pathlib.Path, help="folder of the debug build (asks SwiftPM)")
    arguments = parser.parse_args()

    products = arguments.products or pathlib.Path(sh(["swift", "build", "--show-bin-path"], cwd=ROOT).strip())
    directory = ROOT / ".build" / "fuzz"
    began = time.monotonic()
    try:
        program = Builder(directory, products).build()
    except BuildFailure as failure:
        print(failure, file=sys.stderr)
        return 2
    names = sh([str(program), "--list-targets"]).split()
    unknown = set(arguments.only or []) - set(names)
    if unknown:
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    names = arguments.only or names
    print(f"built in {time.monotonic() - began:.0f} s; {len(names)} targets", flush=True)

    targets = [Target(name, program, directory) for name in names]
    jobs = max(1, min(arguments.jobs, len(targets)))
    each = max(2, arguments.seconds * jobs // len(targets))
    findings = []
    print(f"{'target':<14} {'seconds':>7} {'executions':>11} {'coverage':>9} {'new':>5} {'corpus':>7}", flush=True)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for target, (row, finding) in zip(targets, pool.map(lambda target: target.fuzz(each), targets)):
            size = len(list(target.kept.iterdir()))
            print(f"{target.name:<14} {each:>7} {row['executions']:>11,} {row['coverage']:>9,} {row['new']:>5} "
                  f"{size:>7}", flush=True)
            if finding:
                findings.append(finding)
                print("  FOUND " + finding, flush=True)
    if arguments.keep:
        for target in targets:
            print(target.keep_interesting(), flush=True)
    print(f"fuzz: {len(targets)} targets, {len(findings)} findings, {time.monotonic() - began:.0f} s")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
