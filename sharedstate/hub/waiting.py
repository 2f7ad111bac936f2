"""A mark in this machine's files: something was kept here that the shared store has not seen yet.

A process that never noticed the outage, or was started after it, joins because of this mark before it does anything
else; otherwise it would write on top of a context that lacks what was accepted meanwhile.
"""

from __future__ import annotations

from typing import Final

from sharedstate.errors import Corrupt
from sharedstate.store import Decision, Document, Snapshot, Store

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
        """What to give to `joined`; None when nothing waits. Where the mark cannot be read, something may."""
        try:
            found = self._local.get(COLLECTION, KEY)
            count, joined = (0, 0) if found is None else _counts(found.value)
        except Corrupt:
            return 0
        return count if count > joined else None

    def joined(self, seen: int) -> None:
        """Both ends have been brought together since `seen` was looked up."""

        def mark(snapshot: Snapshot) -> Decision[None]:
            kept, joined = _known(snapshot)
            if snapshot.value is not None and joined >= seen > 0:
                return Decision(result=None)
            return Decision(result=None, write={"kept": max(kept, seen), "joined": max(joined, seen)})

        self._local.transact(COLLECTION, KEY, mark, derived=True)


def _kept(snapshot: Snapshot) -> Decision[None]:
    kept, joined = _known(snapshot)
    return Decision(result=None, write={"kept": kept + 1, "joined": joined})


def _known(snapshot: Snapshot) -> tuple[int, int]:
    try:
        return (0, 0) if snapshot.value is None else _counts(snapshot.value)
    except Corrupt:
        return 0, 0  # it is made anew


def _counts(value: Document) -> tuple[int, int]:
    kept, joined = value.get("kept"), value.get("joined")
    if type(kept) is not int or type(joined) is not int:
        raise Corrupt("the mark of what waits for the shared store is damaged")
    return kept, joined
