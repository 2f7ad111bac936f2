"""Each file call of each operation: the process dies there, the call fails there, the write falls short, power goes."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Iterator

import pytest

from sharedstate.errors import DurabilityUnknown, StoreError, StoreUnavailable
from sharedstate.files import FileStore
from sharedstate.host import Host
from sharedstate.store import BEAT, DELETE, Decision, Document, Snapshot, Versioned
from sharedstate.testing.disk import Crashed, SimDisk
from sharedstate.testing.faults import PLAUSIBLE, FaultHost, Plan, crash_at, fail_call, fail_operation, shorten_call

ROOT = "/repo/.cache/state"
Operation = Callable[[FileStore], object]


def writes(number: int, *, live: int | None, events: int = 1) -> Callable[[Snapshot], Decision[int]]:
    told: tuple[Document, ...] = tuple({"type": "claimed", "n": number, "part": part} for part in range(events))
    return lambda before: Decision(result=before.revision, write={"n": number}, live=live, events=told)


def creates(store: FileStore) -> None:
    store.transact("tasks", "T-1", writes(1, live=1))


def changes(store: FileStore) -> None:
    store.transact("tasks", "T-0", writes(2, live=2, events=2))


def ends(store: FileStore) -> None:
    store.transact("tasks", "T-0", writes(3, live=None))


def removes(store: FileStore) -> None:
    store.transact("tasks", "T-0", lambda _: Decision(result=None, write=DELETE, events=({"type": "archived"},)))


def beats(store: FileStore) -> None:
    store.transact("tasks", "T-0", lambda _: Decision(result=None, write=BEAT, live=1))


def appends(store: FileStore) -> None:
    store.append("events", {"type": "claimed", "n": 9})


OPERATIONS: tuple[Operation, ...] = (creates, changes, ends, removes, beats, appends)


def prepared(operation: Operation) -> tuple[SimDisk, int]:
    """A disk with one live record, all stable, and how many file calls the operation makes on it in a fresh process."""
    disk = SimDisk(seed=1)
    with_record(disk)
    host = FaultHost(disk.host())
    store = FileStore(ROOT, host=host)
    operation(store)
    count = len(host.calls)
    del store
    again = SimDisk(seed=1)
    with_record(again)
    return again, count


def with_record(disk: SimDisk) -> None:
    store = FileStore(ROOT, host=disk.host())
    store.transact("tasks", "T-0", writes(0, live=1))
    store.transact("tasks", "T-9", writes(0, live=None))
    store.close()
    disk.sync()


def run(operation: Operation, host: Host) -> None:
    """The operation in a fresh process, whose closing of descriptors afterwards does not count."""
    store = FileStore(ROOT, host=host)
    try:
        operation(store)
    finally:
        if isinstance(host, FaultHost):
            host.plan = None
        store.close()


def plans(operation: Operation, make: Callable[[int], Plan]) -> Iterator[tuple[SimDisk, Plan]]:
    _, count = prepared(operation)
    for number in range(1, count + 1):
        yield prepared(operation)[0], make(number)


def check(host: Host) -> FileStore:
    """What must hold whatever happened before, seen by another process; a writer has come by since."""
    reader = FileStore(ROOT, host=host)
    for key in ("T-0", "T-1", "T-9"):
        before = reader.get("tasks", key)
        reader.transact("tasks", key, lambda _: Decision(result=None))
        after = reader.get("tasks", key)
        assert (before and before.value) == (after and after.value), "a look changes nothing"
    everything = {item.key: item for item in reader.scan("tasks") if isinstance(item, Versioned)}
    assert all(isinstance(item, Versioned) for item in reader.scan("tasks")), "no torn record"
    live = {item.key for item in reader.scan("tasks", live_only=True) if isinstance(item, Versioned)}
    assert live == {key for key, item in everything.items() if "live" in expected(item)}
    entries = list(reader.read("events"))
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    for key, item in everything.items():
        told = [
            entry
            for entry in entries
            if entry.record == f"tasks/{key}@{item.revision}" and entry.value.get("n") == item.value["n"]
        ]
        assert len(told) == expected(item)["events"], f"{key}: {told}"
    return reader


def expected(item: Versioned) -> Document:
    """What the documents of these tests mean: 0, 1 and 2 are live, 2 has two events."""
    number = item.value["n"]
    live = {"live": True} if number in (1, 2) or (number == 0 and item.key == "T-0") else {}
    return {"events": 2 if number == 2 else 1, **live}


def still_works(store: FileStore) -> None:
    revision = store.transact("tasks", "T-0", writes(2, live=7, events=2))
    held = store.get("tasks", "T-0")
    assert held is not None
    assert held.revision == revision + 1
    assert held.beat is not None
    assert held.beat.fence == 7


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_death_at_any_call_leaves_a_whole_state_that_the_next_one_completes(operation: Operation, when: str) -> None:
    for disk, plan in plans(operation, lambda number: crash_at(number, when="before" if when == "before" else "after")):
        victim = disk.host()
        try:
            run(operation, FaultHost(victim, plan))
        except Crashed:
            disk.crash(victim.own.pid)
        still_works(check(disk.host()))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_torn_write_at_any_call_leaves_a_whole_state_that_the_next_one_completes(operation: Operation) -> None:
    for disk, plan in plans(operation, lambda number: shorten_call(number, crash="after")):
        victim = disk.host()
        try:
            run(operation, FaultHost(victim, plan))
        except Crashed:
            disk.crash(victim.own.pid)
        still_works(check(disk.host()))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_short_writes_are_continued(operation: Operation) -> None:
    for disk, plan in plans(operation, shorten_call):
        run(operation, FaultHost(disk.host(), plan))
        still_works(check(disk.host()))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_failing_call_is_told_as_a_store_error_and_leaves_nothing_stuck(operation: Operation) -> None:
    disk, _ = prepared(operation)
    host = FaultHost(disk.host())
    first = FileStore(ROOT, host=host)
    operation(first)
    for call in list(host.calls):
        for code in PLAUSIBLE.get(call.operation, ()):
            disk, _ = prepared(operation)
            failing = FaultHost(disk.host(), fail_call(call.number, error=code))
            store = FileStore(ROOT, host=failing)
            try:
                operation(store)
            except StoreError:
                pass
            failing.plan = None
            still_works(store)
            store.close()
            del store
            assert failing.descriptor_count() == 0, f"a descriptor leaks when {call} fails"
            still_works(check(disk.host()))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_was_acknowledged_survives_a_power_cut_at_any_call(operation: Operation) -> None:
    _, count = prepared(operation)
    for number in range(1, count + 2):
        for seed in range(4):
            disk, _ = prepared(operation)
            victim = disk.host()
            acknowledged = False
            try:
                run(operation, FaultHost(victim, crash_at(number, when="after")))
                acknowledged = True
            except Crashed:
                pass
            before = snapshot(disk.host()) if acknowledged else None
            disk.power_cut(random.Random(seed))
            reader = check_after_cut(disk)
            if before is not None and operation is not beats:
                assert snapshot_of(reader) == before
            still_works(reader)


def check_after_cut(disk: SimDisk) -> FileStore:
    writer = FileStore(ROOT, host=disk.host())
    writer.transact("other", "first-writer", lambda _: Decision(result=None))
    return check(disk.host())


def snapshot(host: Host) -> object:
    return snapshot_of(FileStore(ROOT, host=host))


def snapshot_of(store: FileStore) -> object:
    keys = ("T-0", "T-1", "T-9")
    held = [store.get("tasks", key) for key in keys]
    documents = [(item.value, item.revision) if item else None for item in held]
    return documents, [(entry.sequence, entry.record, entry.value) for entry in store.read("events")]


def test_a_failed_fsync_is_neither_retried_nor_acknowledged() -> None:
    for nth, error in ((1, StoreUnavailable), (2, DurabilityUnknown)):
        disk, _ = prepared(changes)
        host = FaultHost(disk.host())
        store = FileStore(ROOT, host=host)
        store.transact("tasks", "T-9", writes(0, live=None))
        host.forget_calls()
        host.plan = fail_operation("fsync", nth=nth, error=errno.EIO)
        with pytest.raises(error):
            changes(store)
        assert sum(call.operation == "fsync" for call in host.calls) == nth, "no second try"
        host.plan = None
        still_works(check(disk.host()))
