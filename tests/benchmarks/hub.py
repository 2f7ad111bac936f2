"""The hub: how long until an update in one process is seen by a subscriber in another, with hints and without."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from threading import Thread
from typing import Any
from urllib.parse import quote

from sharedstate import SharedState
from sharedstate.host import Host
from sharedstate.hub.service import Hub
from sharedstate.values import Value
from tests.benchmarks.bench import Bench, environment
from tests.benchmarks.table import Broken, Row, at_most
from tests.servers.postgres import PostgresServer
from tests.servers.postgres import given_url as postgres_given
from tests.servers.redis import RedisServer
from tests.servers.redis import given_url as redis_given

P99_MAX_MS = 1_000.0
POLL_S = 0.5
GIT_POLL_S = 1.0  # its default: it has no hints between machines, it asks the remote
SLACK_MS = 100.0  # the time of the look itself, on a busy machine
PACE_S = 0.01
LOADERS = 2
SEEN_S_MAX = 1.0  # one update and what it takes to see it, so that a run is bounded


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


class _Shared(Value):
    """Where the three processes and the reader meet. `polls`: without hints between machines."""

    name: str
    url: str
    folder: str
    count: int
    polls: bool = False


def propagation(bench: Bench) -> Iterator[Row]:
    """Updates of one process, each seen by this one; two more processes update agents of their own meanwhile.

    The time is from before an update was made to when the subscriber has it.
    """
    count = bench.choose(full=1_000, quick=40)
    folder = bench.folder("hub-files", memory=True)
    yield from _rows(_Shared(name="files", url=f"file://{folder}/shared", folder=folder, count=count))
    for name, server, given in (("redis", RedisServer, redis_given()), ("postgres", PostgresServer, postgres_given())):
        own = None if given else server()
        url = _separate(name, given or (own.url if own else ""))
        try:
            yield from _rows(_Shared(name=name, url=url, folder=bench.folder(f"hub-{name}", memory=True), count=count))
        finally:
            if own is not None:
                own.stop()
    folder = bench.folder("hub-git")
    subprocess.run(["git", "init", "--quiet", "--bare", f"{folder}/remote.git"], check=True, timeout=60)
    url = f"git+ref:///state?remote={quote(f'{folder}/remote.git', safe='')}"
    yield from _rows(_Shared(name="git", url=url, folder=folder, count=bench.choose(full=1_000, quick=20), polls=True))


def _separate(name: str, url: str) -> str:
    """A part of the server that is nobody else's."""
    word = f"prefix=bench-hub-{os.getpid()}" if name == "redis" else f"schema=bench_hub_{os.getpid()}"
    return f"{url}{'&' if '?' in url else '?'}{word}"


def _rows(shared: _Shared) -> Iterator[Row]:
    if shared.polls:
        way = f"no hints, the remote asked each {GIT_POLL_S:.0f} s"
        yield from _figures(shared, way, hints=True, bound_ms=GIT_POLL_S * 1000 + SLACK_MS)
        return
    yield from _figures(shared, "with hints", hints=True, bound_ms=P99_MAX_MS)
    bound_ms = POLL_S * 1000 + SLACK_MS
    yield from _figures(shared, f"all hints dropped, a look each {POLL_S} s", hints=False, bound_ms=bound_ms)


def _figures(shared: _Shared, way: str, *, hints: bool, bound_ms: float) -> Iterator[Row]:
    taken = _measured(shared, hints=hints)
    known = {"made": sorted(one[0] for one in taken), "acknowledged": sorted(one[1] for one in taken)}
    for since in ("made", "acknowledged") if shared.polls else ("made",):
        at = known[since]
        p50, p99 = (at[len(at) * share // 100] for share in (50, 99))
        note = f"{len(at):,} updates of one process, {LOADERS} others update meanwhile; greatest {at[-1]:.0f} ms"
        case = f"{shared.name}, {way}" + (f", since {since}" if shared.polls else "")
        yield Row(case=f"{case}: p50", figure=p50, unit="ms", note=note)
        aim = at_most(bound_ms) if not shared.polls or since == "acknowledged" else None
        yield Row(case=f"{case}: p99", figure=p99, unit="ms", aim=aim)


def _measured(shared: _Shared, *, hints: bool) -> list[tuple[float, float]]:
    """Milliseconds until the subscriber has each update: from before it was made, and from its acknowledgement."""
    url, folder, count = shared.url, shared.folder, shared.count
    words = [sys.executable, "-m", "tests.benchmarks.hub", url]
    kind, patience_s = "hints" if hints else "deaf", 60 + count * SEEN_S_MAX
    with SharedState.open(f"{folder}/reader", url=url, owner="reader/agent", folder=folder) as state:
        store: Any = state.store if hints else Deaf(state.store)
        hub = Hub(shared=store, local=store, host=Host(), writer="reader")
        hub.update("reader", {"ready": kind})
        events = hub.subscribe("now", poll_s=GIT_POLL_S if shared.polls else POLL_S, timeout_s=patience_s)
        seen: dict[int, float] = {}
        reader = Thread(target=_read, args=(events, seen, count), daemon=True)
        reader.start()
        loaders = [_child([*words, f"{folder}/load-{n}", f"load-{kind}-{n}", "0"]) for n in range(LOADERS)]
        try:
            time.sleep(0.5)
            writer = _child([*words, f"{folder}/writer", f"writer-{kind}", str(count)])
            out, _ = writer.communicate(timeout=patience_s)
            reader.join(timeout=10 + POLL_S)
        finally:
            for loader in loaders:
                loader.kill()
                loader.communicate()
    made = {int(number): (float(at), float(done)) for number, at, done in (line.split() for line in out.splitlines())}
    if len(made) != count or seen.keys() != made.keys():
        raise Broken(f"{len(seen)} of {count} updates were seen")
    return [((seen[n] - at) * 1000, max(0.0, seen[n] - done) * 1000) for n, (at, done) in made.items()]


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
                print(made.version.number, began_s, time.monotonic(), flush=True)
            time.sleep(PACE_S)


if __name__ == "__main__":
    _update(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
