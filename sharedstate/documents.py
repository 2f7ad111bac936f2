"""What may cross the store port, the same for every store: names, keys, fences, documents, events.

A store that accepts what another refuses would make programs that cannot change their store. So each calls these
checks; `sharedstate.testing.contracts` asks for every one of them.
"""

from __future__ import annotations

from typing import Any, Final

from sharedstate import jsonio
from sharedstate.errors import InvalidInput
from sharedstate.ids import check_id
from sharedstate.store import BEAT, Decision, Document, Mark

RECORD_BYTES_MAX: Final = 1024 * 1024
ENTRY_BYTES_MAX: Final = 1024 * 1024
# Names that a store keeps for its own envelope around a document, at the top level of it.
RECORD_NAMES: Final = frozenset(("schema", "id", "revision", "live", "last_events"))
ENTRY_NAMES: Final = frozenset(("seq", "at", "record"))
COLLECTIONS_TAKEN: Final = frozenset(("journal", "local"))
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
_NAME_CHARACTERS_MAX: Final = 100


def check_name(name: str, *, what: str) -> str:
    """A collection or journal name as given, or `InvalidInput`: 1-100 of `A-Z a-z 0-9 - _ .`, no leading dot.

    Unlike keys, which are data, these names are chosen by programs and stand in paths as they are.
    """
    if not name or len(name) > _NAME_CHARACTERS_MAX or name[0] == "." or not _PLAIN.issuperset(name):
        raise InvalidInput(
            f"{what} {name[:60]!a}: use 1-{_NAME_CHARACTERS_MAX} of A-Z a-z 0-9 - _ . and no leading dot"
        )
    if what == "collection" and name in COLLECTIONS_TAKEN:
        raise InvalidInput(f"collection {name!r} is reserved")
    return name


def check_record(collection: str, key: str) -> str:
    """The key in NFC, when collection and key may name a record; else `InvalidInput` (`InvalidId` for the key)."""
    check_name(collection, what="collection")
    return check_id(key, what="key")


def check_decision(decision: Decision[Any], *, alive: int | None, what: str) -> None:
    """Whether a decision can be carried out upon a record whose living fence is `alive`, or `InvalidInput`.

    `alive` is None, too, when there is no record. What cannot be encoded is found by `record_bytes` and `entry_bytes`.
    """
    write, live = decision.write, decision.live
    if not isinstance(write, dict | Mark):
        raise InvalidInput(f"{what}: a decision writes a document or a mark, not {type(write).__name__}")
    if live is not None and (type(live) is not int or not 0 <= live <= jsonio.COUNT_MAX):
        raise InvalidInput(f"{what}: a fence is a whole number from 0 to 2^53 - 1, not {live!r}")
    if write is BEAT and (live is None or alive is None):
        raise InvalidInput(f"{what}: a beat needs a record and the fence that is alive")


def record_bytes(document: Document, *, what: str) -> bytes:
    """Canonical JSON of a document, or `InvalidInput` when no reader would take it back as it is."""
    return _bytes(document, taken=RECORD_NAMES, bytes_max=RECORD_BYTES_MAX, what=what)


def entry_bytes(entry: Document, *, what: str = "a journal entry") -> bytes:
    """One line of compact JSON of a journal entry, or `InvalidInput`."""
    return _bytes(entry, taken=ENTRY_NAMES, bytes_max=ENTRY_BYTES_MAX, what=what, line=True)


def _bytes(document: Document, *, taken: frozenset[str], bytes_max: int, what: str, line: bool = False) -> bytes:
    own = taken.intersection(document)
    if own:
        raise InvalidInput(f"{what}: the store itself uses the names {sorted(own)}")
    try:
        raw = jsonio.encode_line(_named(document)) if line else jsonio.encode(document)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{what}: not a JSON document: {error}") from error
    if len(raw) > bytes_max:
        raise InvalidInput(f"{what}: {len(raw)} bytes, at most {bytes_max} are allowed")
    return raw


def _named(value: Any, depth: int = 0) -> Any:
    """The value itself, when every name in it is a text: the encoder of lines would quietly make texts of others."""
    if depth > jsonio.DEPTH_MAX:
        raise ValueError(f"deeper than {jsonio.DEPTH_MAX} levels")
    if isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                raise TypeError(f"names are texts, not {type(name).__name__}")
            if isinstance(item, dict | list | tuple):
                _named(item, depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _named(item, depth + 1)
    return value
