"""The file store passes the whole store contract, with real files."""

from __future__ import annotations

from pathlib import Path

from sharedstate.files.store import FileStore
from sharedstate.ids import record_name
from sharedstate.store import Store
from sharedstate.testing.clock import FakeHost, FakeMachine
from sharedstate.testing.contracts import PortableContract, StoreContract
from sharedstate.testing.contracts.steps import Opener


class TestFileStore(StoreContract, PortableContract):
    def make_store(self, tmp_path: Path) -> Store:
        return FileStore(str(tmp_path / "state"))

    def another(self, store: Store, tmp_path: Path) -> Store:
        return FileStore(str(tmp_path / "state"))

    def opener(self, store: Store, tmp_path: Path) -> Opener | None:
        return ("sharedstate.files.store:FileStore", str(tmp_path / "state"))

    def plant_bad_record(self, store: Store, collection: str, key: str) -> bool:
        assert isinstance(store, FileStore)
        path = Path(store.root.path) / collection / f"{record_name(key)}.json"
        path.write_bytes(b'{"torn": ')
        return True

    def lose_beats(self, store: Store) -> bool:
        assert isinstance(store, FileStore)
        for cell in (Path(store.root.path) / "local" / "beats").glob("*/*"):
            cell.unlink()
        return True


class TestFileStoreOnFakeTime(TestFileStore):
    def make_store(self, tmp_path: Path) -> Store:
        self.machine = FakeMachine()
        return FileStore(str(tmp_path / "state"), host=FakeHost(machine=self.machine))

    def advance(self, store: Store, ms: int) -> None:
        self.machine.advance(ms / 1000)

    def opener(self, store: Store, tmp_path: Path) -> Opener | None:
        return None  # its time is this process's own

    def another(self, store: Store, tmp_path: Path) -> Store:
        return FileStore(str(tmp_path / "state"), host=FakeHost(machine=self.machine))
