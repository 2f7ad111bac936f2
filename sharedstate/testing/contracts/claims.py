"""The store as claims use it: the real policies of tasks over two stores, with the store's own clock."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from sharedstate.host import Host
from sharedstate.ids import digest_of
from sharedstate.store import Store
from sharedstate.tasks.liveness import Rules
from sharedstate.tasks.outcomes import Claimed, Kept, Lost, Refused, Released
from sharedstate.tasks.policy import ClaimAsk
from sharedstate.tasks.service import Tasks
from sharedstate.tasks.sightings import Sightings
from sharedstate.testing.contracts.steps import THREADS, Hooks, in_threads
from sharedstate.testing.history import violations_in_journal
from sharedstate.testing.memory import MemoryStore


class _Owner:
    """One owner with a store of its own."""

    def __init__(self, name: str, store: Store, ttl_ms: int) -> None:
        self.name = name
        self._ttl_ms = ttl_ms
        self.tasks = Tasks(store, host=Host(), rules=Rules(retries_max=1_000), sightings=Sightings(MemoryStore()))

    def claim(self, task: str = "GH-1") -> Claimed | Refused:
        ask = ClaimAsk(task=task, owner=self.name, digest_new=digest_of(self.name), ttl_ms=self._ttl_ms)
        return self.tasks.claim(ask)

    def renew(self) -> Kept | Lost:
        return self.tasks.renew("GH-1", owner=self.name, digest=digest_of(self.name))

    def release(self) -> Released | Lost:
        return self.tasks.release("GH-1", owner=self.name, digest=digest_of(self.name), status="failed")


class ClaimContract(Hooks):
    """Claims: one at a time, stale after the ttl by the store's clock, fences that only grow."""

    def owners(self, tmp_path: Path, *names: str) -> list[_Owner]:
        """Owners on one new state."""
        store = self.make_store(tmp_path)
        stores = [store] + [self.another(store, tmp_path) for _ in names[1:]]
        return [_Owner(name, mine, self.ttl_ms) for name, mine in zip(names, stores, strict=True)]

    def test_a_fresh_claim_holds_and_a_stale_one_is_taken_over_under_a_higher_fence(self, tmp_path: Path) -> None:
        a, b = self.owners(tmp_path, "ws/a", "ws/b")
        first = a.claim()
        assert isinstance(first, Claimed)
        assert isinstance(b.claim(), Refused)
        self.advance(a.tasks.store, self.ttl_ms + self.clock_spread_ms + 1)
        second = b.claim()
        assert isinstance(second, Claimed)
        assert (second.outcome, second.fence) == ("taken_over", first.fence + 1)
        assert isinstance(a.renew(), Lost)
        assert isinstance(a.release(), Lost)
        assert isinstance(b.renew(), Kept)

    def test_renewals_keep_a_claim_alive(self, tmp_path: Path) -> None:
        a, b = self.owners(tmp_path, "ws/a", "ws/b")
        assert isinstance(a.claim(), Claimed)
        for _ in range(4):
            self.advance(a.tasks.store, self.ttl_ms // 3)
            assert isinstance(a.renew(), Kept)
        assert isinstance(b.claim(), Refused)
        assert isinstance(a.release(), Released)
        again = b.claim()
        assert isinstance(again, Claimed)
        assert again.fence == 2

    def test_a_fence_survives_the_archive(self, tmp_path: Path) -> None:
        a, b = self.owners(tmp_path, "ws/a", "ws/b")
        a.claim()
        a.release()
        self.advance(a.tasks.store, 5)
        assert a.tasks.archive("GH-1", older_than_ms=1)
        assert b.tasks.store.get("tasks", "GH-1") is None
        again = b.claim()
        assert isinstance(again, Claimed)
        assert again.fence == 2

    def test_of_owners_who_claim_at_once_exactly_one_holds_each_task(self, tmp_path: Path) -> None:
        owners = self.owners(tmp_path, *(f"ws/{index}" for index in range(THREADS)))
        store = owners[0].tasks.store
        won: list[Claimed] = []

        def claims(owner: _Owner) -> None:
            answers = [owner.claim(f"GH-{number}") for number in (1, 2, 3)]
            won.extend(answer for answer in answers if isinstance(answer, Claimed))

        in_threads([partial(claims, owner) for owner in owners])
        tasks = sorted(claimed.task for claimed in won if claimed.outcome == "claimed")
        assert tasks == ["GH-1", "GH-2", "GH-3"]
        assert violations_in_journal(store.read("events")) == []
