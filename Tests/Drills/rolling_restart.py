"""Every process is replaced, one after the other, while people work on kept-alive connections: GW-15, BUS-17.

TASKFLOW_DRILL_RATE is for how many requests a second, 200 if it is not given. What of it this machine and build reach
before the first restart is the measure for the rest: half of it has to go on.
"""
import os
import time

from load import Company, Load
from stage import Stage, expect

RATE = float(os.environ.get("TASKFLOW_DRILL_RATE", "200"))
# Seconds of load before the first restart, and requests a second that even a debug build on a busy machine reaches.
CALM, LEAST = 5, min(20.0, RATE / 2)


def drill(binary, say, keep=False):
    stage = Stage(binary, copies=2, gateways=2)
    try:
        stage.start()
        companies = [Company(stage.origins) for _ in range(4)]
        with Load(companies, rate=RATE, threads=16) as load:
            # The first seconds are for logging in.
            time.sleep(3)
            before = load.done
            time.sleep(CALM)
            calm = (load.done - before) / CALM
            codes, slowest = [], 0
            for process in stage.processes:
                begun = time.monotonic()
                codes.append((f"{process.name}-{process.number}", process.stop()))
                slowest = max(slowest, time.monotonic() - begun)
                process.start()
                stage.wait_ready([process])
                # Until the gateways have seen that it is back: they ask every two seconds.
                time.sleep(3)
            time.sleep(3)
        say(f"{len(codes)} processes replaced; {load.figures()}, {calm:.0f}/s before; the slowest took {slowest:.1f} s "
            "to stop")
        wrong = [code for code in codes if code[1] != 0]
        expect(not wrong, f"did not end with 0: {wrong}")
        expect(not load.failures, f"{len(load.failures)} requests failed: {load.failures[:5]}")
        expect(calm >= LEAST, f"no load to speak of: {calm:.1f}/s before the first restart")
        expect(load.done > calm * load.seconds * 0.5, f"the rate was not held: {calm:.0f}/s, then {load.figures()}")
        for company in companies:
            company.check()
        stage.wait_quiet()
        say(stage.verify())
    finally:
        stage.close(keep)
