"""What a server or a role does by habit (isolation, read-only, synchronous commits) changes no promise."""

from __future__ import annotations

import threading
import time
from functools import partial
from uuid import uuid4

import pytest

from sharedstate.store import Decision, Snapshot
from sharedstate.testing.contracts.steps import got, in_threads, writes
from sharedstate_adapters.postgres.store import PostgresStore
from tests.integration.postgres.stores import check_counts, counted_on, postgres_store
from tests.integration.stores.postgres import postgres_url

ISOLATIONS = ("read committed", "repeatable read", "serializable")
PAUSE_S = 0.4
pytestmark = [pytest.mark.slow]


def store_by_habit(schema: str, **habits: str) -> PostgresStore:
    """A store whose sessions have these settings unless a transaction says otherwise."""
    options = "%20".join(f"-c%20{name}={value.replace(' ', '%5C%20')}" for name, value in habits.items())
    return postgres_store(f"{postgres_url()}?schema={schema}" + (f"&options={options}" if options else ""))


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_what_a_decision_saw_still_holds_when_it_is_carried_out(isolation: str) -> None:
    """The server is held up between the beginning of the transaction and the lock: another record changes then."""
    schema = f"h_{uuid4().hex[:12]}"
    judge, store = (
        postgres_store(f"{postgres_url()}?schema={schema}"),
        postgres_store(f"{postgres_url()}?schema={schema}"),
    )
    judge.transact("tasks", "b", writes({"n": 1}))
    store.transact("tasks", "a", writes({"n": 0}))
    began = f"BEGIN ISOLATION LEVEL {isolation}; SELECT pg_sleep({PAUSE_S})"
    store.sql.change = f"{began}; {store.sql.change}; COMMIT"

    def copied(_: Snapshot) -> Decision[int]:
        seen = got(store, "tasks", "b").value["n"]
        return Decision(result=seen, write={"saw": seen})

    copier = threading.Thread(target=lambda: store.transact("tasks", "a", copied))
    copier.start()
    time.sleep(PAUSE_S / 2)
    judge.transact("tasks", "b", writes({"n": 2}))
    changed_at_s = time.monotonic()
    copier.join()
    assert time.monotonic() - changed_at_s > 0.05, "it was carried out after the other record had changed"
    assert got(judge, "tasks", "a").value == {"saw": 2}


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_nothing_is_lost_whatever_the_isolation_of_a_role_is(isolation: str) -> None:
    schema = f"h_{uuid4().hex[:12]}"
    stores = [store_by_habit(schema, default_transaction_isolation=isolation) for _ in range(4)]

    def count(store: PostgresStore) -> None:
        for _ in range(15):
            store.transact("counters", "c", counted_on)
            store.append("log", {"n": 1})

    in_threads([partial(count, store) for store in stores])
    check_counts(stores[0], 60)
    assert [entry.sequence for entry in stores[0].read("log")] == list(range(1, 61))


def test_a_role_that_only_reads_by_habit_may_write() -> None:
    store = store_by_habit(f"h_{uuid4().hex[:12]}", default_transaction_read_only="on")
    assert [store.transact("counters", "c", counted_on) for _ in range(2)] == [1, 2]
    assert store.append("log", {"n": 1}) == 1
    check_counts(store, 2)


@pytest.mark.parametrize("habits", [{}, {"standard_conforming_strings": "off", "backslash_quote": "off"}])
def test_no_text_is_taken_for_a_statement(habits: dict[str, str]) -> None:
    store = store_by_habit(f"h_{uuid4().hex[:12]}", **habits)
    text = "it's \\ and \\' \"q\" $$ %s %% {x} \0 '); DROP TABLE records; --"
    store.transact("tasks", "k'\\", writes({"t": text}, events=[{"t": text}]))
    store.append("log", {"t": text})
    assert got(store, "tasks", "k'\\").value == {"t": text}
    assert [entry.value for journal in ("events", "log") for entry in store.read(journal)] == [{"t": text}] * 2
