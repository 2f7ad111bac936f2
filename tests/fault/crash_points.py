"""The writing operations of the store, played on a real disk with one fault at one file call."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from sharedstate.errors import DurabilityUnknown, StoreError
from sharedstate.files import FileStore
from sharedstate.host import Host
from sharedstate.store import BEAT, DELETE, Decision, Document, Snapshot, Versioned
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.faults import Crashed, FaultHost, Plan

Operation = Callable[[FileStore], object]
LOCK_TIMEOUT_S = 2.0


def writes(number: int, *, live: int | None) -> Callable[[Snapshot], Decision[None]]:
    event: Document = {"type": "claimed", "task": "T", "n": number}
    document: Document = {"n": number, "twin": number, "pad": "x" * 600}
    return lambda _: Decision(result=None, write=document, live=live, events=(event,))


def creates(store: FileStore) -> None:
    store.transact("tasks", "new", writes(1, live=1))


def updates(store: FileStore) -> None:
    store.transact("tasks", "old", writes(2, live=2))


def deletes(store: FileStore) -> None:
    store.transact(
        "tasks", "old", lambda _: Decision(result=None, write=DELETE, events=({"type": "archived", "n": 9},))
    )


def beats(store: FileStore) -> None:
    store.transact("tasks", "old", lambda _: Decision(result=None, write=BEAT, live=1))


def appends(store: FileStore) -> None:
    store.append("events", {"type": "claimed", "n": 7})


OPERATIONS: tuple[Operation, ...] = (creates, updates, deletes, beats, appends)


class Stage:
    """A root with one live record and one journal entry; each play happens on a fresh copy of it."""

    def __init__(self, folder: Path, operation: Operation) -> None:
        self.operation = operation
        self._origin = folder / "origin"
        self._folder = folder
        self._played = 0
        before = FileStore(str(self._origin / "state"), host=FakeHost())
        before.transact("tasks", "old", writes(1, live=1))
        before.close()
        self.old = self._seen(self._origin / "state")
        operation(FileStore(str(self._copy()), host=FakeHost()))
        self.new = self._seen(self._last())

    def calls(self) -> list[str]:
        """The file calls of the operation in a fresh process."""
        host = FaultHost(FakeHost())
        store = FileStore(str(self._copy()), host=host)
        self.operation(store)
        names = [call.operation for call in host.calls]
        store.close()
        return names

    def play(self, plan: Plan) -> str:
        """One play; what the caller was told (`done`, `refused`, `unknown`, `dead`), after all checks."""
        root = self._copy()
        host = FaultHost(FakeHost(), plan)
        store = FileStore(str(root), host=host, lock_timeout_s=LOCK_TIMEOUT_S)
        told = self._told(store)
        if host.crashed:
            told = "dead"  # in a finalizer, which cannot pass it on
        seen = self._seen(root)
        assert seen in (self.old, self.new), "neither the old nor the new state"
        if told == "done":
            assert seen == self.new, "acknowledged, and not there"
        if told == "refused":
            assert seen == self.old, "raised an error, and happened all the same"
        host.plan = None
        if told != "dead":
            _goes_on(store)
            store.close()
            del store
            assert host.descriptor_count() == 0, "a descriptor leaks"
        _goes_on(FileStore(str(root), host=FakeHost(seed=self._played), lock_timeout_s=LOCK_TIMEOUT_S))
        return told

    def _told(self, store: FileStore) -> str:
        try:
            self.operation(store)
        except Crashed:
            return "dead"
        except DurabilityUnknown:
            return "unknown"
        except StoreError:
            return "refused"
        return "done"

    def _copy(self) -> Path:
        self._played += 1
        shutil.copytree(self._origin, self._folder / str(self._played))
        return self._last()

    def _last(self) -> Path:
        return self._folder / str(self._played) / "state"

    def _seen(self, root: Path) -> object:
        """The records as any reader sees them; the journal may still be late, so it counts only for a plain append."""
        store = FileStore(str(root), host=FakeHost())
        items = list(store.scan("tasks"))
        assert all(isinstance(item, Versioned) for item in items), f"torn: {items}"
        records = {item.key: (item.value, item.revision) for item in items if isinstance(item, Versioned)}
        assert all(value["n"] == value["twin"] for value, _ in records.values()), "torn"
        entries = [entry.value["n"] for entry in store.read("events")] if self.operation is appends else []
        store.close()
        return records, entries


def _goes_on(store: FileStore) -> None:
    """The next operation on the same record and on the journal works, and finds the books complete."""
    for key in ("old", "new"):
        store.transact("tasks", key, lambda _: Decision(result=None))  # repairs what was left
        held = store.get("tasks", key)
        if held is not None:
            record = f"tasks/{key}@{held.revision}"
            told = [entry.value["n"] for entry in store.read("events") if entry.record == record]
            assert told.count(held.value["n"]) == 1, f"{record} is told {told} by the journal"
    live = {item.key for item in store.scan("tasks", live_only=True) if isinstance(item, Versioned)}
    every = {item.key for item in store.scan("tasks") if isinstance(item, Versioned)}
    assert live == every, "all records of these plays are live"
    entries = [entry.sequence for entry in store.read("events")]
    assert entries == list(range(1, len(entries) + 1)), "a gap in the journal"
    store.transact("tasks", "old", writes(5, live=5))
    held = store.get("tasks", "old")
    assert held is not None
    assert held.value["n"] == 5
    assert store.append("events", {"type": "claimed", "n": 8}) == len(entries) + 2


def die_in_child(root: Path, operation: Operation, plan: Plan, end: Callable[[], object]) -> int:
    """Run the operation in a forked child that ends for real at the planned call; its wait status."""
    child = os.fork()
    if child == 0:
        try:
            operation(FileStore(str(root), host=FaultHost(Host(), plan, on_crash=end)))
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]
