"""Keeps sending one request from many addresses at a steady rate, in a process of its own so that it does not slow down
whoever measures. Prints how often each status came when its input ends.

    flood.py PORT PER_SECOND METHOD PATH TOKEN BODY
"""

import collections
import sys
import threading
import time

import wire

CLIENTS = 24


def main():
    port, rate, method, path, token, body = sys.argv[1:]
    statuses, stopping = collections.Counter(), threading.Event()

    def client(number):
        start, turn = time.monotonic() + number / CLIENTS * CLIENTS / float(rate), 0
        while not stopping.is_set():
            turn += 1
            stopping.wait(max(0, start + turn * CLIENTS / float(rate) - time.monotonic()))
            fields = ["Content-Type: application/json"] + ([f"Authorization: Bearer {token}"] if token else [])
            text = body.replace("#", f"{number}-{turn}").encode() or None
            try:
                answer = wire.once(
                    int(port),
                    wire.request(path, *fields, method=method, body=text, close=True),
                    f"127.8.{number}.{turn % 250 + 1}",
                    timeout=40,
                )
                statuses[answer.status if answer else 0] += 1
            except OSError:
                statuses[0] += 1

    threads = [threading.Thread(target=client, args=(n,), daemon=True) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stopping.set()
    for thread in threads:
        thread.join(15)
    print(" ".join(f"{status}:{count}" for status, count in sorted(statuses.items())), flush=True)


if __name__ == "__main__":
    main()
