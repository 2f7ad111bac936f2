"""What holds when many write at once."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

from sharedstate.store import Decision, Snapshot, Store
from sharedstate.testing.contracts.steps import ROUNDS, THREADS, Hooks, got, in_threads, increments, readable, writes


class RaceContract(Hooks):
    """What holds when many write at once."""

    def test_no_update_is_lost_between_threads(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        stores = [store] + [self.another(store, tmp_path) for _ in range(THREADS - 1)]
        seen: list[int] = []

        def counts(mine: Store) -> None:
            seen.extend(mine.transact("counters", "c", increments, durability="relaxed") for _ in range(ROUNDS))

        in_threads([partial(counts, mine) for mine in stores])
        assert got(store, "counters", "c").value == {"count": THREADS * ROUNDS}
        assert sorted(seen) == list(range(THREADS * ROUNDS)), "each transaction saw a count of its own"
        assert got(store, "counters", "c").revision == THREADS * ROUNDS

    def test_of_many_claims_at_once_exactly_one_wins(self, tmp_path: Path) -> None:
        store = self.make_store(tmp_path)
        stores = [store] + [self.another(store, tmp_path) for _ in range(THREADS - 1)]
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
            assert got(store, "tasks", task).value == {"owner": me}
        assert [entry.sequence for entry in store.read("events")] == list(range(1, ROUNDS + 1))

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
