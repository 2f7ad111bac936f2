"""Beats and the clock: signs of life that never rewrite a record, and the rule that keeps them true to it."""

from __future__ import annotations

from pathlib import Path

from sharedstate.clock import Instant
from sharedstate.store import BEAT, KEEP, Beat, Decision, Snapshot, Store
from sharedstate.testing.contracts.steps import (
    Hooks,
    beats,
    got,
    looks,
    not_here,
    readable,
    refused,
    removes,
    writes,
)


def beat_of(store: Store, key: str = "T-1") -> Beat:
    """The last beat of a task, which must be there; a look inside a transaction sees the same one."""
    beat = got(store, "tasks", key).beat
    assert beat is not None, f"{key} has no beat"
    seen: list[Snapshot] = []
    store.transact("tasks", key, looks(seen))
    assert seen[-1].beat == beat
    return beat


class BeatContract(Hooks):
    """Beats, the live rule, and the clock they are measured by."""

    def test_a_live_document_starts_with_a_beat_at_now(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        before = store.now()
        store.transact("tasks", "T-1", writes({"n": 1}, live=7))
        beat = beat_of(store)
        assert beat.fence == 7
        assert before.at_ms <= beat.seen.at_ms <= store.now().at_ms
        assert beat.seen.boot_id == before.boot_id, "beats are told in the store's own clock"

    def test_a_document_without_owner_has_no_beat(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}))
        assert got(store, "tasks", "T-1").beat is None
        store.transact("tasks", "T-1", writes({"n": 2}, live=1))
        assert got(store, "tasks", "T-1").beat is not None
        store.transact("tasks", "T-1", writes({"n": 3}))
        assert got(store, "tasks", "T-1").beat is None, "released: nobody is alive"
        store.transact("tasks", "T-1", writes({"n": 4}, live=1))
        assert beat_of(store).fence == 1, "alive again: a beat at now, also under a fence known from before"

    def test_a_write_under_the_same_fence_keeps_the_beat_and_a_new_fence_starts_one(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}, live=1))
        first = beat_of(store)
        self.advance(store, 5)
        store.transact("tasks", "T-1", writes({"n": 2}, live=1))
        assert beat_of(store) == first
        now = store.now()
        store.transact("tasks", "T-1", writes({"n": 3}, live=2))
        later = beat_of(store)
        assert later.fence == 2
        assert later.seen.at_ms >= now.at_ms > first.seen.at_ms

    def test_a_beat_moves_the_moment_and_never_the_record(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}, live=1))
        moments = [beat_of(store).seen.at_ms]
        for _ in range(4):
            self.advance(store, 5)
            now = store.now()
            store.transact("tasks", "T-1", beats(1))
            held = got(store, "tasks", "T-1")
            assert (held.revision, held.value) == (1, {"n": 1})
            assert beat_of(store).fence == 1
            moments.append(beat_of(store).seen.at_ms)
            assert now.at_ms <= moments[-1] <= store.now().at_ms
        assert moments == sorted(set(moments))
        assert list(store.read("events")) == [], "beats are not logged one by one"
        store.transact("tasks", "T-1", writes({"n": 2}, live=1))
        assert beat_of(store).seen.at_ms == moments[-1]

    def test_other_stores_see_a_beat_and_may_give_one(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        other = self.another(store, tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}, live=1))
        first = beat_of(other)
        self.advance(store, 5 + self.clock_spread_ms)
        other.transact("tasks", "T-1", beats(1))
        assert beat_of(store) == beat_of(other)
        assert beat_of(store).seen.at_ms > first.seen.at_ms

    def test_a_beat_carries_the_fence_it_was_given(self, tmp_path: Path) -> None:
        """An imported record is alive under fence 0, "without a beat", until its owner renews under its own."""
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"fence": 5}, live=0))
        assert beat_of(store).fence == 0
        self.advance(store, 5)
        store.transact("tasks", "T-1", beats(5))
        renewed = beat_of(store)
        assert renewed.fence == 5
        self.advance(store, 5)
        store.transact("tasks", "T-1", writes({"fence": 5}, live=5))
        assert beat_of(store).seen.at_ms > renewed.seen.at_ms, "5 was not alive before: it starts with a beat at now"

    def test_a_beat_may_come_with_a_result_and_events(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}, live=1))
        decision = Decision(result="kept", write=BEAT, live=1, events=({"type": "seen"},))
        assert store.transact("tasks", "T-1", lambda _: decision) == "kept"
        assert [(entry.value, entry.record) for entry in store.read("events")] == [({"type": "seen"}, "tasks/T-1@1")]

    def test_a_beat_without_a_living_record_is_refused(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        without_fence: Decision[None] = Decision(result=None, write=BEAT)
        refused(lambda: store.transact("tasks", "T-1", beats(1)))
        store.transact("tasks", "T-1", writes({"n": 1}))
        refused(lambda: store.transact("tasks", "T-1", beats(1)))
        store.transact("tasks", "T-1", writes({"n": 2}, live=1))
        refused(lambda: store.transact("tasks", "T-1", lambda _: without_fence))
        store.transact("tasks", "T-1", removes)
        refused(lambda: store.transact("tasks", "T-1", beats(1)))
        assert store.get("tasks", "T-1") is None

    def test_keep_leaves_the_beat_alone(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}, live=1))
        before = beat_of(store)
        self.advance(store, 5)
        store.transact("tasks", "T-1", lambda _: Decision(result=None, write=KEEP, live=9))
        assert beat_of(store) == before

    def test_a_deleted_record_has_no_beat_when_it_comes_back(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}, live=1))
        first = beat_of(store)
        store.transact("tasks", "T-1", removes)
        store.transact("tasks", "T-1", writes({"n": 2}))
        assert got(store, "tasks", "T-1").beat is None
        store.transact("tasks", "T-1", removes)
        self.advance(store, 5)
        store.transact("tasks", "T-1", writes({"n": 3}, live=1))
        assert beat_of(store).seen.at_ms > first.seen.at_ms

    def test_live_only_scan_yields_exactly_the_live_records(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        for number in range(10):
            store.transact("tasks", f"T-{number}", writes({"n": number}, live=1))
        for number in range(0, 10, 2):
            store.transact("tasks", f"T-{number}", writes({"n": number}))
        store.transact("tasks", "T-1", removes)
        store.transact("tasks", "T-2", writes({"n": 2}, live=0))
        store.transact("claims", "T-4", writes({"n": 4}, live=1))
        for reader in (store, self.another(store, tmp_path)):
            found = {item.key: item for item in readable(reader.scan("tasks", live_only=True))}
            assert set(found) == {"T-2", "T-3", "T-5", "T-7", "T-9"}
            assert all(found[key] == got(reader, "tasks", key) for key in found)

    def test_lost_beats_make_claims_older_and_change_nothing_else(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        for key in ("T-1", "T-2"):
            store.transact("tasks", key, writes({"n": 1}, live=4))
        if not self.lose_beats(store):
            not_here("this store's beats cannot get lost")
        held = got(store, "tasks", "T-1")
        assert (held.beat, held.value, held.revision) == (None, {"n": 1}, 1)
        store.transact("tasks", "T-1", beats(4))
        assert beat_of(store).fence == 4
        store.transact("tasks", "T-2", writes({"n": 2}, live=4))
        assert got(store, "tasks", "T-2").beat is None, "the fence was alive before: no beat makes it look younger"
        assert {item.key for item in readable(store.scan("tasks", live_only=True))} == {"T-1", "T-2"}

    # The clock

    def test_now_is_sane_and_moves(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        first = store.now()
        assert 1_577_836_800_000 < first.at_ms < 4_102_444_800_000, "between 2020 and 2100, in Unix milliseconds"
        self.advance(store, 20)
        second = store.now()
        assert second.boot_id == first.boot_id
        assert second.at_ms - first.at_ms >= 19
        assert second.boot_ms - first.boot_ms >= 19 or not first.boot_id, "no boot clock without a boot id"
        seen: list[Snapshot] = []
        store.transact("tasks", "T-1", looks(seen))
        assert seen[-1].now.at_ms >= second.at_ms, "decide gets the store's own clock, read under the lock"
        assert seen[-1].now.boot_id == first.boot_id

    def test_now_never_runs_backwards(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        moments: list[Instant] = []
        for _ in range(5):
            moments.append(store.now())
            moments.append(store.transact("tasks", "T-1", lambda snapshot: Decision(result=snapshot.now)))
        if moments[0].boot_id:
            assert [one.boot_ms for one in moments] == sorted(one.boot_ms for one in moments)
        else:
            assert [one.at_ms for one in moments] == sorted(one.at_ms for one in moments)

    def test_stores_on_one_state_share_the_clock(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        other = self.another(store, tmp_path)
        before, between, after = store.now().at_ms, other.now().at_ms, store.now().at_ms
        assert before - self.clock_spread_ms <= between <= after + self.clock_spread_ms
