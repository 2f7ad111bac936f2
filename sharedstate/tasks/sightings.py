"""When did *we* first see a beat from the future? Remembered, so that a wrong clock makes no immortal claim."""

from __future__ import annotations

from sharedstate.clock import Instant
from sharedstate.store import Beat, Decision, Snapshot, Store

_COLLECTION = "sightings"


class Sightings:
    """First sightings of beats that lie beyond the allowed skew, one record per task in the machine's own store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def first_seen(self, task: str, beat: Beat) -> Instant | None:
        """When this very beat was first noted, or None. Reads only."""
        found = self._store.get(_COLLECTION, task)
        if found is None or found.value.get("beat") != _fingerprint(beat):
            return None
        seen = found.value["seen"]
        return Instant(at_ms=seen["at_ms"], boot_ms=seen["boot_ms"], boot_id=seen["boot_id"])

    def note(self, task: str, beat: Beat) -> None:
        """Remember that this beat was seen now, unless it is remembered already. A lost note only delays a takeover."""

        def decide(snapshot: Snapshot) -> Decision[None]:
            if snapshot.value is not None and snapshot.value.get("beat") == _fingerprint(beat):
                return Decision(result=None)
            return Decision(result=None, write={"beat": _fingerprint(beat), "seen": snapshot.now.fields()})

        self._store.transact(_COLLECTION, task, decide, durability="relaxed")


def _fingerprint(beat: Beat) -> list[object]:
    return [beat.fence, beat.seen.at_ms, beat.seen.boot_ms, beat.seen.boot_id]
