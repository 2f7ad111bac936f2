"""Redis: what a claim costs beside the least that a raw client can do, how it scales, and what 100,000 records change.

Servers start themselves, with the log synced each second. "Least" is one Lua compare-and-set of the same bytes by
redis-py, one request: no history, no reasons, no journal, no second try.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier
from time import monotonic_ns, perf_counter_ns
from typing import Any

from sharedstate import SharedState
from sharedstate.host import Host
from sharedstate.ids import digest_of
from sharedstate.settings import resolve
from sharedstate.store import Decision, Snapshot
from sharedstate.tasks.liveness import Rules
from sharedstate.tasks.outcomes import Claimed, Kept, Released
from sharedstate.tasks.policy import ClaimAsk
from sharedstate.tasks.service import Tasks
from sharedstate.tasks.sightings import Sightings
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.redis.records import Keys
from sharedstate_adapters.redis.store import RedisStore
from tests.benchmarks.bench import OWNER, Bench
from tests.benchmarks.rounds import Rounds, interleaved
from tests.benchmarks.table import Broken, Row, at_most
from tests.servers.redis import RedisServer, given_url

RATIO_MAX = 1.5
SCALE_RATIO_MAX = 1.3
SMALL = 100
LARGE = 100_000
CLIENTS = (1, 4, 8)
TTL_MS = 3_600_000
_PARTS = 200
_PATIENCE_S = 60.0
_DIGEST = digest_of("bench")
# The least: is the task free, then it is mine; the same fields, set only if the token is right, or removed.
_CAS = """
local held = redis.call('GET', KEYS[1])
if (held or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


class _Server:
    """The server that the environment names, or one of our own."""

    def __init__(self) -> None:
        self._own = None if given_url() else RedisServer()
        self.url = given_url() or (self._own.url if self._own else "")

    def store(self, prefix: str) -> RedisStore:
        """A store under a prefix of its own."""
        return RedisStore.from_url(f"{self.url}?prefix={prefix}", settings=resolve({}, env={}, folder="/"), host=Host())

    def stop(self) -> None:
        """End it."""
        if self._own is not None:
            self._own.stop()


def _tasks(store: RedisStore) -> Tasks:
    return Tasks(store, host=Host(), rules=Rules(retries_max=1_000), sightings=Sightings(MemoryStore(Host())))


def _ask(task: str, owner: str = OWNER) -> ClaimAsk:
    return ClaimAsk(task=task, owner=owner, digest_new=_DIGEST, ttl_ms=TTL_MS)


def redis_cycle(bench: Bench) -> Iterator[Row]:
    """Claim, renew, release by one client, beside the raw client; both on one server, taking turns."""
    server = _Server()
    try:
        yield from _cycle(bench, server)
        yield from _clients(bench, server)
        yield from _scale(bench, server)
    finally:
        server.stop()


def _cycle(bench: Bench, server: _Server) -> Iterator[Row]:
    store = server.store("bench-cycle")
    tasks, raw = _tasks(store), _Raw(server.url)
    one = b'{"n": 1}'

    def put(snapshot: Snapshot) -> Decision[None]:
        return Decision(result=None, write={"n": snapshot.revision})

    measured = interleaved(
        {
            "claim": lambda n: _expect(tasks.claim(_ask(f"T-{n}")), Claimed),
            "renew": lambda n: _expect(tasks.renew(f"T-{n}", owner=OWNER, digest=_DIGEST), Kept),
            "release": lambda n: _expect(
                tasks.release(f"T-{n}", owner=OWNER, digest=_DIGEST, status="complete"), Released
            ),
            "put": lambda n: store.transact("plain", f"T-{n}", put),
            "append": lambda n: store.append("log", {"n": n}),
            "look": lambda n: store.get("tasks", f"T-{n}"),
            "raw claim": lambda n: raw.change(f"T-{n}", b"", raw.claimed),
            "raw renew": lambda n: raw.change(f"T-{n}", raw.claimed, raw.renewed),
            "raw release": lambda n: raw.change(f"T-{n}", raw.renewed, raw.released),
            "raw get": lambda n: raw.get(f"T-{n}"),
            "raw put": lambda n: raw.change(f"P-{n}", b"", one),
        },
        rounds=bench.choose(full=40, quick=6),
        calls=20,
    )
    for verb in ("claim", "renew", "release"):
        yield _beside(measured, verb, f"raw {verb}", case=f"Redis {verb} (shared ledger)", aim=True)
    yield _beside(measured, "put", "raw put", case="Redis store: look, decide, compare and set", aim=True)
    yield _beside(measured, "append", "raw put", case="Redis store: append to a journal", aim=True)
    yield _beside(measured, "look", "raw get", case="Redis store: get a record", aim=False)
    for verb in ("raw claim", "raw renew", "raw release", "raw get"):
        yield Row(case=f"control: {verb}, redis-py, one request", median_us=measured.median_us(verb))
    yield from _parts(server)
    with SharedState.open(
        os.path.join(bench.folder("redis-whole"), "state"),
        owner=OWNER,
        url=f"{server.url}?prefix=bench-whole",
        folder=bench.disk,
    ) as state:
        whole = interleaved(
            {
                "claim": lambda n: _expect(state.claims.claim(f"T-{n}"), Claimed),
                "renew": lambda n: _expect(state.claims.renew(f"T-{n}"), Kept),
                "release": lambda n: _expect(state.claims.release(f"T-{n}"), Released),
            },
            rounds=bench.choose(full=10, quick=3),
            calls=10,
        )
    for verb in ("claim", "renew", "release"):
        note = "with this machine's own ledger, durable on its disk"
        yield Row(case=f"Redis {verb}, both ledgers", median_us=whole.median_us(verb), note=note)


def _parts(server: _Server) -> Iterator[Row]:
    """What the figures above are made of: requests, the server's own time for them, the policies without any store."""
    tasks = _tasks(server.store("bench-parts"))
    plain = Tasks(MemoryStore(Host()), host=Host(), rules=Rules(retries_max=1_000), sightings=Sightings(MemoryStore()))
    client = _client(server.url)
    verbs: dict[str, Callable[[Tasks, str], object]] = {
        "claim": lambda on, task: on.claim(_ask(task)),
        "renew": lambda on, task: on.renew(task, owner=OWNER, digest=_DIGEST),
        "release": lambda on, task: on.release(task, owner=OWNER, digest=_DIGEST, status="complete"),
    }
    tasks.claim(_ask("first"))
    for verb, act in verbs.items():
        client.config_resetstat()
        for number in range(_PARTS):
            act(tasks, f"T-{number}")
        asked = client.info("commandstats")["cmdstat_evalsha"]
        began_ns = perf_counter_ns()
        for number in range(_PARTS):
            act(plain, f"T-{number}")
        alone_us = (perf_counter_ns() - began_ns) / 1000 / _PARTS
        note = (
            f"the server works {asked['usec'] / _PARTS:.0f} us on them; the policy alone, in memory, {alone_us:.0f} us"
        )
        yield Row(case=f"Redis requests of a {verb}", figure=asked["calls"] / _PARTS, unit="", note=note)


def _beside(measured: Rounds, case_of: str, control: str, *, case: str, aim: bool) -> Row:
    return Row(
        case=case,
        figure=measured.ratio(case_of, to=control),
        median_us=measured.median_us(case_of),
        aim=at_most(RATIO_MAX) if aim else None,
        note=f"to {control} ({measured.median_us(control):.0f} us)",
    )


def _clients(bench: Bench, server: _Server) -> Iterator[Row]:
    slot_ms = bench.choose(full=3_000, quick=700)
    for count in CLIENTS:
        found = _together(_claims, server.url, f"bench-clients-{count}", count, slot_ms)
        raw = _together(_raw_claims, server.url, f"bench-raw-{count}", count, slot_ms)
        ours, theirs = sum(found) * 1000 / slot_ms, sum(raw) * 1000 / slot_ms
        note = f"claim and release in turns, a task each time; raw client {theirs:,.0f}/s"
        yield Row(case=f"Redis, {count} processes: claims and releases a second", figure=ours, unit="/s", note=note)


def _scale(bench: Bench, server: _Server) -> Iterator[Row]:
    large = bench.choose(full=LARGE, quick=5_000)
    small_store, large_store = server.store("bench-small"), server.store("bench-large")
    template = _filled(server, small_store, SMALL)
    _fill(server, large_store, template, large)
    small, big = _tasks(small_store), _tasks(large_store)
    measured = interleaved(
        {
            "small": lambda n: _expect(small.claim(_ask(f"new-{n}")), Claimed),
            "large": lambda n: _expect(big.claim(_ask(f"new-{n}")), Claimed),
        },
        rounds=bench.choose(full=20, quick=5),
        calls=20,
    )
    yield Row(
        case=f"Redis claim with {large:,} records",
        figure=measured.ratio("large", to="small"),
        median_us=measured.median_us("large"),
        aim=at_most(SCALE_RATIO_MAX),
        note=f"to one with {SMALL}: {measured.median_us('small'):.0f} us",
    )
    for live, about in ((True, "live ones"), (False, "all")):
        began_ns = monotonic_ns()
        count = sum(1 for _ in large_store.scan("tasks", live_only=live))
        took_ms = (monotonic_ns() - began_ns) / 1e6
        yield Row(case=f"Redis list of {about}: {count:,} of {large:,}", figure=took_ms, unit="ms")


def _filled(server: _Server, store: RedisStore, count: int) -> bytes:
    """A store with ended tasks; returns the bytes of one."""
    tasks = _tasks(store)
    tasks.claim(_ask("first"))
    tasks.release("first", owner=OWNER, digest=_DIGEST, status="complete")
    client = _client(server.url)
    raw: bytes = client.hget(store.keys.records("tasks"), "first")
    _fill(server, store, raw, count)
    return raw


def _fill(server: _Server, store: RedisStore, raw: bytes, count: int) -> None:
    client, keys = _client(server.url), Keys(store.address.prefix)
    client.sadd(keys.names, "collection tasks")
    for first in range(0, count, 1_000):
        rows = {f"T-{n}": raw.replace(b'"first"', f'"T-{n}"'.encode()) for n in range(first, min(count, first + 1_000))}
        client.hset(keys.records("tasks"), mapping=rows)


class _Raw:
    """The least equivalent, as somebody would write it with the client library alone."""

    def __init__(self, url: str) -> None:
        self._client = _client(url)
        self._cas: Any = self._client.register_script(_CAS)
        record = {"task": "T", "owner": OWNER, "fence": 1, "digest": _DIGEST, "ttl_ms": TTL_MS, "note": "x" * 400}
        self.claimed, self.renewed, self.released = (
            json.dumps({**record, "status": status}).encode() for status in ("claimed", "renewed", "complete")
        )

    def change(self, task: str, expected: bytes, raw: bytes) -> None:
        """One compare-and-set, which must succeed."""
        if self._cas(keys=[f"raw:{task}"], args=[expected, raw]) != 1:
            raise Broken(f"the raw client found another value of {task}")

    def get(self, task: str) -> Any:
        """One look."""
        return self._client.get(f"raw:{task}")


def _client(url: str) -> Any:
    import redis

    return redis.Redis.from_url(url)


def _expect(answer: object, kind: type) -> None:
    if not isinstance(answer, kind):
        raise Broken(f"expected {kind.__name__}, got {answer!r}")


# Many processes

Work = Callable[[str, str, int, int], int]


def _together(work: Work, url: str, prefix: str, count: int, slot_ms: int) -> list[int]:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(count)
    pipes, children = [], []
    for index in range(count):
        mine, theirs = context.Pipe(duplex=False)
        arguments = (work, barrier, url, prefix, index, slot_ms, theirs)
        child = context.Process(target=_child, args=arguments, daemon=True)
        child.start()
        theirs.close()
        pipes.append(mine)
        children.append(child)
    answers: list[int] = [pipe.recv() for pipe in pipes if pipe.poll(_PATIENCE_S)]
    for child in children:
        child.join(_PATIENCE_S)
    if len(answers) < count:
        raise Broken(f"{count - len(answers)} of {count} clients gave no answer")
    return answers


def _child(work: Work, barrier: Barrier, url: str, prefix: str, index: int, slot_ms: int, pipe: Any) -> None:
    barrier.wait(_PATIENCE_S)
    pipe.send(work(url, prefix, index, slot_ms))
    pipe.close()


def _claims(url: str, prefix: str, index: int, slot_ms: int) -> int:
    settings = resolve({}, env={}, folder="/")
    tasks = _tasks(RedisStore.from_url(f"{url}?prefix={prefix}", settings=settings, host=Host()))
    owner, changes = f"bench/{index}", 0
    until_ns = monotonic_ns() + slot_ms * 1_000_000
    while monotonic_ns() < until_ns:
        task = f"P-{index}-{changes}"
        _expect(tasks.claim(_ask(task, owner)), Claimed)
        _expect(tasks.release(task, owner=owner, digest=_DIGEST, status="complete"), Released)
        changes += 2
    return changes


def _raw_claims(url: str, prefix: str, index: int, slot_ms: int) -> int:
    raw, changes = _Raw(url), 0
    until_ns = monotonic_ns() + slot_ms * 1_000_000
    while monotonic_ns() < until_ns:
        task = f"{prefix}-{index}-{changes}"
        raw.change(task, b"", raw.claimed)
        raw.change(task, raw.claimed, raw.released)
        changes += 2
    return changes
