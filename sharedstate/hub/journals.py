"""The hub's journals: their names, their identity, where one ends, and what tells one entry from another."""

from __future__ import annotations

from typing import Final

from sharedstate import jsonio
from sharedstate.hub.model import JOURNAL, HubEvent
from sharedstate.ids import fingerprint
from sharedstate.store import Document, Entry, Store

OFFLINE: Final = "hub-offline"
HUB: Final = "hub"
IDENTITY: Final = "identity"
_KEPT: Final = "kept"
_ID: Final = "id"
_OURS: Final = frozenset((_KEPT, _ID))
_STEP: Final = 500


def name_of(store: Store) -> str:
    """The identity of the hub's journal in a store; empty before its first event."""
    found = store.get(HUB, IDENTITY)
    return "" if found is None else str(found.value["journal"])


def from_spool(name: str, entry: Entry) -> Document:
    """What is added to an event that is forwarded: where it stood."""
    return {_KEPT: {"spool": name, "sequence": entry.sequence}}


def is_forwarded(entry: Entry) -> bool:
    """Whether an event of the shared journal stood in some machine's spool before."""
    return _KEPT in entry.value


def place_in_spool(entry: Entry, name: str) -> int:
    """Where an event of the shared journal stood in the spool of this name; 0 for one that did not."""
    kept = entry.value.get(_KEPT)
    return int(kept["sequence"]) if isinstance(kept, dict) and name and kept.get("spool") == name else 0


def event_of(entry: Entry, cursor: str, *, local: bool = False) -> HubEvent:
    """An entry as a follower is told it."""
    inside = entry.value.get("event")  # what the hub itself notes about contexts stands there without one
    body = inside if isinstance(inside, dict) else {name: one for name, one in entry.value.items() if name not in _OURS}
    return HubEvent(sequence=entry.sequence, at_ms=entry.at_ms, body=body, cursor=cursor, local=local)


def end_of(store: Store, journal: str = JOURNAL, *, after: int = 0) -> Entry | None:
    """The last entry above `after`, with few questions however long the journal is; None when there is none."""
    low, step = after, _STEP
    while _goes_on(store, journal, low + step):
        low, step = low + step, step * 2
    while step > _STEP:
        step //= 2
        low = low + step if _goes_on(store, journal, low + step) else low
    last = None
    for entry in store.read(journal, after=low):
        last = entry
    return last


def mark_of(entry: Entry) -> str:
    """What another entry under the same number does not share: a journal that was lost and grew anew has others."""
    text = {"at": entry.at_ms, "record": entry.record, "value": entry.value}
    return fingerprint(jsonio.encode_line(text), size=4)


def key_of(entry: Entry) -> str:
    """What an event that is kept here has in both journals; empty for one that was never kept."""
    return str(entry.value.get(_ID, ""))


def _goes_on(store: Store, journal: str, after: int) -> bool:
    return next(iter(store.read(journal, after=after, limit=1)), None) is not None
