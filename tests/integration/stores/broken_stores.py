"""Stores that break one promise each, for tests of the self-test; as a program, one of its processes on such a store.

python broken_stores.py NAME ROOT
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from itertools import count
from typing import Any

from sharedstate.host import Host
from sharedstate.proving.peer import main
from sharedstate.store import BEAT, Decision, Snapshot
from sharedstate_adapters.redis.store import RedisStore

_TRANSACT, _APPEND, _NOW, _WATCH = RedisStore.transact, RedisStore.append, RedisStore.now, RedisStore.watch

_LOOKS = count()


def loses_updates(store: RedisStore, collection: str, key: str, decide: Callable[..., Any], **more: Any) -> Any:
    """Decides upon an older look, and writes whatever has come in between."""
    held = store.get(collection, key)
    value, revision = (None, 0) if held is None else (held.value, held.revision)
    decision = decide(Snapshot(value=value, revision=revision, beat=None, now=store.now()))
    time.sleep(0.002)
    return _TRANSACT(store, collection, key, lambda _: decision, **more)


def does_twice(store: RedisStore, collection: str, key: str, decide: Callable[..., Any], **more: Any) -> Any:
    """Sends each change again, as who takes a lost answer for a refusal."""
    _TRANSACT(store, collection, key, decide, **more)
    return _TRANSACT(store, collection, key, decide, **more)


def forgets_events(store: RedisStore, collection: str, key: str, decide: Callable[..., Any], **more: Any) -> Any:
    """Writes records, and no events."""
    return _TRANSACT(store, collection, key, lambda seen: decide(seen).replace(events=()), **more)


def rounds_numbers(store: RedisStore, collection: str, key: str, decide: Callable[..., Any], **more: Any) -> Any:
    """Keeps every number as a float, as a database's own JSON may."""

    def rounded(seen: Snapshot) -> Decision[Any]:
        decision: Decision[Any] = decide(seen)
        if not isinstance(decision.write, dict) or "one" not in decision.write:
            return decision
        return decision.replace(write={**decision.write, "one": 1.0})

    return _TRANSACT(store, collection, key, rounded, **more)


def ignores_beats(store: RedisStore, collection: str, key: str, decide: Callable[..., Any], **more: Any) -> Any:
    """Takes no sign of life."""

    def deaf(seen: Snapshot) -> Decision[Any]:
        decision: Decision[Any] = decide(seen)
        return Decision(result=decision.result) if decision.write is BEAT else decision

    return _TRANSACT(store, collection, key, deaf, **more)


def miscounts(store: RedisStore, journal: str, value: dict[str, Any]) -> int:
    """Tells the sequence of the next entry."""
    return _APPEND(store, journal, value) + 1


def clock_goes_back(store: RedisStore) -> Any:
    """A clock that is set back now and then."""
    now = _NOW(store)
    return now.replace(at_ms=now.at_ms - 40 * (next(_LOOKS) % 2))


def hears_nothing(store: RedisStore, journal: str, *, after: int, timeout_s: float) -> bool:
    """Says of nothing that it has come."""
    del store, journal, after, timeout_s
    return False


def hears_late(store: RedisStore, journal: str, *, after: int, timeout_s: float) -> bool:
    """Looks once a second, instead of being told."""
    time.sleep(1.0)
    return _WATCH(store, journal, after=after, timeout_s=timeout_s)


def forgets_no_trial(store: RedisStore, name: str) -> None:
    """Leaves everything."""


BROKEN: dict[str, tuple[str, Callable[..., Any]]] = {
    "loses_updates": ("transact", loses_updates),
    "does_twice": ("transact", does_twice),
    "forgets_events": ("transact", forgets_events),
    "rounds_numbers": ("transact", rounds_numbers),
    "ignores_beats": ("transact", ignores_beats),
    "miscounts": ("append", miscounts),
    "clock_goes_back": ("now", clock_goes_back),
    "hears_nothing": ("watch", hears_nothing),
    "hears_late": ("watch", hears_late),
    "forgets_no_trial": ("forget_trial", forgets_no_trial),
}

if __name__ == "__main__":
    method, made = BROKEN[sys.argv[1]]
    setattr(RedisStore, method, made)
    main(Host(), sys.argv[2])
