"""The disk of Postgres fills up while people work, then there is room again. Root alone can make so small a disk.

The write-ahead log is on another disk, as it should be: without room for that, Postgres itself stops.
"""
import os
import signal
import subprocess
import time

from load import Company, Load
from stage import LeftOut, Stage, expect, wait_for

SIZE = 160


def drill(binary, say, keep=False):
    if os.getuid() != 0:
        raise LeftOut("this drill mounts a small disk: run it as root")
    stage = Stage(binary)
    disk = stage.folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}m,mode=755", "tmpfs", str(disk)],
                             capture_output=True, text=True, check=False)
    if mounted.returncode:
        # In most containers root may not.
        stage.close()
        raise LeftOut(f"this drill mounts a small disk, which is refused here: {mounted.stderr.strip()}")
    try:
        stage.postgres.data = disk / "data"
        stage.postgres.log_folder = stage.folder / "pg" / "wal"
        if stage.postgres.account:
            os.chown(disk, *owner(stage))
        stage.start()
        companies = [Company(stage.origins) for _ in range(2)]
        ballast = disk / "ballast"
        with Load(companies, rate=40) as load:
            time.sleep(4)
            full_at = time.monotonic() - load.begun
            fill(disk, ballast)
            time.sleep(12)
            states = {f[2] for f in load.failures}
            expect(load.failures, "nothing failed although the disk was full")
            ballast.unlink()
            freed_at = time.monotonic() - load.begun
            wait_for(lambda: not [f for f in load.failures if f[0] > time.monotonic() - load.begun - 3],
                     "requests succeed again", 60, every=1)
            healed = time.monotonic() - load.begun - freed_at
            time.sleep(3)
        during = [f for f in load.failures if f[0] >= full_at]
        say(f"disk full for {freed_at - full_at:.0f} s: {load.figures()}, answered {sorted(states)}; "
            f"well again {max(0, healed - 3):.0f} s after there was room")
        wrong = [f for f in during if f[2] != 503 or not f[3]]
        expect(not wrong, f"other than 503 with Retry-After: {wrong[:5]}")
        expect(len(during) == len(load.failures), f"failures before the disk was full: {load.failures[:3]}")
        for process in stage.processes:
            expect(process.process.poll() is None, f"{process.name} has ended")
        for company in companies:
            company.check()
        stage.wait_quiet()
        say(stage.verify())
    finally:
        stage.postgres.stop(signal.SIGKILL)
        subprocess.run(["umount", "-l", str(disk)], check=False)
        stage.close(keep)


def owner(stage):
    entry = stage.folder / "pg"
    return entry.stat().st_uid, entry.stat().st_gid


def fill(disk, ballast):
    """All but nothing."""
    with ballast.open("wb") as file:
        try:
            while True:
                file.write(b"\0" * 65536)
                file.flush()
        except OSError:
            pass
    left = os.statvfs(disk)
    expect(left.f_bavail * left.f_frsize < 1 << 20, "the disk is not full")
