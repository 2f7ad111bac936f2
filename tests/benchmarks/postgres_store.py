"""PostgreSQL: what a claim costs beside the least that a raw client can do, how it scales, what 100,000 records change.

The server starts itself, with fsync. "Least" is one transaction by psycopg with prepared statements: read the row FOR
UPDATE, decide, write the same bytes, log one entry under the next number of a journal; no history, no reasons, no
nonce, no hint, no time-outs. "One statement" is an upsert of the same bytes: no decision and no journal either.
"""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.synchronize import Barrier
from time import monotonic_ns
from typing import Any

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
from sharedstate_adapters.postgres.store import PostgresStore
from tests.benchmarks.bench import OWNER, Bench
from tests.benchmarks.rounds import Rounds, interleaved
from tests.benchmarks.table import Broken, Row, at_most
from tests.servers.postgres import PostgresServer, given_url

RATIO_MAX = 1.5
SCALE_RATIO_MAX = 1.3
SMALL = 100
LARGE = 100_000
CLIENTS = (1, 4, 8)
TTL_MS = 3_600_000
_PATIENCE_S = 60.0
_DIGEST = digest_of("bench")
_RAW_TABLES = b"""CREATE TABLE IF NOT EXISTS public.raw_claims (task text PRIMARY KEY, value text NOT NULL);
CREATE TABLE IF NOT EXISTS public.raw_heads (name text PRIMARY KEY, last bigint NOT NULL);
CREATE TABLE IF NOT EXISTS public.raw_log (sequence bigint PRIMARY KEY, value text NOT NULL);
INSERT INTO public.raw_heads VALUES ('events', 0) ON CONFLICT DO NOTHING"""


class _Server:
    """The server that the environment names, or one of our own."""

    def __init__(self) -> None:
        self._own = None if given_url() else PostgresServer()
        self.url = given_url() or (self._own.url if self._own else "")

    def store(self, schema: str) -> PostgresStore:
        """A store in a schema of its own."""
        return _store(self.url, schema)

    def stop(self) -> None:
        """End it."""
        if self._own is not None:
            self._own.stop()


def _store(url: str, schema: str) -> PostgresStore:
    settings = resolve({}, env={}, folder="/")
    return PostgresStore.from_url(f"{url}?schema={schema}", settings=settings, host=Host())


def _tasks(store: PostgresStore) -> Tasks:
    return Tasks(store, host=Host(), rules=Rules(retries_max=1_000), sightings=Sightings(MemoryStore(Host())))


def _ask(task: str, owner: str = OWNER) -> ClaimAsk:
    return ClaimAsk(task=task, owner=owner, digest_new=_DIGEST, ttl_ms=TTL_MS)


def postgres_cycle(bench: Bench) -> Iterator[Row]:
    """Claim, renew, release by one client, beside the raw client; then many clients, then many records."""
    server = _Server()
    try:
        yield from _cycle(bench, server)
        yield from _clients(bench, server)
        yield from _scale(bench, server)
    finally:
        server.stop()


def _cycle(bench: Bench, server: _Server) -> Iterator[Row]:
    store, raw = server.store("bench_cycle"), _Raw(server.url)
    tasks = _tasks(store)

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
            "least claim": lambda n: raw.change(f"T-{n}", None, raw.claimed),
            "least renew": lambda n: raw.beat(f"T-{n}"),
            "least release": lambda n: raw.change(f"T-{n}", raw.claimed, raw.released),
            "least get": lambda n: raw.get(f"T-{n}"),
            "one statement": lambda n: raw.upsert(f"U-{n}", raw.claimed),
        },
        rounds=bench.choose(full=40, quick=6),
        calls=20,
    )
    for verb in ("claim", "renew", "release"):
        yield _beside(measured, verb, f"least {verb}", case=f"PostgreSQL {verb} (shared ledger)", aim=True)
    yield _beside(measured, "put", "least claim", case="PostgreSQL store: lock, look, decide, write", aim=True)
    yield _beside(measured, "append", "least claim", case="PostgreSQL store: append to a journal", aim=True)
    yield _beside(measured, "look", "least get", case="PostgreSQL store: get a record", aim=False)
    yield _beside(measured, "claim", "one statement", case="PostgreSQL claim, to one upsert alone", aim=False)


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
        server.store(f"bench_clients_{count}").migrate(plan=False)
        found = _together(_claims, server.url, f"bench_clients_{count}", count, slot_ms)
        raw = _together(_raw_claims, server.url, f"raw-{count}", count, slot_ms)
        ours, theirs = sum(found) * 1000 / slot_ms, sum(raw) * 1000 / slot_ms
        note = f"claim and release in turns, a task each time; least {theirs:,.0f}/s"
        yield Row(
            case=f"PostgreSQL, {count} processes: claims and releases a second", figure=ours, unit="/s", note=note
        )


