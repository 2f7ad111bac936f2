"""What holds when many threads and stores write at once."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

from sharedstate.store import Decision, Snapshot, Store
from sharedstate.testing.contracts.steps import (
    PATIENCE_S,
    ROUNDS,
    THREADS,
    Hooks,
    got,
    in_threads,
    increments,
    readable,
    writes,
)


class RaceContract(Hooks):
    """What holds when many write at once: each thread has a store object of its own where there can be several."""

    def several(self, tmp_path: Path) -> list[Store]:
        """Stores on one new state."""
        store = self.make_store(tmp_path)
        return [store] + [self.another(store, tmp_path) for _ in range(THREADS - 1)]

    def test_no_update_is_lost_between_threads(self, tmp_path: Path) -> None:
        stores = self.several(tmp_path)
        seen: list[int] = []

        def counts(mine: Store) -> None:
            seen.extend(mine.transact("counters", "c", increments, durability="relaxed") for _ in range(ROUNDS))

        in_threads([partial(counts, mine) for mine in stores])
        assert got(stores[0], "counters", "c").value == {"count": THREADS * ROUNDS}
        assert sorted(seen) == list(range(THREADS * ROUNDS)), "each transaction saw a count of its own"
        assert got(stores[0], "counters", "c").revision == THREADS * ROUNDS

    def test_threads_may_share_one_store(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)

        def works(me: int) -> None:
            for number in range(ROUNDS // 4):
                store.transact("counters", "c", increments)
                store.transact("counters", f"{me}", writes({"n": number}, live=me))
                assert got(store, "counters", f"{me}").value == {"n": number}
                store.append("events", {"me": me})
                assert len(list(readable(store.scan("counters")))) >= 1

        in_threads([partial(works, me) for me in range(THREADS)])
        assert got(store, "counters", "c").value == {"count": THREADS * (ROUNDS // 4)}
        assert [entry.sequence for entry in store.read("events")] == list(range(1, THREADS * (ROUNDS // 4) + 1))

    def test_of_many_claims_at_once_exactly_one_wins(self, tmp_path: Path) -> None:
        stores = self.several(tmp_path)
        wins: list[tuple[str, int]] = []

        def claims(mine: Store, me: int) -> None:
            def claim(snapshot: Snapshot) -> Decision[bool]:
                if snapshot.value is not None:
                    return Decision(result=False)
                return Decision(result=True, write={"owner": me}, live=1, events=({"type": "claimed", "owner": me},))

            tasks = [f"T-{number}" for number in range(ROUNDS)]
            wins.extend((task, me) for task in tasks if mine.transact("tasks", task, claim, durability="relaxed"))

        in_threads([partial(claims, mine, me) for me, mine in enumerate(stores)])
        assert sorted(task for task, _ in wins) == sorted(f"T-{number}" for number in range(ROUNDS))
        for task, me in wins:
            assert got(stores[0], "tasks", task).value == {"owner": me}
        entries = list(stores[0].read("events"))
        assert [entry.sequence for entry in entries] == list(range(1, ROUNDS + 1))
        assert {(entry.record, entry.value["owner"]) for entry in entries} == {(f"tasks/{t}@1", me) for t, me in wins}

    def test_the_events_of_a_transition_stay_together_and_in_the_order_of_its_record(self, tmp_path: Path) -> None:
        stores = self.several(tmp_path)

        def logs(mine: Store, key: str) -> None:
            def decide(snapshot: Snapshot) -> Decision[None]:
                number = snapshot.revision + 1
                return Decision(result=None, write={"n": number}, events=[{"n": number, "part": p} for p in (1, 2, 3)])

            for _ in range(ROUNDS // 4):
                mine.transact("tasks", key, decide)

        in_threads([partial(logs, mine, f"T-{index % 2}") for index, mine in enumerate(stores)])
        entries = list(stores[0].read("events"))
        assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
        for first in range(0, len(entries), 3):
            triple = entries[first : first + 3]
            assert [entry.value["part"] for entry in triple] == [1, 2, 3]
            assert len({entry.record for entry in triple}) == 1, "two transitions are mixed"
        for key in ("T-0", "T-1"):
            revisions = [entry.record for entry in entries if entry.record.startswith(f"tasks/{key}@")][::3]
            expected = [f"tasks/{key}@{n + 1}" for n in range(got(stores[0], "tasks", key).revision)]
            assert (revisions if self.ordered_events else sorted(revisions)) == (
                expected if self.ordered_events else sorted(expected)
            )

    def test_time_never_runs_backwards_from_one_revision_to_the_next(self, tmp_path: Path) -> None:
        stores = self.several(tmp_path)
        backwards: list[int] = []

        def notes(mine: Store) -> None:
            def decide(snapshot: Snapshot) -> Decision[int]:
                before_ms = 0 if snapshot.value is None else int(snapshot.value["at_ms"])
                return Decision(result=before_ms - snapshot.now.at_ms, write={"at_ms": snapshot.now.at_ms})

            for _ in range(ROUNDS // 2):
                lag_ms = mine.transact("tasks", "T-1", decide)
                if lag_ms > self.clock_spread_ms:
                    backwards.append(lag_ms)

        in_threads([partial(notes, mine) for mine in stores])
        assert backwards == [], "`now` is to be taken inside the transaction"

    def test_readers_do_not_wait_for_a_decision_that_takes_long(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        other = self.another(store, tmp_path)
        store.transact("tasks", "T-1", writes({"n": 1}, live=1, events=[{"n": 1}]))
        deciding, looked = threading.Event(), threading.Event()

        def decide(snapshot: Snapshot) -> Decision[bool]:
            deciding.set()
            return Decision(result=looked.wait(PATIENCE_S), write={"n": snapshot.revision + 1}, live=1)

        def reads() -> None:
            deciding.wait(PATIENCE_S)
            for reader in (store, other):
                assert got(reader, "tasks", "T-1").value == {"n": 1}
                assert len(readable(reader.scan("tasks", live_only=True))) == 1
                assert len(list(reader.read("events"))) == 1
                assert reader.upkeep() == [], "upkeep never waits for a lock either"
            looked.set()

        results: list[bool] = []
        in_threads([lambda: results.append(store.transact("tasks", "T-1", decide)), reads], timeout_s=2 * PATIENCE_S)
        assert results == [True], "a reader waited for the writer"
        assert got(other, "tasks", "T-1").value == {"n": 2}

    def test_readers_see_whole_documents_while_writers_write(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        reader = self.another(store, tmp_path)
        store.transact("tasks", "T-1", writes({"n": 0, "twin": 0, "pad": ""}))
        done = threading.Event()

        def keeps_writing() -> None:
            try:
                for number in range(1, THREADS * ROUNDS):
                    document = {"n": number, "twin": number, "pad": "x" * (number * 37 % 5000)}
                    store.transact("tasks", "T-1", writes(document), durability="relaxed")
            finally:
                done.set()

        def keeps_reading() -> None:
            last = 0
            while not done.is_set():
                held = got(reader, "tasks", "T-1")
                assert held.value["n"] == held.value["twin"] == held.revision - 1, "a torn document"
                assert held.revision >= last, "time ran backwards"
                last = held.revision
                assert len(list(readable(reader.scan("tasks")))) == 1

        in_threads([keeps_writing, keeps_reading])
