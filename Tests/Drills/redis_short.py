"""Redis is nearly full: relays stop filling it, people go on working, and all is made up for when there is room (BUS-9)."""
import re
import time

from load import Company, Load
from stage import Stage, expect, wait_for


def drill(binary, say, keep=False):
    stage = Stage(binary)
    try:
        stage.start()
        companies = [Company(stage.origins) for _ in range(2)]
        stage.wait_quiet()
        wait_for(lambda: all_pause(stage), "every relay says that it pauses", 30, every=1)
        tops, heads = positions(stage), stage.log_heads()
        with Load(companies, rate=30) as load:
            time.sleep(6)
        expect(not load.failures, f"requests failed: {load.failures[:3]}")
        waiting = sum(stage.log_heads().values()) - sum(heads.values())
        expect(waiting > 50 and positions(stage) == tops, f"{waiting} events wait, and streams have grown: {tops}")
        told = stage.run("events", "status").stdout
        depth = sum(map(int, re.findall(r"depth=(\d+)", told)))
        expect(depth == waiting, f"events status says that {depth} wait: {told}")

        stage.redis.command("CONFIG", "SET", "maxmemory", "0")
        begun = time.monotonic()
        stage.wait_quiet()
        say(f"{waiting} events waited in Postgres; {load.figures()}; applied {time.monotonic() - begun:.1f} s after "
            "there was room")
        for company in companies:
            company.check()
        say(stage.verify())

        stage.redis.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        wait_for(lambda: said(stage, "set maxmemory-policy to noeviction"), "somebody warns of eviction", 20)
        say("a policy that evicts is an error in the log")
    finally:
        stage.close(keep)


def all_pause(stage):
    """Of so little memory buffers are a large part: what is in use now shall be 9/10 of it. The rest is for positions."""
    used = int(re.search(r"used_memory:(\d+)", stage.redis.command("INFO", "memory")).group(1))
    stage.redis.command("CONFIG", "SET", "maxmemory", str(used * 10 // 9))
    return len(said(stage, "Redis is 85 % full; the relay pauses")) == 4


def said(stage, words):
    """Which processes have said something."""
    return [(process.name, process.number) for process in stage.processes if process.says(words)]


def positions(stage):
    """Where each stream ends."""
    return {stream: stage.redis.command("XREVRANGE", f"ev:{{{stream}}}", "+", "-", "COUNT", "1").split("\n")[0]
            for stream in stage.log_heads()}
