"""Copying a store: everything arrives as it was, a second run goes on, nothing of the target is lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sharedstate.errors import Corrupt, StoreUnavailable
from sharedstate.files.store import FileStore
from sharedstate.store import Entry, Portable
from sharedstate.testing.contracts.steps import got, writes
from sharedstate.testing.memory import MemoryStore
from sharedstate.transfer import PIECE_CHARACTERS_MAX, copy_store

TASKS = 40


def filled() -> MemoryStore:
    store = MemoryStore()
    for number in range(TASKS):
        live = number if number % 3 == 0 else None
        store.transact("tasks", f"T-{number}", writes({"fence": number}, live=live, events=[{"type": "claimed"}]))
    store.transact("inboxes", "bob", writes({"up_to": 7}))
    for number in range(2_500):
        store.append("inbox.bob", {"n": number})
    return store


@pytest.fixture(params=["memory", "files"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Portable:
    return MemoryStore() if request.param == "memory" else FileStore(str(tmp_path / "state"))


def test_everything_arrives_as_it_was(target: Portable) -> None:
    source = filled()
    report = copy_store(source, target)
    assert (report.records, report.entries, report.same) == (TASKS + 1, TASKS + 2_500, 0)
    assert report.verified
    assert got(target, "tasks", "T-9").live == 9
    assert got(target, "inboxes", "bob").value == {"up_to": 7}
    assert list(target.read("events")) == list(source.read("events"))
    assert list(target.read("inbox.bob")) == list(source.read("inbox.bob"))


def test_a_second_copy_changes_nothing(target: Portable) -> None:
    source = filled()
    copy_store(source, target)
    again = copy_store(source, target)
    assert (again.records, again.entries, again.same) == (0, 0, TASKS + 1 + TASKS + 2_500)
    assert again.verified


class Stumbling(MemoryStore):
    """Fails at the n-th write."""

    left = 0

    def _enter(self) -> None:
        if self.left == 0:
            raise StoreUnavailable("stumbled")
        self.left -= 1
        super()._enter()


@pytest.mark.parametrize("left", [0, 1, 3, 4, 20, 44])
def test_a_copy_that_was_cut_off_goes_on(left: int) -> None:
    source, target = filled(), Stumbling()
    target.left = left
    with pytest.raises(StoreUnavailable):
        copy_store(source, target)
    target.left = -1
    assert copy_store(source, target).verified


def test_what_the_target_held_is_left_alone_and_told() -> None:
    source, target = filled(), MemoryStore()
    target.transact("tasks", "T-1", writes({"fence": 99}))
    target.append("inbox.bob", {"n": "other"})
    report = copy_store(source, target)
    assert not report.verified
    assert [problem.split(":")[0] for problem in report.problems] == ["journal inbox.bob", "tasks/T-1"]
    assert got(target, "tasks", "T-1").value == {"fence": 99}
    assert [entry.value for entry in target.read("inbox.bob")] == [{"n": "other"}]


def test_damage_in_the_source_is_told_and_hides_nothing_else() -> None:
    source, target = filled(), MemoryStore()
    source.plant("tasks", "T-3", b'{"torn')
    report = copy_store(source, target)
    assert not report.verified
    assert report.records == TASKS
    assert report.problems[0].startswith("tasks/T-3: cannot be read")


def test_a_gap_in_a_journal_of_the_source_is_told() -> None:
    class Gapped(MemoryStore):
        def read(self, journal: str, *, after: int = 0, limit: int | None = None) -> Iterator[Entry]:
            return iter([Entry(sequence=n, at_ms=5, value={}) for n in (1, 3) if n > after])

        def journals(self) -> list[str]:
            return ["events"]

    report = copy_store(Gapped(), MemoryStore())
    assert not report.verified
    assert report.problem_count == 1


@pytest.mark.parametrize("held", [1, 1.0, True])
def test_one_and_true_are_not_the_same(held: object) -> None:
    source, target = MemoryStore(), MemoryStore()
    for store, value in ((source, {"n": held}), (target, {"n": 1})):
        store.transact("tasks", "T-1", writes(value))
        store.load_entries("log", [Entry(sequence=1, at_ms=5, value=value)])
    report = copy_store(source, target)
    assert report.verified is (type(held) is int)
    told = {problem.split(":")[0] for problem in report.problems}
    assert told == (set() if report.verified else {"journal log", "tasks/T-1"})


def test_damage_in_the_target_is_told_and_hides_nothing_else() -> None:
    source, target = filled(), MemoryStore()
    target.transact("tasks", "T-3", writes({"fence": 3}))
    target.plant("tasks", "T-3", b'{"torn')
    report = copy_store(source, target)
    assert not report.verified
    assert report.records == TASKS
    assert report.problems[0].startswith("tasks/T-3: cannot be read in the target")


def test_a_journal_that_cannot_be_read_hides_nothing_else() -> None:
    class Torn(MemoryStore):
        def read(self, journal: str, *, after: int = 0, limit: int | None = None) -> Iterator[Entry]:
            if journal == "events":
                raise Corrupt("journal events, entry 7: torn")
            return super().read(journal, after=after, limit=limit)

    source, target = Torn(), MemoryStore()
    source.transact("tasks", "T-1", writes({"n": 1}, events=[{"type": "x"}]))
    source.append("log", {"n": 1})
    report = copy_store(source, target)
    assert (report.records, report.entries, report.verified) == (1, 1, False)
    assert report.problems[0] == "journal events: cannot be read: journal events, entry 7: torn"


def test_large_entries_are_loaded_in_small_groups() -> None:
    class Weighing(MemoryStore):
        heaviest = loads = 0

        def load_entries(self, journal: str, entries: Sequence[Entry]) -> int:
            self.loads += 1
            self.heaviest = max(self.heaviest, sum(len(entry.value["text"]) for entry in entries))
            return super().load_entries(journal, entries)

    source, target = MemoryStore(), Weighing()
    for number in range(30):
        source.append("log", {"text": "x" * (PIECE_CHARACTERS_MAX // 4 if number < 20 else 10)})
    source.append("log", {"text": "x" * (PIECE_CHARACTERS_MAX - 100)})
    assert copy_store(source, target).verified
    assert target.heaviest <= PIECE_CHARACTERS_MAX
    assert target.loads < 10
