"""A store in memory in which others can act just before a transaction: a process that stands still at that point."""

from __future__ import annotations

from collections.abc import Callable

from sharedstate.host import Host
from sharedstate.store import Decision, Durability, Snapshot, T
from sharedstate.testing.memory import MemoryStore


class PausedStore(MemoryStore):
    """`before[collection]` is called once, before the next transaction on a record of that collection."""

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.before: dict[str, Callable[[], object]] = {}

    def transact(
        self,
        collection: str,
        key: str,
        decide: Callable[[Snapshot], Decision[T]],
        *,
        journal: str = "events",
        durability: Durability = "full",
        derived: bool = False,
    ) -> T:
        """As in memory, after what others do."""
        act = self.before.pop(collection, None)
        if act is not None:
            act()
        return super().transact(collection, key, decide, journal=journal, durability=durability, derived=derived)
