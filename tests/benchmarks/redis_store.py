"""Redis: what a claim costs beside the least that a raw client can do (`least`), and what it is made of.

Servers start themselves, with the log synced each second. How it scales is in the section `stores`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from time import perf_counter_ns
from typing import Any
from urllib.parse import urlsplit

from sharedstate import SharedState
from sharedstate.host import Host
from sharedstate.settings import resolve
from sharedstate.store import Decision, Snapshot
from sharedstate.tasks.outcomes import Claimed, Kept, Released
from sharedstate.tasks.service import Tasks
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.redis.store import RedisStore
from tests.benchmarks import work
from tests.benchmarks.bench import OWNER, Bench
from tests.benchmarks.least import LeastRedis
from tests.benchmarks.network import slow_way
from tests.benchmarks.rounds import interleaved
from tests.benchmarks.table import Row
from tests.servers.redis import RedisServer, given_url

_PARTS = 200


class Server:
    """The server that the environment names, or one of our own."""

    def __init__(self) -> None:
        self._own = None if given_url() else RedisServer()
        self.url = given_url() or (self._own.url if self._own else "")

    def stop(self) -> None:
        """End it."""
        if self._own is not None:
            self._own.stop()


def redis_store(url: str, prefix: str) -> RedisStore:
    """A store under a prefix of its own."""
    return RedisStore.from_url(f"{url}?prefix={prefix}", settings=resolve({}, env={}, folder="/"), host=Host())


def redis_client(url: str) -> Any:
    """The client library alone."""
    import redis

    return redis.Redis.from_url(url)


def redis_cycle(bench: Bench) -> Iterator[Row]:
    """Claim, renew, release by one client, beside the raw client; both on one server, taking turns."""
    server = Server()
    try:
        yield from _cycle(bench, server)
        yield from _parts(server)
        yield from _far(bench, server)
        yield from _whole(bench, server)
    finally:
        server.stop()


def _cycle(bench: Bench, server: Server) -> Iterator[Row]:
    store, least = redis_store(server.url, "bench-cycle"), LeastRedis(server.url)

    def put(snapshot: Snapshot) -> Decision[None]:
        return Decision(result=None, write={"n": snapshot.revision})

    measured = interleaved(
        {
            **work.verbs(work.ledger(store)),
            "put": lambda n: store.transact("plain", f"T-{n}", put),
            "append": lambda n: store.append("log", {"n": n}),
            "look": lambda n: store.get("tasks", f"T-{n}"),
            "least claim": lambda n: least.claim(f"T-{n}"),
            "least renew": lambda n: least.renew(f"T-{n}"),
            "least release": lambda n: least.release(f"T-{n}"),
            "least look": lambda n: least.get(f"T-{n}"),
        },
        rounds=bench.choose(full=40, quick=6),
        calls=20,
    )
    yield from work.besides(measured, title="Redis")
    yield work.beside(measured, "put", "least claim", case="Redis store: a transition without a policy")
    yield work.beside(measured, "append", "least claim", case="Redis store: append to a journal")
    yield work.beside(measured, "look", "least look", case="Redis store: get a record", aim=False)


def _parts(server: Server) -> Iterator[Row]:
    """What the figures above are made of: requests, the server's own time for them, the policies without any store."""
    tasks, plain = work.ledger(redis_store(server.url, "bench-parts")), work.ledger(MemoryStore(Host()))
    client = redis_client(server.url)
    verbs: dict[str, Callable[[Tasks, str], object]] = {
        "claim": work.claim,
        "renew": work.renew,
        "release": work.release,
    }
    work.claim(tasks, "first")
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


def _far(bench: Bench, server: Server) -> Iterator[Row]:
    """The same with a network in between."""
    with slow_way(urlsplit(server.url).port or 6379) as port:
        url = f"redis://127.0.0.1:{port}/0"
        client, least = redis_client(url), LeastRedis(url)
        measured = interleaved(
            {
                **work.verbs(work.ledger(redis_store(url, "bench-far"))),
                "ping": lambda _: client.ping(),
                "least claim": lambda n: least.claim(f"F-{n}"),
                "least renew": lambda n: least.renew(f"F-{n}"),
                "least release": lambda n: least.release(f"F-{n}"),
            },
            rounds=bench.choose(full=20, quick=4),
            calls=10,
        )
        yield from work.besides(measured, title="Redis over a network:")
        yield Row(case="control: its round trip (PING)", median_us=measured.median_us("ping"))


def _whole(bench: Bench, server: Server) -> Iterator[Row]:
    """With this machine's own ledger, as `claims` does it."""
    root = os.path.join(bench.folder("redis-whole"), "state")
    url = f"{server.url}?prefix=bench-whole"
    with SharedState.open(root, owner=OWNER, url=url, folder=bench.disk) as state:
        measured = interleaved(
            {
                "claim": lambda n: work.expect(state.claims.claim(f"T-{n}"), Claimed),
                "renew": lambda n: work.expect(state.claims.renew(f"T-{n}"), Kept),
                "release": lambda n: work.expect(state.claims.release(f"T-{n}"), Released),
            },
            rounds=bench.choose(full=10, quick=3),
            calls=10,
        )
    for verb in ("claim", "renew", "release"):
        note = "with this machine's own ledger, on its disk"
        yield Row(case=f"Redis {verb}, both ledgers", median_us=measured.median_us(verb), note=note)
