"""The memory store passes the whole store contract, also when every decision is run twice."""

from __future__ import annotations

from pathlib import Path

from sharedstate.host import Host
from sharedstate.store import Store
from sharedstate.testing.contracts import PortableContract, StoreContract
from sharedstate.testing.memory import MemoryStore


class TestMemoryStore(StoreContract, PortableContract):
    def make_store(self, tmp_path: Path) -> Store:
        return MemoryStore()

    def advance(self, store: Store, ms: int) -> None:
        assert isinstance(store, MemoryStore)
        store.host.sleep(ms / 1000)

    def plant_bad_record(self, store: Store, collection: str, key: str) -> bool:
        assert isinstance(store, MemoryStore)
        store.plant(collection, key, b'{"torn": ')
        return True

    def lose_beats(self, store: Store) -> bool:
        assert isinstance(store, MemoryStore)
        store.lose_beats()
        return True


class TestMemoryStoreRunningDecisionsTwice(TestMemoryStore):
    def make_store(self, tmp_path: Path) -> Store:
        return MemoryStore(reruns=1)


class TestMemoryStoreOnRealTime(TestMemoryStore):
    def make_store(self, tmp_path: Path) -> Store:
        return MemoryStore(Host())
