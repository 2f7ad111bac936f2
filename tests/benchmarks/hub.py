"""The hub: how long until an update in one process is seen by a subscriber in another, with hints and without."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from threading import Thread
from typing import Any

from sharedstate import SharedState
from sharedstate.host import Host
from sharedstate.hub.service import Hub
from tests.benchmarks.bench import Bench, environment
from tests.benchmarks.table import Broken, Row, at_most
from tests.servers.redis import RedisServer, given_url

P99_MAX_MS = 1_000.0
POLL_S = 0.5
SLACK_MS = 100.0  # the time of the look itself, on a busy machine
PACE_S = 0.01
LOADERS = 2
_PATIENCE_S = 120.0


class Deaf:
    """A store whose hints are all dropped: a watch waits to its end and has seen nothing."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def watch(self, journal: str, *, after: int, timeout_s: float) -> bool:
        """Nothing, whatever happens."""
        del journal, after
        time.sleep(timeout_s)
        return False


def propagation(bench: Bench) -> Iterator[Row]:
    """Updates of one process, each seen by this one; two more processes update agents of their own meanwhile."""
    count = bench.choose(full=1_000, quick=60)
    folder = bench.folder("hub-files", memory=True)
    yield from _store("files", f"file://{folder}/shared", folder, count=count)
    server = None if given_url() else RedisServer()
    url = given_url() or (server.url if server else "")
    try:
        folder = bench.folder("hub-redis", memory=True)
        yield from _store("redis", f"{url}?prefix=bench-hub-{os.getpid()}", folder, count=count)
    finally:
        if server is not None:
            server.stop()


def _store(name: str, url: str, folder: str, *, count: int) -> Iterator[Row]:
    for hints in (True, False):
        taken = _measured(url, folder, count=count, hints=hints)
        taken.sort()
        p50, p99 = (taken[len(taken) * share // 100] for share in (50, 99))
        way = "with hints" if hints else f"all hints dropped, a look each {POLL_S} s"
        note = f"{count:,} updates of one process, {LOADERS} others update meanwhile; greatest {taken[-1]:.0f} ms"
        yield Row(case=f"{name}, {way}: p50", figure=p50, unit="ms", note=note)
        bound = P99_MAX_MS if hints else POLL_S * 1000 + SLACK_MS
        yield Row(case=f"{name}, {way}: p99", figure=p99, unit="ms", aim=at_most(bound))


def _measured(url: str, folder: str, *, count: int, hints: bool) -> list[float]:
    """Milliseconds of each update, from before it was made to when the subscriber has it."""
    words = [sys.executable, "-m", "tests.benchmarks.hub", url]
    kind = "hints" if hints else "deaf"
    with SharedState.open(f"{folder}/reader", url=url, owner="reader/agent", folder=folder) as state:
        store: Any = state.store if hints else Deaf(state.store)
        hub = Hub(shared=store, local=store, host=Host(), writer="reader")
        hub.update("reader", {"ready": kind})
        events = hub.subscribe("now", poll_s=POLL_S, timeout_s=_PATIENCE_S)
        seen: dict[int, float] = {}
        reader = Thread(target=_read, args=(events, seen, count), daemon=True)
        reader.start()
        loaders = [_child([*words, f"{folder}/load-{n}", f"load-{kind}-{n}", "0"]) for n in range(LOADERS)]
        try:
            time.sleep(0.5)
            writer = _child([*words, f"{folder}/writer", f"writer-{kind}", str(count)])
            out, _ = writer.communicate(timeout=_PATIENCE_S)
            reader.join(timeout=10 + POLL_S)
        finally:
            for loader in loaders:
                loader.kill()
                loader.communicate()
    made = {int(number): float(at) for number, at in (line.split() for line in out.splitlines())}
    if len(made) != count or seen.keys() != made.keys():
        raise Broken(f"{len(seen)} of {count} updates were seen")
    return [(seen[number] - at) * 1000 for number, at in made.items()]


def _read(events: Any, seen: dict[int, float], count: int) -> None:
    for one in events:
        body = getattr(one, "body", {})
        if str(body.get("agent")).startswith("writer-"):
            seen[int(body["number"])] = time.monotonic()
            if len(seen) == count:
                return


def _child(words: list[str]) -> subprocess.Popen[str]:
    known = environment(PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=known)


def _update(url: str, root: str, agent: str, count: int) -> None:
    """The other process: `count` updates at a pace, with the moment of each; 0: until it is killed."""
    with SharedState.open(root, url=url, owner="writer/agent", folder=os.path.dirname(root)) as state:
        number = 0
        while not count or number < count:
            number += 1
            began_s = time.monotonic()
            made = state.hub.update(agent, {"n": number, "text": "x" * 100}, status="working")
            if count:
                print(made.version.number, began_s, flush=True)
            time.sleep(PACE_S)


if __name__ == "__main__":
    _update(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
