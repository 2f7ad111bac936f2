"""What this machine keeps while the shared store is away, as a follower is told it: each event once, here or there."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from sharedstate.hub.cursors import Kept
from sharedstate.hub.journals import OFFLINE, end_of, is_forwarded, key_of, name_of, place_in_spool
from sharedstate.store import Entry, Store

BATCH: Final = 500
TOLD_MAX: Final = 10_000


class KeptHere:
    """A follower's way through this machine's spool.

    Up to `begin` all of it stands in the shared journal, and was seen there; above, up to `end`, it was told from here.
    What is forwarded says where it stood.
    """

    def __init__(self, local: Store, kept: Kept | None, *, skip: bool) -> None:
        self._local = local
        self._told: OrderedDict[str, None] = OrderedDict()
        self._passed: OrderedDict[str, None] = OrderedDict()
        self._name = name_of(local)
        self._begin = self._end = 0
        if kept is not None and kept.spool == self._name:
            self._begin, self._end = kept.begin, kept.end
            first = max(kept.begin, kept.end - TOLD_MAX)
            for entry in local.read(OFFLINE, after=first, limit=kept.end - first):
                _remember(self._told, entry)
        elif skip or (kept is not None and kept.spool != self._name):
            last = end_of(local, OFFLINE)
            self._begin = self._end = 0 if last is None else last.sequence

    @property
    def place(self) -> Kept | None:
        """What a cursor carries of this; None while nothing was ever kept here."""
        return Kept(spool=self._name, begin=self._begin, end=self._end) if self._name else None

    def new(self) -> Iterator[Entry]:
        """What was kept since, in order; not what has come through the shared store already."""
        self._name = self._name or name_of(self._local)
        for entry in list(self._local.read(OFFLINE, after=self._end, limit=BATCH)):
            self._end = entry.sequence
            if key_of(entry) not in self._passed:
                _remember(self._told, entry)
                yield entry

    def was_told(self, entry: Entry) -> bool:
        """Whether an event of the shared journal was told when it stood here only."""
        if not self._name and is_forwarded(entry):
            self._name = name_of(self._local)
        self._begin = max(self._begin, place_in_spool(entry, self._name))
        self._end = max(self._begin, self._end)
        _remember(self._passed, entry)
        return key_of(entry) in self._told


def _remember(where: OrderedDict[str, None], entry: Entry) -> None:
    key = key_of(entry)
    if key:
        where[key] = None
        if len(where) > TOLD_MAX:
            where.popitem(last=False)
