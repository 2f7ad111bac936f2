"""PostgreSQL: what a claim costs beside the least that a raw client can do (`least`), durable and not, near and far.

The server starts itself, with fsync. How it scales is in the section `stores`.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from sharedstate.host import Host
from sharedstate.settings import resolve
from sharedstate.store import Decision, Snapshot
from sharedstate_adapters.postgres.store import PostgresStore
from tests.benchmarks import work
from tests.benchmarks.bench import Bench
from tests.benchmarks.least import LeastPostgres
from tests.benchmarks.network import slow_way
from tests.benchmarks.rounds import Case, interleaved
from tests.benchmarks.table import Row
from tests.servers.postgres import PostgresServer, given_url


class Server:
    """The server that the environment names, or one of our own."""

    def __init__(self) -> None:
        self._own = None if given_url() else PostgresServer()
        self.url = given_url() or (self._own.url if self._own else "")
        LeastPostgres.prepare(self.url)

    def stop(self) -> None:
        """End it."""
        if self._own is not None:
            self._own.stop()


def postgres_store(url: str, schema: str, *, relaxed: bool = False) -> PostgresStore:
    """A store in a schema of its own."""
    settings = resolve({"durability": "relaxed"} if relaxed else {}, env={}, folder="/")
    return PostgresStore.from_url(f"{url}?schema={schema}", settings=settings, host=Host())


def postgres_cycle(bench: Bench) -> Iterator[Row]:
    """Claim, renew, release by one client, beside the raw client; both on one server, taking turns."""
    server = Server()
    try:
        yield from _cycle(bench, server)
        yield from _relaxed(bench, server)
        yield from _far(bench, server)
    finally:
        server.stop()


def _least(least: LeastPostgres, name: str) -> dict[str, Case]:
    return {
        "least claim": lambda n: least.claim(f"{name}-{n}"),
        "least renew": lambda n: least.renew(f"{name}-{n}"),
        "least release": lambda n: least.release(f"{name}-{n}"),
        "least look": lambda n: least.get(f"{name}-{n}"),
    }


def _cycle(bench: Bench, server: Server) -> Iterator[Row]:
    store = postgres_store(server.url, "bench_cycle")

    def put(snapshot: Snapshot) -> Decision[None]:
        return Decision(result=None, write={"n": snapshot.revision})

    measured = interleaved(
        {
            **work.verbs(work.ledger(store)),
            "put": lambda n: store.transact("plain", f"T-{n}", put),
            "append": lambda n: store.append("log", {"n": n}),
            "look": lambda n: store.get("tasks", f"T-{n}"),
            **_least(LeastPostgres(server.url), "T"),
        },
        rounds=bench.choose(full=40, quick=6),
        calls=20,
    )
    yield from work.besides(measured, title="PostgreSQL")
    yield work.beside(measured, "put", "least claim", case="PostgreSQL store: a transition without a policy")
    yield work.beside(measured, "append", "least claim", case="PostgreSQL store: append to a journal")
    yield work.beside(measured, "look", "least look", case="PostgreSQL store: get a record", aim=False)


def _relaxed(bench: Bench, server: Server) -> Iterator[Row]:
    """Where no commit waits for a disk: what is left is processors."""
    cases = work.verbs(work.ledger(postgres_store(server.url, "bench_relaxed", relaxed=True)))
    cases |= _least(LeastPostgres(server.url, relaxed=True), "R")
    measured = interleaved(cases, rounds=bench.choose(full=20, quick=4), calls=20)
    yield from work.besides(measured, title="PostgreSQL, no disk waited for:")


def _far(bench: Bench, server: Server) -> Iterator[Row]:
    """The same with a network in between."""
    parts = urlsplit(server.url)
    with slow_way(parts.port or 5432) as port:
        url = server.url.replace(f":{parts.port}/", f":{port}/")
        cases = work.verbs(work.ledger(postgres_store(url, "bench_far", relaxed=True)))
        cases |= _least(LeastPostgres(url, relaxed=True), "F")
        measured = interleaved(cases, rounds=bench.choose(full=20, quick=4), calls=10)
        yield from work.besides(measured, title="PostgreSQL over a network, no disk waited for:")
