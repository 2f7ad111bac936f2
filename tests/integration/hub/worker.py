"""One process of the hub's tests: does one job, and says what was acknowledged, one line of JSON for each.

    python worker.py JOB ROOT URL NAME COUNT [MORE]

It says `"ready"` and begins when its input has a line; the jobs without an end go on until their input is closed.
Lines are written with one call, so that a killed process leaves whole lines. What it logs goes to standard error.
"""

from __future__ import annotations

import json
import logging
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from sharedstate import SharedState
from sharedstate.errors import StoreError
from sharedstate.hub import events
from sharedstate.hub.bridge import Bridge
from sharedstate.hub.model import Gap, HubEvent, Outage
from sharedstate.hub.service import Hub

PAUSE_S = 0.01


class Deaf:
    """A store all of whose hints are dropped: a watch waits to the end of its time and has seen nothing."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def watch(self, journal: str, *, after: int, timeout_s: float) -> bool:
        """Nothing, whatever happens."""
        del journal, after
        time.sleep(timeout_s)
        return False


def say(line: Any) -> None:
    """One whole line."""
    os.write(1, json.dumps(line).encode() + b"\n")


def until_closed() -> Iterator[int]:
    """Counts until the input is closed."""
    number = 0
    while not select.select([0], [], [], 0)[0] or os.read(0, 1) != b"":
        yield number
        number += 1


def update(state: SharedState, name: str, count: int) -> None:
    """Each of `count` agents gets a name of this process."""
    for number in range(count):
        state.hub.update(f"agent-{number}", {name: number})
        say(number)


def flow(state: SharedState, name: str, count: int) -> None:
    """Updates of one agent and events, until told to end; then until the shared store has all of it."""
    del count
    for number in until_closed():
        state.hub.update(name, {"n": number}, status="working")
        say({"updated": number})
        state.hub.publish({"type": "n", "by": name, "n": number})
        say({"published": number})
        time.sleep(PAUSE_S)
    deadline_s = time.monotonic() + 60
    state.hub.reconcile()
    while state.hub.degraded and time.monotonic() < deadline_s:
        time.sleep(0.1)
        state.hub.reconcile()
    say({"degraded": state.hub.degraded})


def publish(state: SharedState, name: str, count: int) -> None:
    """So many events."""
    for number in range(count):
        state.hub.publish({"type": "n", "by": name, "n": number})
        say(number)


def forward(state: SharedState, name: str, count: int) -> None:
    """One reconciliation, in small steps, so that a kill finds it between two of them."""
    del name, count
    events.BATCH = 5  # type: ignore[misc]  # reason: final for everybody but this test
    say(state.hub.reconcile().fields())


def follow(state: SharedState, name: str, count: int) -> None:
    """Say every event of a test, until so many have come. `name` is the cursor; deaf where it ends with `!`."""
    hub, cursor = state.hub, name.removesuffix("!")
    if name.endswith("!"):
        deaf: Any = Deaf(state.store)
        hub = Hub(shared=deaf, local=deaf, host=state.host, writer="deaf")
    for one in hub.subscribe("" if cursor == "first" else cursor, poll_s=0.5):
        if isinstance(one, HubEvent) and one.body["type"] == "n":
            say({"by": one.body["by"], "n": one.body["n"], "cursor": one.cursor})
            count -= 1
        if count == 0:
            return


def attend(state: SharedState, name: str, count: int) -> None:
    """Say everything that a follower is told, until it is killed. `name` is the cursor."""
    del count
    for one in state.hub.subscribe("" if name == "first" else name, poll_s=0.5):
        if isinstance(one, Gap):
            say({"gap": one.reason})
        elif isinstance(one, Outage):
            say({"over": one.over})
        elif one.body["type"] == "n":
            say({"n": one.body["n"], "local": one.local})


def bridge(state: SharedState, name: str, count: int) -> None:
    """Look into the folder called `name` until told to end, and for so many seconds at most."""
    deadline_s = time.monotonic() + count
    crossing = Bridge(state.store, name, host=state.host)
    for _ in until_closed():
        try:
            say(list(crossing.cross().taken))
        except StoreError as error:
            say({"error": error.code})
        if time.monotonic() > deadline_s:
            return


JOBS: dict[str, Callable[[SharedState, str, int], None]] = {
    "update": update, "flow": flow, "publish": publish, "forward": forward, "follow": follow, "attend": attend,
    "bridge": bridge,
}  # fmt: skip


def main() -> None:
    """Do the job that the command line names."""
    job, root, url, name, count = sys.argv[1:]
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    how: dict[str, Any] = {"owner": "worker/agent", "durability": "relaxed", "lock_timeout_ms": 4_000}
    with SharedState.open(root, url=url, folder=root, **how) as state:
        say("ready")
        os.read(0, 1)
        JOBS[job](state, name, int(count))


if __name__ == "__main__":
    main()