def _scale(bench: Bench, server: _Server) -> Iterator[Row]:
    large = bench.choose(full=LARGE, quick=5_000)
    stores = {"small": server.store("bench_small"), "large": server.store("bench_large")}
    tasks = {name: _tasks(store) for name, store in stores.items()}
    for name, count in (("small", SMALL), ("large", large)):
        tasks[name].claim(_ask("first"))
        tasks[name].release("first", owner=OWNER, digest=_DIGEST, status="complete")
        _fill(server.url, f"bench_{name}", count)
    measured = interleaved(
        {
            "small": lambda n: _expect(tasks["small"].claim(_ask(f"new-{n}")), Claimed),
            "large": lambda n: _expect(tasks["large"].claim(_ask(f"new-{n}")), Claimed),
        },
        rounds=bench.choose(full=20, quick=5),
        calls=20,
    )
    yield Row(
        case=f"PostgreSQL claim with {large:,} records",
        figure=measured.ratio("large", to="small"),
        median_us=measured.median_us("large"),
        aim=at_most(SCALE_RATIO_MAX),
        note=f"to one with {SMALL}: {measured.median_us('small'):.0f} us",
    )
    for live, about in ((True, "live ones"), (False, "all")):
        began_ns = monotonic_ns()
        count = sum(1 for _ in stores["large"].scan("tasks", live_only=live))
        took_ms = (monotonic_ns() - began_ns) / 1e6
        yield Row(case=f"PostgreSQL list of {about}: {count:,} of {large:,}", figure=took_ms, unit="ms")


def _fill(url: str, schema: str, count: int) -> None:
    text = f"""INSERT INTO {schema}.records (collection, key, revision, live, value)
    SELECT collection, 'T-' || n, revision, live, replace(value, '"first"', '"T-' || n || '"')
    FROM {schema}.records, generate_series(1, {count}) n WHERE key = 'first'"""  # noqa: S608 - reason: our own names
    with _connection(url) as connection:
        connection.execute(text.encode())
        connection.execute(f"VACUUM ANALYZE {schema}.records".encode())


class _Raw:
    """The least equivalent, as somebody would write it with the client library alone."""

    def __init__(self, url: str) -> None:
        self._connection = _connection(url)
        self._connection.execute(_RAW_TABLES)
        record = {"task": "T", "owner": OWNER, "fence": 1, "digest": _DIGEST, "ttl_ms": TTL_MS, "note": "x" * 400}
        self.claimed, self.released = (json.dumps({**record, "status": status}) for status in ("claimed", "complete"))
        self._event = json.dumps({"type": "claimed", "task": "T", "owner": OWNER, "fence": 1})

    def change(self, task: str, expected: str | None, value: str) -> None:
        """One transaction, which must find what is expected."""
        connection = self._connection
        with connection.transaction():
            query = "SELECT value FROM raw_claims WHERE task = %s FOR UPDATE"
            held = connection.execute(query, (task,)).fetchone()
            if (held[0] if held else None) != expected:
                raise Broken(f"the raw client found another value of {task}")
            if held:
                connection.execute("UPDATE raw_claims SET value = %s WHERE task = %s", (value, task))
            else:
                connection.execute("INSERT INTO raw_claims VALUES (%s, %s)", (task, value))
            query = "UPDATE raw_heads SET last = last + 1 WHERE name = 'events' RETURNING last"
            [last] = connection.execute(query).fetchone()
            connection.execute("INSERT INTO raw_log VALUES (%s, %s)", (last, self._event))

    def beat(self, task: str) -> None:
        """Read and rewrite, without a wait for the disk and without an entry."""
        connection = self._connection
        with connection.transaction():
            connection.execute("SET LOCAL synchronous_commit = off")
            query = "SELECT value FROM raw_claims WHERE task = %s FOR UPDATE"
            [value] = connection.execute(query, (task,)).fetchone()
            connection.execute("UPDATE raw_claims SET value = %s WHERE task = %s", (value, task))

    def upsert(self, task: str, value: str) -> None:
        """One statement."""
        query = "INSERT INTO raw_claims VALUES (%s, %s) ON CONFLICT (task) DO UPDATE SET value = excluded.value"
        self._connection.execute(query, (task, value))

    def get(self, task: str) -> Any:
        """One look."""
        return self._connection.execute("SELECT value FROM raw_claims WHERE task = %s", (task,)).fetchone()


def _connection(url: str) -> Any:
    import psycopg

    return psycopg.connect(url, autocommit=True)


def _expect(answer: object, kind: type) -> None:
    if not isinstance(answer, kind):
        raise Broken(f"expected {kind.__name__}, got {answer!r}")


# Many processes

Work = Callable[[str, str, int, int], int]


def _together(work: Work, url: str, name: str, count: int, slot_ms: int) -> list[int]:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(count)
    pipes, children = [], []
    for index in range(count):
        mine, theirs = context.Pipe(duplex=False)
        arguments = (work, barrier, url, name, index, slot_ms, theirs)
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


def _child(work: Work, barrier: Barrier, url: str, name: str, index: int, slot_ms: int, pipe: Any) -> None:
    barrier.wait(_PATIENCE_S)
    pipe.send(work(url, name, index, slot_ms))
    pipe.close()


def _claims(url: str, name: str, index: int, slot_ms: int) -> int:
    tasks = _tasks(_store(url, name))
    owner, changes = f"bench/{index}", 0
    until_ns = monotonic_ns() + slot_ms * 1_000_000
    while monotonic_ns() < until_ns:
        task = f"P-{index}-{changes}"
        _expect(tasks.claim(_ask(task, owner)), Claimed)
        _expect(tasks.release(task, owner=owner, digest=_DIGEST, status="complete"), Released)
        changes += 2
    return changes


def _raw_claims(url: str, name: str, index: int, slot_ms: int) -> int:
    raw, changes = _Raw(url), 0
    until_ns = monotonic_ns() + slot_ms * 1_000_000
    while monotonic_ns() < until_ns:
        task = f"{name}-{index}-{changes}"
        raw.change(task, None, raw.claimed)
        raw.change(task, raw.claimed, raw.released)
        changes += 2
    return changes
