"""Beats: signs of life that never rewrite a record, and the rule that keeps them true to it."""

from __future__ import annotations

from pathlib import Path

from sharedstate.store import KEEP, Decision, Snapshot
from sharedstate.testing.contracts.steps import Hooks, beats, got, looks, not_here, readable, removes, writes


class BeatContract(Hooks):
    """Beats and the live rule."""

    def test_a_live_document_starts_with_a_beat_at_now(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        before = store.now()
        store.transact("tasks", "T-1", writes({"n": 1}, live=7))
        beat = got(store, "tasks", "T-1").beat
        assert beat is not None
        assert beat.fence == 7
        assert before.at_ms <= beat.seen.at_ms <= store.now().at_ms

    def test_a_document_without_owner_has_no_beat(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}))
        assert got(store, "tasks", "T-1").beat is None
        store.transact("tasks", "T-1", writes({"n": 2}, live=1))
        assert got(store, "tasks", "T-1").beat is not None
        store.transact("tasks", "T-1", writes({"n": 3}))
        assert got(store, "tasks", "T-1").beat is None, "released: nobody is alive"

    def test_a_write_under_the_same_fence_keeps_the_beat_and_a_new_fence_starts_one(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}, live=1))
        first = got(store, "tasks", "T-1").beat
        store.transact("tasks", "T-1", writes({"n": 2}, live=1))
        assert got(store, "tasks", "T-1").beat == first
        store.transact("tasks", "T-1", writes({"n": 3}, live=2))
        later = got(store, "tasks", "T-1").beat
        assert later is not None
        assert later.fence == 2

    def test_a_beat_moves_the_moment_and_never_the_record(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}, live=1))
        moments = []
        for _ in range(5):
            store.transact("tasks", "T-1", beats(1))
            held = got(store, "tasks", "T-1")
            assert (held.revision, held.value) == (1, {"n": 1})
            assert held.beat is not None
            assert held.beat.fence == 1
            moments.append(held.beat.seen.at_ms)
        assert moments == sorted(moments)
        assert moments[-1] <= store.now().at_ms
        assert list(store.read("events")) == [], "beats are not logged one by one"

    def test_keep_leaves_the_beat_alone(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}, live=1))
        before = got(store, "tasks", "T-1").beat
        store.transact("tasks", "T-1", lambda _: Decision(result=None, write=KEEP, live=9))
        assert got(store, "tasks", "T-1").beat == before

    def test_a_deleted_record_has_no_beat_when_it_comes_back(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}, live=1))
        store.transact("tasks", "T-1", removes)
        store.transact("tasks", "T-1", writes({"n": 2}))
        assert got(store, "tasks", "T-1").beat is None

    def test_live_only_scan_yields_exactly_the_live_records(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        for number in range(10):
            store.transact("tasks", f"T-{number}", writes({"n": number}, live=1))
        for number in range(0, 10, 2):
            store.transact("tasks", f"T-{number}", writes({"n": number}))
        store.transact("tasks", "T-1", removes)
        other = self.another(store, tmp_path)
        for reader in (store, other):
            assert {item.key for item in readable(reader.scan("tasks", live_only=True))} == {
                "T-3",
                "T-5",
                "T-7",
                "T-9",
            }

    def test_lost_beats_make_claims_older_and_change_nothing_else(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}, live=4))
        if not self.lose_beats(store):
            not_here("this store's beats cannot get lost")
        held = got(store, "tasks", "T-1")
        assert (held.beat, held.value, held.revision) == (None, {"n": 1}, 1)
        store.transact("tasks", "T-1", beats(4))
        beat = got(store, "tasks", "T-1").beat
        assert beat is not None
        assert beat.fence == 4

    def test_now_is_sane(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        first, second = store.now(), store.now()
        assert 1_577_836_800_000 < first.at_ms < 4_102_444_800_000, "between 2020 and 2100, in Unix milliseconds"
        assert first.boot_ms <= second.boot_ms or first.boot_id != second.boot_id
        seen: list[Snapshot] = []
        store.transact("tasks", "T-1", looks(seen))
        assert seen[-1].now.at_ms >= second.at_ms, "decide gets the store's own clock, read under the lock"
