"""One process of the races: opens a store by its URL, waits for the start, works, and says what was acknowledged.

    python worker.py JOB ROOT URL OWNER KEY COUNT

It says `"ready"` when it has opened the store and begins when its input has a line. Then one line of JSON for each
acknowledged operation, written with one call, so that a killed process leaves whole lines; `{"error": code}` for one
that failed.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from sharedstate import SharedState
from sharedstate.errors import StoreError
from sharedstate.store import Decision, Snapshot, Store
from sharedstate.testing.contracts.workers import counts

LOCK_TIMEOUT_MS = 30_000


def count_up(store: Store, owner: str, key: str, number: int) -> Any:
    """Count in one record, with an event; says the new count."""
    del number
    return store.transact("counters", key, counts(owner)) + 1


def win(store: Store, owner: str, key: str, number: int) -> Any:
    """Claim a task that all want; says which one was won, or nothing."""

    def claim(snapshot: Snapshot) -> Decision[bool]:
        if snapshot.value is not None:
            return Decision(result=False)
        event = {"type": "claimed", "owner": owner}
        return Decision(result=True, write={"owner": owner}, live=1, events=(event,))

    task = f"{key}-{number}"
    return task if store.transact("tasks", task, claim) else None


def update(store: Store, owner: str, key: str, number: int) -> Any:
    """Update a record of one's own; says its key."""
    mine = f"{key}-{owner.replace('/', '-')}-{number}"
    store.transact("contexts", mine, lambda _: Decision(result=None, write={"by": owner, "number": number}))
    return mine


def append(store: Store, owner: str, key: str, number: int) -> Any:
    """Append an entry that tells who and which; says its sequence."""
    return store.append(key, {"by": owner, "number": number})


JOBS: dict[str, Callable[[Store, str, str, int], Any]] = {
    "count_up": count_up, "win": win, "update": update, "append": append,
}  # fmt: skip


def say(line: Any) -> None:
    """One whole line."""
    os.write(1, json.dumps(line).encode() + b"\n")


def main() -> None:
    """Do one job as often as asked on the command line."""
    job, root, url, owner, key, count = sys.argv[1:]
    with SharedState.open(root, url=url, folder=root, owner=owner, lock_timeout_ms=LOCK_TIMEOUT_MS) as state:
        state.store.get("tasks", "warm-up")
        say("ready")
        sys.stdin.readline()
        for number in range(int(count)):
            try:
                said = JOBS[job](state.store, owner, key, number)
            except StoreError as error:
                said = {"error": error.code}
            if said is not None:
                say(said)


if __name__ == "__main__":
    main()
