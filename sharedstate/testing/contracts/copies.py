"""What a store needs for `claims store copy`: to tell all it holds, and to take in what another held."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from sharedstate.errors import InvalidInput
from sharedstate.store import Entry, Portable
from sharedstate.testing.contracts.steps import Hooks, got, readable, removes, writes

_AT_MS = 1_700_000_000_123


class PortableContract(Hooks):
    """The part of a store that tells all it holds and takes in what another held."""

    def test_a_store_names_its_collections_and_journals(self, tmp_path: Path) -> None:
        store = cast("Portable", self.make_store(tmp_path))
        assert store.collections() == []
        assert store.journals() == []
        store.transact("tasks", "T-1", writes({"n": 1}, live=4, events=[{"type": "claimed"}]))
        store.transact("scopes", "live", writes({"n": 1}))
        store.transact("gone", "G-1", writes({"n": 1}))
        store.transact("gone", "G-1", removes)
        store.append("inbox.bob", {"n": 1})
        assert store.collections() == ["scopes", "tasks"]
        assert store.journals() == ["events", "inbox.bob"]

    def test_a_record_tells_which_fence_lives(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}, live=4))
        store.transact("tasks", "T-2", writes({"n": 1}))
        assert got(store, "tasks", "T-1").live == 4
        assert {held.key: held.live for held in readable(store.scan("tasks"))} == {"T-1": 4, "T-2": None}

    def test_loaded_entries_keep_sequence_moment_and_transition(self, tmp_path: Path) -> None:
        store = cast("Portable", self.make_store(tmp_path))
        old = [Entry(sequence=n, at_ms=_AT_MS + n, value={"n": n, "s": "é"}, record=f"t/k@{n}") for n in range(1, 6)]
        assert store.load_entries("events", old[:2]) == 2
        assert store.load_entries("events", old[2:]) == 5
        assert list(store.read("events")) == old
        assert store.append("events", {"n": 6}) == 6
        assert [entry.sequence for entry in store.read("events", after=4)] == [5, 6]

    def test_entries_that_do_not_go_on_are_refused_whole(self, tmp_path: Path) -> None:
        store = cast("Portable", self.make_store(tmp_path))
        store.append("events", {"n": 1})
        for told in ([1], [3], [2, 4], [2, 2], [], list(range(2, 1003))):
            entries = [Entry(sequence=number, at_ms=_AT_MS, value={}) for number in told]
            try:
                store.load_entries("events", entries)
            except InvalidInput:
                continue
            raise AssertionError(f"entries {told[:4]} were loaded after 1")
        assert [entry.value for entry in store.read("events")] == [{"n": 1}]
