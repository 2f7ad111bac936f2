"""Stores on a server of the test's own choosing, what is done behind their back, what is certain of the state."""

from __future__ import annotations

from typing import Any

import psycopg

from sharedstate.host import Host
from sharedstate.settings import resolve
from sharedstate.store import Decision, Document, Snapshot, Store
from sharedstate_adapters.postgres.store import PostgresStore


def postgres_store(url: str, *, host: Host | None = None, **settings: Any) -> PostgresStore:
    """The store of a URL, with settings by name and nothing from the environment."""
    return PostgresStore.from_url(url, settings=resolve(settings, env={}, folder="/"), host=host or Host())


def rows(url: str, text: str, *values: Any, schema: str = "") -> list[tuple[Any, ...]]:
    """What the server answers to one statement; `{}` in it is the schema."""
    with psycopg.connect(url.partition("?")[0], autocommit=True) as connection:
        statement = text.replace("{}", f'"{schema}"') if schema else text
        cursor = connection.execute(statement.encode(), values or None)
        return cursor.fetchall() if cursor.description else []


def counted_on(snapshot: Snapshot) -> Decision[int]:
    """Count in the record, alive, with an event; the result is the new count."""
    count = (0 if snapshot.value is None else int(snapshot.value["count"])) + 1
    events: tuple[Document, ...] = ({"count": count},)
    return Decision(result=count, write={"count": count}, live=count, events=events)


def check_counts(store: Store, count: int, *, key: str = "c") -> None:
    """The record says `count`, was written so often, and the journal tells each count once, in order."""
    held = store.get("counters", key)
    told = (0, {"count": 0}) if held is None else (held.revision, held.value)
    assert told == (count, {"count": count})
    entries = [entry for entry in store.read("events") if entry.record.startswith(f"counters/{key}@")]
    assert [entry.value["count"] for entry in entries] == list(range(1, count + 1))
    sequences = [entry.sequence for entry in store.read("events")]
    assert sequences == list(range(1, len(sequences) + 1))
