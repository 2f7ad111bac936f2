"""The git store passes the whole contract: real git, a bare remote over the file system."""

from __future__ import annotations

from pathlib import Path

from sharedstate.store import Store
from sharedstate.testing.contracts import (
    BeatContract,
    ClaimContract,
    JournalContract,
    PortableContract,
    RaceContract,
    RecordContract,
    StoreContract,
)
from sharedstate.testing.contracts.steps import Opener
from sharedstate_adapters.git.store import GitStore
from tests.integration.git.ground import a_machine, bare_remote, drop_beats, spoil_record


class Behind:
    """What can be done behind a store's back: another commit at the remote."""

    def plant_bad_record(self, store: Store, collection: str, key: str) -> bool:
        assert isinstance(store, GitStore)
        spoil_record(store, collection, key)
        return True

    def lose_beats(self, store: Store) -> bool:
        assert isinstance(store, GitStore)
        drop_beats(store)
        return True


class TestGitStore(Behind, StoreContract, PortableContract):
    """Two store objects, one machine: they share the local side, its locks and its pushes."""

    ttl_ms = 2_000

    def make_store(self, tmp_path: Path) -> Store:
        return a_machine(str(bare_remote(tmp_path)), str(tmp_path / "one"))

    def another(self, store: Store, tmp_path: Path) -> Store:
        return a_machine(str(tmp_path / "remote.git"), str(tmp_path / "one"))

    def opener(self, store: Store, tmp_path: Path) -> Opener | None:
        return ("tests.integration.git.ground:a_machine", str(tmp_path / "remote.git"), str(tmp_path / "one"))


class TestGitStoreOfTwoMachines(Behind, RecordContract, BeatContract, JournalContract, ClaimContract, RaceContract):
    """Each store object is a machine of its own: only the remote is shared. Beats are published at once."""

    ttl_ms = 3_000

    def make_store(self, tmp_path: Path) -> Store:
        self.machines = 0
        bare_remote(tmp_path)
        return self.another(None, tmp_path)

    def another(self, store: Store | None, tmp_path: Path) -> Store:
        self.machines += 1
        return a_machine(str(tmp_path / "remote.git"), str(tmp_path / f"machine-{self.machines}"), "0")
