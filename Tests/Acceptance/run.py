#!/usr/bin/env python3
"""Runs the acceptance tests against an installation of their own, through the gateway only.

    Tests/Acceptance/run.py --binary .build/debug/taskflow [--processes] [--redis-cluster] [NAME ...]

With --processes every service is a process of its own, and there are two of Task; otherwise it is `taskflow up`.
With --redis-cluster every installation has a Redis Cluster of three masters, and one process is `taskflow serve`.
"""
import argparse
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

from stores import RedisCluster, free_port, surroundings

HERE = pathlib.Path(__file__).resolve().parent
SETTINGS = {"TASKFLOW_RATE_LIMITS": "off", "TASKFLOW_OVERDUE_INTERVAL": "1", "TASKFLOW_REMINDER_INTERVAL": "1",
            "TASKFLOW_LOG_LEVEL": "warning"}


def wait_ready(origin, processes, log, seconds=120):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for process in processes:
            if process.poll() is not None:
                sys.exit(f"{process.args} ended with {process.returncode}:\n{log.read_text()[-4000:]}")
        try:
            with urllib.request.urlopen(origin + "/health/ready", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit(f"not ready within {seconds} s:\n{log.read_text()[-4000:]}")


def start(binary, folder, in_processes=False, settings=None, redis_url=None):
    """Starts an installation, on `redis_url` or its own Redis; gives its origin, mail folder, processes and log."""
    binary = str(pathlib.Path(binary).resolve())
    log = folder / "log"
    output = log.open("ab")
    origin_port = free_port()
    origin = f"http://127.0.0.1:{origin_port}"
    environment = {**surroundings(), **SETTINGS, **(settings or {})}

    def run(*words, **extra):
        return subprocess.Popen([binary, *words], env={**environment, **extra}, cwd=folder, stdout=output,
                                stderr=output, start_new_session=True)
    if not in_processes and redis_url is None:
        processes = [run("up", "--directory", str(folder / "data"), "--port", str(origin_port))]
        wait_ready(origin, processes, log)
        return origin, folder / "data" / "mail", processes, log
    # The servers of an installation that is only there for them: its own services are not used.
    servers = run("up", "--directory", str(folder / "data"), "--port", str(free_port()))
    wait_ready_file = folder / "data" / "taskflow.env"
    deadline = time.monotonic() + 60
    while not wait_ready_file.exists():
        if time.monotonic() > deadline or servers.poll() is not None:
            sys.exit(log.read_text()[-4000:])
        time.sleep(0.1)
    settings = dict(line.split("=", 1) for line in wait_ready_file.read_text().splitlines())
    admin = settings["TASKFLOW_ADMIN_DATABASE_URL"]
    psql = ["psql", "-qX", "-v", "ON_ERROR_STOP=1", admin, "-c", "CREATE DATABASE processes"]
    subprocess.run(psql, check=True)
    environment |= {
        "TASKFLOW_SECRET": settings["TASKFLOW_SECRET"], "TASKFLOW_PUBLIC_URL": origin,
        "TASKFLOW_ADMIN_DATABASE_URL": admin.rsplit("/", 1)[0] + "/processes",
        "TASKFLOW_GATEWAY_LISTEN": f"127.0.0.1:{origin_port}", "TASKFLOW_GATEWAY_ADMIN": f"127.0.0.1:{free_port()}",
        "TASKFLOW_MAIL_DIRECTORY": str(folder / "mail"), "TASKFLOW_MEDIA_DIRECTORY": str(folder / "media"),
    }
    names = ["auth", "organization", "project", "task", "notification"]
    ports = {name: free_port() for name in names}
    second = free_port()
    for name in names:
        key = name.upper()
        url = settings[f"TASKFLOW_{key}_DATABASE_URL"].rsplit("/", 1)[0] + "/processes"
        environment |= {f"TASKFLOW_{key}_DATABASE_URL": url, f"TASKFLOW_{key}_LISTEN": f"127.0.0.1:{ports[name]}",
                        f"TASKFLOW_{key}_URL": f"http://127.0.0.1:{ports[name]}",
                        f"TASKFLOW_UPSTREAM_{key}": f"127.0.0.1:{ports[name]}"}
    stores = [servers]
    if redis_url is None:
        # Two installations must not share a Redis, and the first one has its own services on its own.
        redis_socket = folder / "redis.sock"
        redis = ["redis-server", "--port", "0", "--unixsocket", str(redis_socket), "--dir", str(folder), "--appendonly",
                 "yes", "--save", "", "--maxmemory-policy", "noeviction"]
        stores.insert(0, subprocess.Popen(redis, stdout=output, stderr=output, start_new_session=True))
        redis_url = f"unix://{redis_socket}"
    environment["TASKFLOW_REDIS_URL"] = redis_url
    if in_processes:
        environment["TASKFLOW_UPSTREAM_TASK"] += f" 127.0.0.1:{second}"
    subprocess.run([binary, "migrate"], env=environment, cwd=folder, check=True, stdout=output, stderr=output)
    if in_processes:
        processes = [run("serve", name) for name in [*names, "gateway"]]
        processes.append(run("serve", "task", TASKFLOW_TASK_LISTEN=f"127.0.0.1:{second}"))
    else:
        processes = [run("serve")]
    wait_ready(origin, processes, log)
    return origin, folder / "mail", [*processes, *stores], log


def stop(processes):
    """Stops what `start` has started; whether all of it ended on SIGTERM."""
    for process in processes:
        process.send_signal(signal.SIGTERM)
    stopped = True
    for process in processes:
        try:
            process.wait(45)
        except subprocess.TimeoutExpired:
            process.kill()
            print(f"{process.args} did not stop on SIGTERM")
            stopped = False
    return stopped


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=str(HERE.parent.parent / ".build/debug/taskflow"))
    parser.add_argument("--processes", action="store_true")
    parser.add_argument("--redis-cluster", action="store_true", help="three masters in the place of one Redis")
    parser.add_argument("--keep", action="store_true", help="leave the folder for a look")
    parser.add_argument("--origin", help="test a running installation instead; needs --mail")
    parser.add_argument("--mail")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="taskflow-acceptance."))
    folder.chmod(0o755)
    processes, cluster = [], None
    status = 1
    try:
        if arguments.origin:
            origin, mail = arguments.origin, pathlib.Path(arguments.mail)
        else:
            # Tests that need other settings start an installation of their own with it.
            os.environ["TASKFLOW_ACCEPTANCE_BINARY"] = str(pathlib.Path(arguments.binary).resolve())
            if arguments.redis_cluster:
                os.environ["TASKFLOW_ACCEPTANCE_CLUSTER"] = "yes"
                cluster = RedisCluster(folder / "cluster")
                cluster.start()
            origin, mail, processes, _ = start(arguments.binary, folder, arguments.processes,
                                               redis_url=cluster and cluster.url)
        os.environ["TASKFLOW_ORIGIN"] = origin
        os.environ["TASKFLOW_MAIL"] = str(mail)
        sys.path.insert(0, str(HERE))
        loader = unittest.TestLoader()
        suite = (loader.loadTestsFromNames(arguments.names) if arguments.names
                 else loader.discover(str(HERE), pattern="test_*.py"))
        result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout).run(suite)
        failed = len(result.failures) + len(result.errors)
        print(f"acceptance: {result.testsRun - failed} passed, {failed} failed")
        status = 1 if failed or not result.testsRun else 0
        if cluster:
            streams, crossed = cluster.streams(), cluster.crossed()
            print(f"Redis Cluster: streams on its masters: {streams}; masters that were asked for two slots: {crossed}")
            # A single test may have too few organizations for every master to have a stream.
            status = 1 if crossed or (min(streams) == 0 and not arguments.names) else status
    finally:
        if not stop(processes):
            status = 1
        if cluster:
            cluster.stop()
        if arguments.keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
