"""The journal: sequences, order, events of transitions, watching."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sharedstate.host import Host
from sharedstate.store import DELETE, Decision, Document, Entry, Snapshot
from sharedstate.testing.contracts.steps import PATIENCE_S, ROUNDS, THREADS, Hooks, in_threads, refused, writes


class JournalContract(Hooks):
    """The journal: sequences, order, events of transitions, watching."""

    def test_events_are_logged_with_the_transition_they_belong_to(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        before = store.now()
        store.transact("tasks", "T-1", writes({"n": 1}, events=[{"type": "claimed", "task": "T-1"}]))
        store.transact("tasks", "T-1", writes({"n": 2}, events=[{"type": "released"}, {"type": "archived"}]))
        entries = list(store.read("events"))
        assert all(isinstance(entry, Entry) for entry in entries)
        assert [entry.sequence for entry in entries] == [1, 2, 3]
        assert [entry.value for entry in entries] == [
            {"type": "claimed", "task": "T-1"}, {"type": "released"}, {"type": "archived"}]  # fmt: skip
        assert [entry.record for entry in entries] == ["tasks/T-1@1", "tasks/T-1@2", "tasks/T-1@2"]
        assert all(abs(entry.at_ms - before.at_ms) < 60_000 for entry in entries)

    def test_keep_and_delete_may_log_events_too(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("tasks", "T-1", lambda _: Decision(result=None, events=({"type": "refused"},)))
        assert store.get("tasks", "T-1") is None
        store.transact("tasks", "T-1", writes({"n": 1}))
        store.transact("tasks", "T-1", lambda _: Decision(result=None, events=({"type": "conflict"},)))
        store.transact("tasks", "T-1", lambda _: Decision(result=None, write=DELETE, events=({"type": "archived"},)))
        store.transact("tasks", "T-1", lambda _: Decision(result=None, write=DELETE, events=({"type": "again"},)))
        assert [(entry.value["type"], entry.record) for entry in store.read("events")] == [
            ("refused", "tasks/T-1@0"),
            ("conflict", "tasks/T-1@1"),
            ("archived", "tasks/T-1@1"),
            ("again", "tasks/T-1@0"),
        ]

    def test_prompt_decisions_find_their_entries_in_the_journal(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        for number in range(1, 4):
            store.transact("mail", "m", _prompt(number), journal="inbox")
            assert [entry.value["n"] for entry in store.read("inbox")] == list(range(1, number + 1))
        store.transact("mail", "m", lambda _: Decision(result=None, prompt=True), journal="inbox")
        assert len(list(store.read("inbox"))) == 3

    def test_append_returns_gap_free_sequences_per_journal(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        assert [store.append("a", {"n": number}) for number in range(3)] == [1, 2, 3]
        assert store.append("b", {"n": 0}) == 1
        assert store.append("a", {"n": 3}) == 4
        assert [entry.value["n"] for entry in store.read("a")] == [0, 1, 2, 3]
        assert [entry.record for entry in store.read("b")] == [""]

    def test_appends_and_transitions_share_the_sequence(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        assert store.append("events", {"n": 1}) == 1
        store.transact("tasks", "T-1", writes({"n": 1}, events=[{"n": 2}, {"n": 3}]))
        store.transact("tasks", "T-1", writes({"n": 2}))
        refused(lambda: store.transact("tasks", "T-1", writes({"n": 3}, events=[{"n": object()}])))
        assert store.append("events", {"n": 4}) == 4
        assert [(entry.sequence, entry.value["n"]) for entry in store.read("events")] == [(n, n) for n in range(1, 5)]

    def test_transactions_choose_their_journal(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        store.transact("threads", "t", writes({"n": 1}, events=[{"type": "x"}]), journal="thread-t")
        assert [entry.value for entry in store.read("thread-t")] == [{"type": "x"}]
        assert list(store.read("events")) == []

    def test_entries_are_copies(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        event: Document = {"list": [1]}
        store.transact("tasks", "T-1", writes({"n": 1}, events=[event]))
        store.append("events", event)
        event["list"].append(2)
        next(iter(store.read("events"))).value["list"].append(3)
        assert [entry.value for entry in store.read("events")] == [{"list": [1]}, {"list": [1]}]

    def test_read_honours_after_and_limit(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        assert list(store.read("events")) == []
        for number in range(1, 11):
            store.append("events", {"n": number})

        def sequences(**kwargs: Any) -> list[int]:
            found = list(store.read("events", **kwargs))
            assert [entry.value["n"] for entry in found] == [entry.sequence for entry in found]
            return [entry.sequence for entry in found]

        assert sequences() == list(range(1, 11))
        assert sequences(after=0) == list(range(1, 11))
        assert sequences(after=7) == [8, 9, 10]
        assert sequences(after=2, limit=3) == [3, 4, 5]
        assert sequences(after=9, limit=3) == [10]
        assert sequences(limit=1) == [1]
        assert sequences(limit=0) == []
        assert sequences(after=10) == []
        assert sequences(after=99) == []

    def test_reading_goes_on_while_others_append(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        for number in range(1, 6):
            store.append("events", {"n": number})
        found = []
        for entry in store.read("events"):
            found.append(entry.sequence)
            if len(found) == 2:
                store.append("events", {"n": 6})
        assert found in ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6])
        assert [entry.sequence for entry in store.read("events", after=5)] == [6]

    def test_sequences_are_gap_free_across_threads(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        got: list[int] = []
        in_threads(
            [lambda: got.extend(store.append("events", {"n": 1}) for _ in range(ROUNDS)) for _ in range(THREADS)]
        )
        assert sorted(got) == list(range(1, THREADS * ROUNDS + 1))
        assert [entry.sequence for entry in store.read("events")] == list(range(1, THREADS * ROUNDS + 1))

    def test_two_stores_share_one_sequence(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        other = self.another(store, tmp_path)
        assert [s.append("events", {"n": 1}) for s in (store, other, other, store, other)] == [1, 2, 3, 4, 5]
        assert list(store.read("events")) == list(other.read("events"))

    def test_watch_sees_what_is_already_there_and_gives_up_in_time(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        assert store.watch("events", after=0, timeout_s=0) is False
        assert store.watch("events", after=0, timeout_s=0.01) is False
        store.append("events", {"n": 1})
        assert store.watch("events", after=0, timeout_s=0) is True
        assert store.watch("events", after=0, timeout_s=5.0) is True
        assert store.watch("events", after=1, timeout_s=0.01) is False
        assert store.watch("other", after=0, timeout_s=0.01) is False

    def test_watch_wakes_up_for_what_others_log(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        other = self.another(store, tmp_path)
        host, woken_s = Host(), []

        def watches() -> None:
            while not store.watch("events", after=0, timeout_s=PATIENCE_S):
                host.sleep(0.001)  # time of its own runs out at once; a real clock wakes up in the first round
            woken_s.append(host.monotonic_s())

        started_s = host.monotonic_s()
        logs = partial(other.transact, "tasks", "T-1", writes({"n": 1}, events=[{"n": 1}]))
        in_threads([watches, logs], timeout_s=2 * PATIENCE_S)
        assert woken_s[0] - started_s < PATIENCE_S / 3

    def test_upkeep_of_a_healthy_store_changes_and_says_nothing(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        assert store.upkeep() == []
        store.transact("tasks", "T-1", writes({"n": 1}, live=1, events=[{"type": "claimed"}]))
        before = store.get("tasks", "T-1"), list(store.read("events"))
        assert store.upkeep() == []
        assert store.upkeep() == []
        assert (store.get("tasks", "T-1"), list(store.read("events"))) == before


def _prompt(number: int) -> Callable[[Snapshot], Decision[None]]:
    decision = Decision(result=None, write={"n": number}, events=({"n": number},), prompt=True)
    return lambda _: decision
