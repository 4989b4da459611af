# Two commands to know: `make run` starts Taskflow, `make test` runs every test.
.PHONY: run test tenancy tenancy-mutants acceptance acceptance-cluster attack fuzz chaos bench bench-quick failpoints drills lint format packages build

SHELL := /bin/bash

# A release has Swift's runtime in it, as in the image: calls into it need no table, a tenth more requests.
RELEASE := swift build -c release --static-swift-stdlib --product taskflow

# Builds a release and starts a self-contained installation in .taskflow/ (Ctrl-C stops it, the data stays).
run: packages
	$(RELEASE)
	@exec .build/release/taskflow up $(ARGUMENTS)

# Builds everything and runs all tests on a throw-away Postgres and Redis.
test:
	@.ci/packages test
	@Tests/run.sh $(ARGUMENTS)

# Every acceptance test against the built program, through its gateway.
acceptance: packages
	swift build --product taskflow
	Tests/Acceptance/run.py --binary "$$(swift build --show-bin-path)/taskflow" $(ARGUMENTS)

# The same on a Redis Cluster of three masters: a process for each service, then all in one.
acceptance-cluster: packages
	swift build --product taskflow
	Tests/Acceptance/run.py --binary "$$(swift build --show-bin-path)/taskflow" --redis-cluster --processes $(ARGUMENTS)
	Tests/Acceptance/run.py --binary "$$(swift build --show-bin-path)/taskflow" --redis-cluster $(ARGUMENTS)

# Hostile bytes, guesses, races and floods against an installation of its own. See Tests/Attack.
attack: packages
	swift build --product taskflow
	Tests/Attack/run.py --binary "$$(swift build --show-bin-path)/taskflow" $(ARGUMENTS)

# Everything that reads bytes from outside, under libFuzzer for a minute; ARGUMENTS="--seconds 600". See Tests/Fuzz.
fuzz: packages
	swift build --product taskflow
	Tests/Fuzz/fuzz.py $(ARGUMENTS)

# Ten minutes of faults under load, then all that was promised is checked; DURATION=60m, SEED=7. See Tests/Chaos.
chaos: packages
	swift build --product taskflow
	Tests/Chaos/chaos.py --binary "$$(swift build --show-bin-path)/taskflow" \
		--duration $(or $(DURATION),10m) $(if $(SEED),--seed $(SEED)) $(ARGUMENTS)

# That no organization sees another: the catalogue, every statement, every route for every kind of caller, deletion, plans.
tenancy: packages
	swift build --product taskflow
	Tests/Tenancy/run.py --binary "$$(swift build --show-bin-path)/taskflow" $(ARGUMENTS)

# Breaks each policy, each FORCE and each organization predicate, one at a time, and wants to see red.
tenancy-mutants: packages
	swift build --product taskflow
	Tests/Tenancy/mutants.py --binary "$$(swift build --show-bin-path)/taskflow" $(ARGUMENTS)

# Ten minutes: Taskflow against DRF, nginx and pgbench, in turns; writes docs/benchmarks.md. SIZE=1m: docs/benchmarks-1m.md.
bench: build
	Tests/Benchmarks/bench.py --binary .build/release/taskflow --size $(or $(SIZE),100k) $(ARGUMENTS)

# The same in two minutes, for working: written to .build/bench.
bench-quick: build
	Tests/Benchmarks/bench.py --binary .build/release/taskflow --quick $(ARGUMENTS)

# Every failpoint of a debug build, three ways to fail, in every service that passes it: about ten minutes.
failpoints: packages
	swift build --product taskflow
	Tests/Chaos/failpoints.py --binary "$$(swift build --show-bin-path)/taskflow" $(ARGUMENTS)

# Operations drills: backup and restore, rolling restart, upgrade, full disk and the like; minutes, and best run as root.
drills:
	@.ci/packages test
	swift build --product taskflow
	Tests/Drills/run.py --binary "$$(swift build --show-bin-path)/taskflow" $(ARGUMENTS)

lint:
	swift format lint --strict --parallel -r Services Shared Tests Package.swift

format:
	swift format format -i --parallel -r Services Shared Tests Package.swift

build: packages
	$(RELEASE)

# What the system has to have: C libraries, Postgres and Redis.
packages:
	@.ci/packages
