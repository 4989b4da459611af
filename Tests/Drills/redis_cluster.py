"""Redis Cluster with three masters: everything works, slots move under load, a master dies and comes back: BUS-15."""
import random
import shutil
import signal
import subprocess
import time

from load import Company, Load
from stage import Failed, Redis, Stage, expect, wait_for


class Cluster:
    """Three masters; looks like one server to the stage."""

    def __init__(self, folder):
        folder.mkdir(exist_ok=True)
        self.nodes = []
        for number in range(3):
            node = Redis(folder / str(number), ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"])
            # The port of the bus is 10,000 higher and has to be one too.
            node.port = random.randrange(20_000, 30_000)
            self.nodes.append(node)

    @property
    def url(self):
        return self.nodes[0].url

    def start(self):
        for node in self.nodes:
            node.start()
        addresses = [f"127.0.0.1:{node.port}" for node in self.nodes]
        done = subprocess.run(["redis-cli", "--cluster", "create", *addresses, "--cluster-yes"], capture_output=True,
                              text=True, check=False)
        expect(done.returncode == 0, f"no cluster: {done.stdout[-500:]}{done.stderr}")
        wait_for(lambda: all("cluster_state:ok" in node.command("CLUSTER", "INFO") for node in self.nodes),
                 "the cluster is whole")

    def stop(self, how=signal.SIGTERM):
        for node in self.nodes:
            node.stop(how)

    def command(self, *words):
        """By way of redirections, as the shell's client follows them."""
        return subprocess.run(["redis-cli", "-c", "-p", str(self.nodes[0].port), *map(str, words)], capture_output=True,
                              text=True, check=False).stdout.strip()

    def move(self, count, source, target):
        """That many slots from one master to another."""
        ids = [node.command("CLUSTER", "MYID") for node in self.nodes]
        done = subprocess.run(["redis-cli", "--cluster", "reshard", f"127.0.0.1:{self.nodes[0].port}",
                               "--cluster-from", ids[source], "--cluster-to", ids[target],
                               "--cluster-slots", str(count), "--cluster-yes"],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(f"no resharding: {done.stdout[-500:]}{done.stderr}")


def drill(binary, say, keep=False):
    stage = Stage(binary)
    shutil.rmtree(stage.folder / "redis")
    stage.redis = Cluster(stage.folder / "redis")
    stage.redis_url = stage.redis.url
    try:
        stage.start()
        companies = [Company(stage.origins) for _ in range(4)]
        with Load(companies, rate=40) as load:
            time.sleep(8)
        expect(not load.failures, f"requests failed: {load.failures[:3]}")
        streams = spread(stage)
        say(f"{load.figures()}; streams on the masters: {streams}")
        expect(min(streams) > 0, "not every master has streams")

        with Load(companies, rate=40) as load:
            time.sleep(2)
            stage.redis.move(1500, 0, 1)
            stage.redis.move(1500, 1, 2)
            time.sleep(3)
        say(f"3000 slots moved meanwhile: {load.figures()}")
        wrong = [f for f in load.failures if f[2] != 503 or not f[3]]
        expect(not wrong, f"other than 503 with Retry-After: {wrong[:3]}")
        expect(len(load.failures) <= load.done * 0.02, f"too many had to wait: {load.failures[:3]}")

        with Load(companies, rate=40) as load:
            time.sleep(2)
            stage.redis.nodes[1].stop(signal.SIGKILL)
            time.sleep(5)
            stage.redis.nodes[1].start()
            wait_for(lambda: not [f for f in load.failures if f[0] > time.monotonic() - load.begun - 3],
                     "requests succeed again", 60, every=1)
            time.sleep(2)
        say(f"a master killed and started again: {load.figures()}")
        wrong = [f for f in load.failures if f[2] not in (502, 503, 504) or not f[3]]
        expect(not wrong, f"other than 503 with Retry-After: {wrong[:3]}")
        for company in companies:
            company.check()
        stage.wait_quiet()
        say(stage.verify())
        crossed = [node.command("INFO", "errorstats").count("errorstat_CROSSSLOT") for node in stage.redis.nodes]
        expect(sum(crossed) == 0, f"commands touched keys of two tags: {crossed}")
        say("no command touched two slots")
    finally:
        stage.close(keep)


def spread(stage):
    """How many streams each master has."""
    counts = []
    for node in stage.redis.nodes:
        keys = node.command("KEYS", "ev:*").split()
        counts.append(sum(1 for key in keys if key.endswith("}")))
    return counts
