"""After a crash and after a reboot: journal, cells and index follow the records again."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from sharedstate.errors import DurabilityUnknown, StoreBusy
from sharedstate.files import FileStore
from sharedstate.files.plain import TEMP_PREFIX
from sharedstate.ids import record_name
from sharedstate.store import KEEP, Decision, Snapshot, Versioned
from sharedstate.testing.disk import SimDisk

BEATS = "/state/local/beats/tasks"


@pytest.fixture
def disk() -> SimDisk:
    disk = SimDisk(seed=1)
    store = opened(disk)
    for number in range(6):
        store.transact("tasks", f"T-{number}", claims(number % 2))
    disk.sync()
    return disk


def opened(disk: SimDisk) -> FileStore:
    return FileStore("/state", host=disk.host())


def claims(live: int) -> Callable[[Snapshot], Decision[None]]:
    def decide(before: Snapshot) -> Decision[None]:
        told = ({"type": "claimed", "n": before.revision + 1},)
        return Decision(result=None, write={"n": before.revision + 1}, live=live or None, events=told)

    return decide


def looks(before: Snapshot) -> Decision[Snapshot]:
    return Decision(result=before)


def live_keys(store: FileStore) -> set[str]:
    return {item.key for item in store.scan("tasks", live_only=True) if isinstance(item, Versioned)}


def cells(disk: SimDisk) -> set[str]:
    return {path.rpartition("/")[2] for path in disk.tree() if path.startswith(BEATS + "/")}


def told(store: FileStore) -> list[tuple[str, int]]:
    return [(entry.record, entry.value["n"]) for entry in store.read("events")]


ODD = {"T-1", "T-3", "T-5"}


def test_the_first_writer_of_a_boot_rebuilds_the_index(disk: SimDisk) -> None:
    for path in [path for path in disk.tree() if path.startswith(BEATS + "/")][:2]:
        disk.remove(path)
    disk.write(f"{BEATS}/stray", b"")
    disk.machine.reboot()
    assert live_keys(opened(disk)) == ODD, "before: readers do not trust the index"
    store = opened(disk)
    seen = store.transact("tasks", "T-1", looks)
    assert seen.value == {"n": 1}
    assert cells(disk) == {record_name(key) for key in ODD}
    assert live_keys(store) == live_keys(opened(disk)) == ODD


def test_a_rebuilt_cell_knows_no_beat(disk: SimDisk) -> None:
    for name in cells(disk):
        disk.remove(f"{BEATS}/{name}")
    disk.machine.reboot()
    store = opened(disk)
    assert store.transact("tasks", "T-1", looks).beat is None
    held = store.get("tasks", "T-1")
    assert held is not None
    assert held.beat is None


def test_the_first_writer_of_a_boot_appends_what_the_journal_lost(disk: SimDisk) -> None:
    path = "/state/journal/events/0000000000000001.jsonl"
    before = told(opened(disk))
    lines = disk.read(path).splitlines(keepends=True)
    disk.write(path, b"".join(lines[:3]) + lines[3][:20])
    disk.machine.reboot()
    store = opened(disk)
    store.transact("tasks", "T-0", looks)
    assert sorted(told(store)) == sorted(before)
    assert [entry.sequence for entry in store.read("events")] == [1, 2, 3, 4, 5, 6]
    again = opened(disk)
    disk.machine.reboot()
    again = opened(disk)
    again.transact("tasks", "T-0", looks)
    assert sorted(told(again)) == sorted(before), "once"


def test_a_checkout_without_local_files_is_brought_in_line_by_its_first_writer(disk: SimDisk) -> None:
    disk.remove("/state/local")
    store = opened(disk)
    assert live_keys(store) == ODD
    store.transact("tasks", "T-0", looks)
    assert cells(disk) == {record_name(key) for key in ODD}
    assert len(told(store)) == 6


def test_without_a_boot_id_the_index_is_never_trusted(disk: SimDisk) -> None:
    host = disk.host()
    host.boot_id = lambda: ""  # type: ignore[method-assign]  # reason: a machine that cannot tell its boots apart
    for name in cells(disk):
        disk.remove(f"{BEATS}/{name}")
    store = FileStore("/state", host=host)
    store.transact("tasks", "T-0", looks)
    assert live_keys(store) == ODD


def test_after_a_power_cut_acknowledged_claims_are_listed_and_told() -> None:
    for seed in range(20):
        disk = SimDisk(seed=seed)
        store = opened(disk)
        for number in range(4):
            store.transact("tasks", f"T-{number}", claims(1))
        disk.power_cut(random.Random(seed))
        after = opened(disk)
        after.transact("tasks", "T-9", looks)
        assert live_keys(after) == {"T-0", "T-1", "T-2", "T-3"}
        assert sorted(told(after)) == [(f"tasks/T-{number}@1", 1) for number in range(4)]


def test_upkeep_finishes_what_nobody_comes_back_to_and_removes_old_litter(disk: SimDisk) -> None:
    lock = next(path for path, raw in disk.tree().items() if raw and b"T-3" in raw and "/locks/" in path)
    disk.write(lock, b"+" + disk.read(lock)[1:])
    disk.remove(f"{BEATS}/{record_name('T-3')}")
    path = "/state/journal/events/0000000000000001.jsonl"
    lines = disk.read(path).splitlines(keepends=True)
    disk.write(path, b"".join(line for line in lines if b"T-3" not in line))
    litter = f"/state/tasks/{TEMP_PREFIX}99-abc"
    disk.write(litter, b"half")
    store = opened(disk)
    assert live_keys(store) == ODD, "an intent names what the index may lack"
    assert store.upkeep() == ["finished what was begun on tasks/T-3"]
    assert cells(disk) == {record_name(key) for key in ODD}
    assert ("tasks/T-3@1", 1) in told(store)
    disk.machine.advance(3601)
    assert [line.split(",")[0] for line in store.upkeep()] == [f"removed tasks/{TEMP_PREFIX}99-abc"]
    assert litter not in disk.tree()
    assert store.upkeep() == []


def test_upkeep_passes_over_what_is_busy(disk: SimDisk) -> None:
    store, other = opened(disk), opened(disk)
    found: list[list[str]] = []

    def meanwhile(before: Snapshot) -> Decision[None]:
        found.append(other.upkeep())
        return Decision(result=None, write={"n": 7})

    lock = next(path for path, raw in disk.tree().items() if raw and b"T-3" in raw and "/locks/" in path)
    dirty = b"+" + disk.read(lock)[1:]
    disk.write(lock, dirty)

    def dirties(before: Snapshot) -> Decision[None]:
        disk.write(lock, dirty)
        return meanwhile(before)

    store.transact("tasks", "T-3", dirties)
    assert found == [[]]


def test_a_prompt_transition_returns_only_when_its_entries_are_told(disk: SimDisk) -> None:
    """A journal that is held by a process that stands still makes entries late: whoever needs them is told so."""
    opened(disk).append("inbox", {"n": 0})
    holder = opened(disk)
    held = holder._journal("inbox")._lock
    held.acquire(timeout_s=1.0, what="a test")
    store = FileStore("/state", host=disk.host(), lock_timeout_s=0.01)
    event = ({"n": 1},)

    def receives(before: Snapshot) -> Decision[bool]:
        known = before.value is not None
        return Decision(result=known, write=KEEP if known else {"n": 1}, events=() if known else event, prompt=True)

    with pytest.raises(DurabilityUnknown):
        store.transact("mail", "m", receives, journal="inbox")
    with pytest.raises(StoreBusy):
        store.transact("mail", "m", receives, journal="inbox")
    held.release()
    assert store.transact("mail", "m", receives, journal="inbox") is True
    assert [entry.value["n"] for entry in store.read("inbox")] == [0, 1]
