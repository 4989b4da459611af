"""Redis Cluster with three masters: everything works, slots move under load, a master dies and comes back: BUS-15."""
import shutil
import signal
import time

from load import Company, Load
from stage import RedisCluster, Stage, expect, wait_for


def drill(binary, say, keep=False):
    stage = Stage(binary)
    shutil.rmtree(stage.folder / "redis")
    stage.redis = RedisCluster(stage.folder / "redis")
    stage.redis_url = stage.redis.url
    try:
        stage.start()
        companies = [Company(stage.origins) for _ in range(4)]
        with Load(companies, rate=40) as load:
            time.sleep(8)
        expect(not load.failures, f"requests failed: {load.failures[:3]}")
        streams = stage.redis.streams()
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
        crossed = stage.redis.crossed()
        expect(crossed == 0, f"on {crossed} masters commands touched keys of two tags")
        say("no command touched two slots")
    finally:
        stage.close(keep)
