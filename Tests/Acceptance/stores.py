"""What every harness here starts with: free ports, an environment without settings, Redis alone or as a cluster."""
import os
import random
import shutil
import signal
import socket
import subprocess
import time


class Failed(Exception):
    """What was to happen and did not."""


def expect(condition, message):
    if not condition:
        raise Failed(message)


# Below those from which the system serves whoever asks for any: a port is given long before its server listens, and
# stays that server's while it is away. Those of a cluster's bus end below them too.
PORTS = range(10_000, 22_000)
_given = set()


def free_port(bus=False):
    """A free port of loopback, to nobody twice. With `bus` that 10,000 above is free as well: a node of a Redis Cluster
    takes both."""
    dice = random.SystemRandom()
    while True:
        port = dice.choice(PORTS)
        wanted = {port, port + 10_000} if bus else {port}
        if wanted.isdisjoint(_given) and all(map(is_free, wanted)):
            _given.update(wanted)
            return port


def is_free(port):
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def surroundings():
    """This process' environment without settings of Taskflow: those of another installation must not get into these."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TASKFLOW_")}


def wait_for(condition, what, seconds=60, every=0.1):
    """Waits until `condition` is true, gives its value, and fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(every)


class Redis:
    def __init__(self, folder, options=()):
        self.folder = folder
        self.port = free_port()
        self.options = options
        self.process = None
        folder.mkdir(exist_ok=True)

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self):
        output = (self.folder / "log").open("ab")
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder), "--appendonly",
             "yes", "--save", "", "--maxmemory-policy", "noeviction", *self.options], stdout=output, stderr=output,
            start_new_session=True)
        wait_for(lambda: self.command("PING") == "PONG", "Redis is ready")

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(30)

    def destroy(self):
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder)
        self.folder.mkdir()

    def command(self, *words):
        done = subprocess.run(["redis-cli", "-p", str(self.port), *map(str, words)], capture_output=True, text=True,
                              check=False)
        return done.stdout.strip()


class RedisCluster:
    """Three masters; looks like one server to whoever starts it."""

    def __init__(self, folder):
        folder.mkdir(exist_ok=True)
        self.nodes = []
        for number in range(3):
            node = Redis(folder / str(number), ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"])
            node.port = free_port(bus=True)
            self.nodes.append(node)

    @property
    def url(self):
        return self.nodes[0].url

    @property
    def processes(self):
        return [node.process for node in self.nodes]

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

    def streams(self):
        """How many streams of events each master has."""
        return [sum(key.endswith("}") for key in node.command("KEYS", "ev:*").split()) for node in self.nodes]

    def crossed(self):
        """How many commands named keys of two slots, which a cluster refuses."""
        return sum(node.command("INFO", "errorstats").count("errorstat_CROSSSLOT") for node in self.nodes)
