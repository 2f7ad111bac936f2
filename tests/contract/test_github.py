"""The GitHub store passes the store contract, over real PyGithub and FakeGitHub on a manual clock.

All of it applies, with two remarks. Journals are machine-local, so two stores share a sequence only on one machine:
the tests of journals and races run with two stores of one machine, those of records and beats with two machines too.
Beats are lost with their comments only, so there is no way to lose them alone (`lose_beats` stays False: one skip).
"""

from __future__ import annotations

import re
from pathlib import Path

from sharedstate.store import Store
from sharedstate.testing.contracts import (
    BeatContract,
    ClaimContract,
    LimitContract,
    RaceContract,
    RecordContract,
    StoreContract,
)
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.github.store import GitHubStore
from sharedstate_adapters.github.transition import mark_in
from tests.integration.github.stores import Ground, forget_steps

AGES_S = 1e9  # the manual clock is moved by all threads that wait


class OnGround:
    """What the harnesses share: the clock of the ground, and a ttl that is long beside the settling of a claim."""

    ttl_ms = 60_000
    clock_spread_ms = 1_000
    ordered_events = False  # each process notes its own transitions in the journal of the machine, once they stand
    ground: Ground

    def advance(self, store: Store, ms: int) -> None:
        self.ground.host.advance(ms / 1000)


class TestGitHubStore(OnGround, StoreContract):
    def make_store(self, tmp_path: Path) -> Store:
        self.ground = Ground()
        self.local = MemoryStore(self.ground.host)
        return self.open()

    def another(self, store: Store, tmp_path: Path) -> Store:
        return self.open()

    def open(self) -> GitHubStore:
        return self.ground.store(local=self.local, patience_s=AGES_S)

    def plant_bad_record(self, store: Store, collection: str, key: str) -> bool:
        for issue in range(1, 5):
            for comment in self.ground.steps(issue):
                mark = mark_in(comment["body"])
                if mark is not None and (mark.collection, mark.key) == (collection, key):
                    broken = re.sub(r'"revision": [0-9]+', '"revision": 77', comment["body"])
                    self.ground.fake.edit_comment(comment["id"], broken)
        forget_steps(self.local)
        return True


class TestGitHubStoreOfTwoMachines(OnGround, RecordContract, LimitContract, BeatContract, ClaimContract):
    """Another machine, with another account, that shares nothing but the repository and the key."""

    def make_store(self, tmp_path: Path) -> Store:
        self.ground = Ground()
        return self.ground.store(patience_s=AGES_S)

    def another(self, store: Store, tmp_path: Path) -> Store:
        return self.ground.store("friend", patience_s=AGES_S)


class TestUnsignedGitHubStoreRacesOfManyMachines(OnGround, RaceContract):
    """Each store is a machine of its own, without keys; only the count of journal entries is another matter."""

    def make_store(self, tmp_path: Path) -> Store:
        self.ground = Ground()
        self.local = MemoryStore(self.ground.host)
        return self.open()

    def another(self, store: Store, tmp_path: Path) -> Store:
        return self.open()

    def open(self) -> GitHubStore:
        return self.ground.store(local=self.local, key="", patience_s=AGES_S)
