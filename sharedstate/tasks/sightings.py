"""When did *we* first see a beat from the future? Remembered, so that a wrong clock makes no immortal claim."""

from __future__ import annotations

from sharedstate import logs
from sharedstate.clock import Instant
from sharedstate.errors import Corrupt, StoreError
from sharedstate.store import Beat, Decision, Snapshot, Store

_COLLECTION = "sightings"


class Sightings:
    """First sightings of beats that lie beyond the allowed skew, one record per task in the machine's own store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def first_seen(self, task: str, beat: Beat) -> Instant | None:
        """When this very beat was first noted, or None (also when that cannot be read). Reads only."""
        try:
            found = self._store.get(_COLLECTION, task)
            if found is None or found.value.get("beat") != _fingerprint(beat):
                return None
            return Instant(**found.value["seen"])
        except (StoreError, Corrupt, KeyError, TypeError):
            return None

    def note(self, task: str, beat: Beat) -> None:
        """Remember that this beat was seen now, unless it is remembered already.

        A lost note only delays a takeover, so a store that fails is a warning.
        """

        def decide(snapshot: Snapshot) -> Decision[None]:
            if snapshot.value is not None and snapshot.value.get("beat") == _fingerprint(beat):
                return Decision(result=None)
            return Decision(result=None, write={"beat": _fingerprint(beat), "seen": snapshot.now.fields()})

        try:
            self._store.transact(_COLLECTION, task, decide, durability="relaxed", derived=True)
        except (StoreError, Corrupt) as error:
            logs.warn("a heartbeat of %r from the future was not noted: %s", task, error)


def _fingerprint(beat: Beat) -> list[object]:
    return [beat.fence, beat.seen.at_ms, beat.seen.boot_ms, beat.seen.boot_id]
