"""All stores side by side: claims a second with 1, 4 and 8 clients, and what a hundred thousand records change.

A claim here is one with its release, of a task each time, in the shared ledger. Controls: the least that raw clients do
(`least`) in Redis and PostgreSQL, a raw durable write for files, a single row of git commands for git.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from time import perf_counter_ns
from typing import Any

from sharedstate.files import FileStore
from sharedstate.store import Store
from tests.benchmarks import filling, work
from tests.benchmarks.bench import Bench
from tests.benchmarks.crowd_of_stores import together
from tests.benchmarks.git_store import RawGit, bare_remote, git_store
from tests.benchmarks.least import LeastPostgres, LeastRedis
from tests.benchmarks.postgres_store import Server as PostgresHost
from tests.benchmarks.postgres_store import postgres_store
from tests.benchmarks.raw import Floor
from tests.benchmarks.redis_store import Server as RedisHost
from tests.benchmarks.redis_store import redis_store
from tests.benchmarks.rounds import interleaved
from tests.benchmarks.table import Row, at_most

SCALE_RATIO_MAX = 1.3
SMALL = 100
LARGE = 100_000
CLIENTS = (1, 4, 8)
_NOTE = "each claimed and released, a task each time"


def opened(kind: str, place: str, name: str) -> Store:
    """The store of a kind: `place` is its server, remote or folder, `name` is whose it is there."""
    if kind == "Redis":
        return redis_store(place, name)
    if kind == "PostgreSQL":
        return postgres_store(place, name.replace("-", "_"))
    if kind == "git":
        return git_store(place, os.path.join(os.path.dirname(place), "own"))
    return FileStore(os.path.join(place, name))


def side_by_side(bench: Bench) -> Iterator[Row]:
    """Files, Redis, PostgreSQL, git; each alone, one after the other."""
    with ExitStack() as ends:
        redis, postgres = RedisHost(), PostgresHost()
        ends.callback(redis.stop)
        ends.callback(postgres.stop)
        git = bare_remote(bench.folder("git-clients"))
        places = {"files": bench.folder("files"), "Redis": redis.url, "PostgreSQL": postgres.url, "git": git}
        for kind, place in places.items():
            yield from _rates(bench, kind, place)
        places |= {"files": bench.folder("files-many")}
        for kind, place in places.items():
            yield from _many(bench, kind, place)


# Claims a second


def _rates(bench: Bench, kind: str, place: str) -> Iterator[Row]:
    slot_ms = bench.choose(full=4_000, quick=400)
    for count in CLIENTS[1:2] if bench.quick else CLIENTS:
        name = f"rate-{count}"
        store = opened(kind, place, name)
        work.claim(work.ledger(store), "first")  # tables, folders and refs are there
        store.close()
        own = sum(together(_claims, [(kind, place, name, index, slot_ms) for index in range(count)]))
        raw = [] if kind == "git" and count > 1 else [(kind, place, name, index, slot_ms) for index in range(count)]
        least = sum(together(_least_claims, raw)) * 1000 / slot_ms if raw else None
        note = _NOTE if least is None else f"{_NOTE}; least {least:,.0f}/s"
        figure = own * 1000 / slot_ms
        yield Row(case=f"{kind}, {count} processes: claims a second", figure=figure, unit="/s", note=note)


def _claims(kind: str, place: str, name: str, index: int, slot_ms: int) -> int:
    store = opened(kind, place, name)
    done = work.cycles(work.ledger(store), f"{name}/{index}", slot_ms)
    store.close()
    return done


def _least_claims(kind: str, place: str, name: str, index: int, slot_ms: int) -> int:
    claim, release = _least(kind, place, f"raw-{name}-{index}")
    return work.until_over(claim, release, f"{name}/{index}", slot_ms)


def _least(kind: str, place: str, folder: str) -> tuple[Callable[[str, str], None], Callable[[str, str], None]]:
    if kind == "Redis":
        redis = LeastRedis(place)
        return redis.claim, redis.release
    if kind == "PostgreSQL":
        postgres = LeastPostgres(place)
        return postgres.claim, postgres.release
    if kind == "git":
        git = RawGit(os.path.join(os.path.dirname(place), folder))
        change = _counted(git.change)
        return change, change
    floor = Floor(os.path.join(place, folder), b"x" * 600, durable=True)
    change = _counted(floor.replace)
    return change, change


def _counted(change: Callable[[int], None]) -> Callable[[str, str], None]:
    numbers = iter(range(1 << 40))
    return lambda task, owner: change(next(numbers))


# Many records


def _many(bench: Bench, kind: str, place: str) -> Iterator[Row]:
    large = bench.choose(full=LARGE, quick=1_000)
    began_ns = perf_counter_ns()
    small_store, large_store = (_filled(bench, kind, place, count) for count in (SMALL, large))
    filled_s = (perf_counter_ns() - began_ns) / 1e9
    small, big = work.ledger(small_store), work.ledger(large_store)
    for tasks in (small, big):
        work.claim(tasks, "warm-up")
    calls: int = 4 if kind == "git" else 20
    measured = interleaved(
        {
            "small": lambda n: work.claim(small, f"new-{n}"),
            "large": lambda n: work.claim(big, f"new-{n}"),
        },
        rounds=bench.choose(full=20, quick=3),
        calls=calls,
    )
    yield Row(
        case=f"{kind}: claim with {large:,} records",
        figure=measured.ratio("large", to="small"),
        median_us=measured.median_us("large"),
        aim=at_most(SCALE_RATIO_MAX),
        note=f"to one with {SMALL}: {measured.median_us('small'):,.0f} us; filled in {filled_s:.0f} s",
    )
    for live, about in ((True, "the living"), (False, "all")):
        began_ns = perf_counter_ns()
        count = sum(1 for _ in large_store.scan("tasks", live_only=live))
        took_ms = (perf_counter_ns() - began_ns) / 1e6
        yield Row(case=f"{kind}: list of {about}, {count:,} of {large:,}", figure=took_ms, unit="ms")
    for store in (small_store, large_store):
        store.close()


def _filled(bench: Bench, kind: str, place: str, count: int) -> Store:
    """A store with ended tasks."""
    name = f"many-{count}"
    if kind == "git":
        place = bare_remote(bench.folder(f"git-{name}"))
    store = opened(kind, place, name)
    tasks = work.ledger(store)
    work.claim(tasks, "first")
    work.release(tasks, "first")
    fills: dict[str, Callable[[Any, int], None]] = {
        "files": filling.files,
        "Redis": partial(filling.redis, place),
        "PostgreSQL": partial(filling.postgres, place),
        "git": filling.git,
    }
    fills[kind](store, count)
    store.close()
    if kind == "git":
        for repository in (place, os.path.join(os.path.dirname(place), "own", "repository.git")):
            subprocess.run(["git", "-C", repository, "repack", "-adq"], check=True, timeout=600)
    return opened(kind, place, name)
