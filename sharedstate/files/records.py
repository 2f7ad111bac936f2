"""A record on disk: the caller's document with the store's envelope around it, flat, as canonical JSON.

Envelope: `schema`, `id` (the full key, compared on read), `revision`, `live` (fence of the living ownership or null)
and `last_events`, the journal entries of the last transition. They travel with the record, so a crash between record
and journal loses nothing: whoever comes next appends what is missing.
"""

from __future__ import annotations

from sharedstate import jsonio
from sharedstate.clock import iso_of_ms, ms_of_iso
from sharedstate.documents import RECORD_BYTES_MAX, RECORD_NAMES
from sharedstate.errors import Corrupt, InvalidInput, NewerFormat
from sharedstate.ids import record_name
from sharedstate.store import SCHEMA, Document
from sharedstate.values import Value

SUFFIX = ".json"


class LastEvents(Value):
    """What the last write has to say in a journal.

    The name of the `journal`, a sequence that it had reached before (the entries stand `after` it), wall time in Unix
    milliseconds, and the entries.
    """

    journal: str
    after: int
    at_ms: int
    events: list[Document]


class Stored(Value):
    """A record as it is on disk: the key it names, the document, and the envelope."""

    key: str
    value: Document
    revision: int
    live: int | None
    last_events: LastEvents | None


def encode_record(
    document: Document, *, key: str, revision: int, live: int | None, last_events: LastEvents | None
) -> bytes:
    """Bytes of a record, or `InvalidInput` when the document cannot be carried or read back."""
    taken = RECORD_NAMES.intersection(document)
    if taken:
        raise InvalidInput(f"{key}: the store itself uses the names {sorted(taken)}")
    whole: Document = {**document, "schema": SCHEMA, "id": key, "revision": revision, "live": live}
    whole["last_events"] = None if last_events is None else _last_events_out(last_events)
    try:
        raw = jsonio.encode(whole)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{key}: not a JSON document: {error}") from error
    if len(raw) > RECORD_BYTES_MAX:
        raise InvalidInput(f"{key}: {len(raw)} bytes, at most {RECORD_BYTES_MAX} fit in a record")
    return raw


def decode_record(raw: bytes, *, what: str) -> Stored:
    """The record in `raw`. Raises `Corrupt` with the reason, `NewerFormat` for a newer major schema."""
    value = jsonio.decode(raw, what=what)
    schema = value.pop("schema", None)
    if type(schema) is not int or schema < 1:
        raise Corrupt(f"{what}: no schema number")
    if schema > SCHEMA:
        raise NewerFormat(f"{what}: format {schema}, this version knows {SCHEMA}")
    key, revision, live = value.pop("id", None), value.pop("revision", None), value.pop("live", None)
    if type(key) is not str:
        raise Corrupt(f"{what}: no id")
    if type(revision) is not int or not 1 <= revision <= jsonio.COUNT_MAX:
        raise Corrupt(f"{what}: no revision")
    if live is not None and (type(live) is not int or not 0 <= live <= jsonio.COUNT_MAX):
        raise Corrupt(f"{what}: live is not a fence")
    told = value.pop("last_events", None)
    last_events = None if told is None else _last_events_in(told, what=what)
    return Stored(key=key, value=value, revision=revision, live=live, last_events=last_events)


def check_key(stored: Stored, key: str, *, what: str) -> Stored:
    """The record itself when it is the one of `key`, else `Corrupt`."""
    if stored.key != key:
        raise Corrupt(f"{what}: holds the record of {stored.key[:60]!a}")
    return stored


def check_name_of(stored: Stored, name: str, *, what: str) -> Stored:
    """The record itself when its id belongs to the file `name`, else `Corrupt`."""
    if record_name(stored.key) + SUFFIX != name:
        raise Corrupt(f"{what}: holds the record of {stored.key[:60]!a}, which has another file")
    return stored


def _last_events_out(last_events: LastEvents) -> Document:
    return {
        "journal": last_events.journal,
        "after": last_events.after,
        "at": iso_of_ms(last_events.at_ms),
        "entries": last_events.events,
    }


def _last_events_in(told: object, *, what: str) -> LastEvents:
    if not isinstance(told, dict):
        raise Corrupt(f"{what}: last_events is not an object")
    journal, after, at, events = told.get("journal"), told.get("after"), told.get("at"), told.get("entries")
    if type(journal) is not str or type(after) is not int or type(at) is not str or type(events) is not list:
        raise Corrupt(f"{what}: last_events is incomplete")
    if not all(type(event) is dict for event in events):
        raise Corrupt(f"{what}: last_events holds something other than objects")
    try:
        return LastEvents(journal=journal, after=after, at_ms=ms_of_iso(at), events=events)
    except ValueError as error:
        raise Corrupt(f"{what}: last_events: {error}") from None
