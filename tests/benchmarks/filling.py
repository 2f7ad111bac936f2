"""Many ended tasks at once, behind a store's back: copies of its task `first` under other names."""

from __future__ import annotations

import os
from typing import Any

from sharedstate.files import FileStore
from sharedstate.host import Host
from sharedstate.ids import record_name
from sharedstate_adapters.git import layout
from sharedstate_adapters.git.layout import Stored
from sharedstate_adapters.git.objects import BLOB, Item
from sharedstate_adapters.git.paths import Path as TreePath
from sharedstate_adapters.git.store import GitStore
from sharedstate_adapters.postgres.store import PostgresStore
from sharedstate_adapters.redis.records import Keys
from sharedstate_adapters.redis.store import RedisStore
from tests.benchmarks.table import Broken

_SUFFIX = ".json"


def files(store: FileStore, count: int) -> None:
    """As files, without locks and syncs; the next write indexes them, as after a reboot."""
    folder = os.path.join(store.root.path, "tasks")
    with open(os.path.join(folder, record_name("first") + _SUFFIX), "rb") as file:
        raw = file.read()
    os.unlink(os.path.join(store.root.path, "local", "boot"))
    for number in range(count):
        task = f"T-{number:06d}"
        with open(os.path.join(folder, record_name(task) + _SUFFIX), "xb", opener=_private) as file:
            file.write(raw.replace(b'"first"', f'"{task}"'.encode()))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def redis(url: str, store: RedisStore, count: int) -> None:
    """A thousand fields each time."""
    from redis import Redis

    client: Any = Redis.from_url(url)
    keys = Keys(store.address.prefix)
    raw = client.hget(keys.records("tasks"), "first")
    for first in range(0, count, 1_000):
        names = [f"T-{number}" for number in range(first, min(count, first + 1_000))]
        client.hset(keys.records("tasks"), mapping=dict.fromkeys(names, raw))


def postgres(url: str, store: PostgresStore, count: int) -> None:
    """One statement, and the statistics that autovacuum would make soon."""
    import psycopg

    schema = store.address.schema
    text = f"""INSERT INTO {schema}.records (collection, key, revision, live, value)
    SELECT collection, 'T-' || n, revision, live, value
    FROM {schema}.records, generate_series(1, {count}) n WHERE key = 'first'"""  # noqa: S608 - reason: our own names
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(text.encode())
        connection.execute(f"VACUUM ANALYZE {schema}.records".encode())


def git(store: GitStore, count: int) -> None:
    """Blobs and trees, all in one commit and one push."""
    held = store.get("tasks", "first")
    if held is None:
        raise Broken("the first task is missing")
    state = store._chain.fresh(deadline_s=store._deadline_s())
    changes: dict[TreePath, Item | None] = {}
    for number in range(count):
        key = f"T-{number}"
        stored = Stored(key=key, value=held.value, revision=1, live=None, beat=None)
        oid = store._objects.write(BLOB, layout.encode_record(stored))
        changes[layout.record_path_of("tasks", record_name(key))] = Item(mode=layout.PLAIN_FILE, oid=oid)
    names: dict[str, Any] = {"writer": "fill", "chain": "fill", "count": 1, "subject": "filled", "squash": False}
    commit = store._commits.write(state, changes, **names)
    pushed = store._remote.push(commit, expected=state.commit, deadline_s=Host().monotonic_s() + 600)
    if pushed.fate != "applied":
        raise Broken(f"filling failed: {pushed.why}")
    store.get("tasks", "first")
