"""A mark in this machine's files: something was kept here that the shared store has not seen yet.

A process that never noticed the outage, or was started after it, joins because of this mark before it does anything
else; otherwise it would write on top of a context that lacks what was accepted meanwhile.
"""

from __future__ import annotations

from typing import Final

from sharedstate.store import Decision, Snapshot, Store

COLLECTION: Final = "hub"
KEY: Final = "waiting"


class Waiting:
    """How often something was kept, and up to which of these both ends have been brought together."""

    def __init__(self, local: Store) -> None:
        self._local = local

    def kept(self) -> None:
        """Something has just been kept. Call it after the write: who joins before this is made to join again."""
        self._local.transact(COLLECTION, KEY, _kept, derived=True)

    def seen(self) -> int | None:
        """What to give to `joined`; None when nothing waits."""
        found = self._local.get(COLLECTION, KEY)
        if found is None:
            return None
        count, joined = int(found.value["kept"]), int(found.value["joined"])
        return count if count > joined else None

    def joined(self, seen: int) -> None:
        """Both ends have been brought together since `seen` was looked up."""

        def mark(snapshot: Snapshot) -> Decision[None]:
            if snapshot.value is None or int(snapshot.value["joined"]) >= seen:
                return Decision(result=None)
            return Decision(result=None, write={**snapshot.value, "joined": seen})

        self._local.transact(COLLECTION, KEY, mark, derived=True)


def _kept(snapshot: Snapshot) -> Decision[None]:
    known = {"kept": 0, "joined": 0} if snapshot.value is None else snapshot.value
    return Decision(result=None, write={"kept": int(known["kept"]) + 1, "joined": int(known["joined"])})
