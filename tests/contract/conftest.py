"""Counts what the contract asks of each store; the run prints the sums."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sharedstate.files.store import FileStore
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.git.store import GitStore
from sharedstate_adapters.github.store import GitHubStore
from sharedstate_adapters.postgres.store import PostgresStore
from sharedstate_adapters.redis.store import RedisStore

STORES: dict[str, type[Any]] = {
    "files": FileStore,
    "git": GitStore,
    "github": GitHubStore,
    "memory": MemoryStore,
    "postgres": PostgresStore,
    "redis": RedisStore,
}
CALLS = ("get", "transact", "scan", "append", "read", "watch", "upkeep", "load_entries", "collections", "journals")


@pytest.fixture(autouse=True)
def _counted(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> Iterator[None]:
    """Calls of the store under test, by whatever thread of this process."""
    name = re.sub(r"^test_|\.py$", "", request.path.name)
    store, made = STORES[name], list[str]()
    for call in CALLS:
        if hasattr(store, call):
            monkeypatch.setattr(store, call, _noting(getattr(store, call), call, made))
    yield
    record_property("operations", (name, len(made)))


def _noting(function: Callable[..., Any], call: str, made: list[str]) -> Callable[..., Any]:
    @functools.wraps(function)
    def noted(*arguments: Any, **named: Any) -> Any:
        made.append(call)
        return function(*arguments, **named)

    return noted
