"""What the processes of these tests do; each is started as `python workers.py <task> <root> …`, without a shell."""

from __future__ import annotations

import os
import signal
import sys
import time

from sharedstate.errors import StoreBusy
from sharedstate.files import FileStore
from sharedstate.store import Decision, Snapshot


def counts(root: str, rounds: str) -> None:
    """Raise one shared counter, and log each step."""
    store = FileStore(root)

    def increment(before: Snapshot) -> Decision[int]:
        number = 0 if before.value is None else int(before.value["count"])
        return Decision(result=number, write={"count": number + 1}, events=({"type": "claimed", "n": number},))

    for _ in range(int(rounds)):
        store.transact("counters", "c", increment, durability="relaxed")


def counts_until_killed(root: str, key: str) -> None:
    """The same without end, with a beat cell that comes and goes: somebody kills this process at any moment."""
    store = FileStore(root)

    def increment(before: Snapshot) -> Decision[int]:
        number = 1 if before.value is None else int(before.value["count"]) + 1
        live = number if number % 2 else None
        return Decision(result=number, write={"count": number}, live=live, events=({"type": "claimed", "n": number},))

    print("ready", flush=True)  # noqa: T201 - reason: the parent waits for it
    while True:
        store.transact("counters", key, increment, durability="relaxed")


def shares(root: str, seconds: str) -> None:
    """Take turns on one record for a while; print how many turns it got and the longest wait in milliseconds."""
    store = FileStore(root)
    store.transact("counters", "c", lambda _: Decision(result=None))
    print("ready", flush=True)  # noqa: T201 - reason: the parent waits for it
    sys.stdin.readline()
    end_s = time.monotonic() + float(seconds)
    waits: list[float] = []
    while (begun_s := time.monotonic()) < end_s:
        store.transact(
            "counters", "c", lambda before: Decision(result=None, write={"n": before.revision}), durability="relaxed"
        )
        waits.append(time.monotonic() - begun_s)
    waits.sort()
    print(len(waits), waits[-1] * 1000, waits[len(waits) * 99 // 100] * 1000)  # noqa: T201 - reason: its result


def stops_inside(root: str) -> None:
    """Stand still in the middle of a transaction, as a paused machine does."""

    def stops(_: Snapshot) -> Decision[None]:
        print("inside", flush=True)  # noqa: T201 - reason: the parent waits for it
        os.kill(os.getpid(), signal.SIGSTOP)
        return Decision(result=None, write={"by": "the one that stood still"})

    FileStore(root).transact("tasks", "T-1", stops)


def is_refused(root: str) -> None:
    """Exit 75 when the record's lock is not free within a second."""
    try:
        FileStore(root, lock_timeout_s=1.0).transact("tasks", "T-1", lambda _: Decision(result=None))
    except StoreBusy as error:
        print(error)  # noqa: T201 - reason: its result
        sys.exit(error.exit_code)


TASKS = {task.__name__: task for task in (counts, counts_until_killed, shares, stops_inside, is_refused)}

if __name__ == "__main__":
    TASKS[sys.argv[1]](*sys.argv[2:])
