"""The keys of a store, and what stands under them.

Every key begins with `{PREFIX}:`, one hash tag. A record is a field of its collection's hash: a head line
`REVISION FENCE|- NONCE`, then the canonical JSON. The nonce makes every state of a record unique, also after a
deletion, so that comparing the head is enough to know that nothing happened in between.
"""

from __future__ import annotations

import re
from typing import Final

from sharedstate import jsonio
from sharedstate.clock import Instant
from sharedstate.errors import Corrupt
from sharedstate.store import Beat, Document, Versioned
from sharedstate.values import Value

_HEAD: Final = re.compile(rb"([1-9][0-9]{0,15}) ([0-9]{1,16}|-) [0-9a-f]{32}\n")
_HEAD_BYTES_MAX: Final = 128
_BEAT: Final = re.compile(rb"([0-9]{1,16}) ([0-9]{1,16})")


class Keys:
    """The names of all keys of one store."""

    __slots__ = ("names", "prefix")

    def __init__(self, prefix: str) -> None:
        self.prefix = f"{{{prefix}}}:"
        self.names = f"{self.prefix}names"

    def records(self, collection: str) -> str:
        """The hash of a collection: a field for each record."""
        return f"{self.prefix}records:{collection}"

    def live(self, collection: str) -> str:
        """The set of keys of records that somebody holds."""
        return f"{self.prefix}live:{collection}"

    def beats(self, collection: str) -> str:
        """What the beats of a collection begin with; the record's key follows."""
        return f"{self.prefix}beat:{collection}:"

    def of_record(self, collection: str, key: str) -> tuple[str, str]:
        """Where a record stands, and its beat."""
        return self.records(collection), self.beats(collection) + key

    def journal(self, name: str) -> str:
        """The stream of a journal."""
        return f"{self.prefix}journal:{name}"

    def op(self, nonce: str) -> str:
        """The mark of one change that was made."""
        return f"{self.prefix}op:{nonce}"

    def kept(self, collection: str) -> str:
        """The hash of bytes that could not be read and were replaced."""
        return f"{self.prefix}kept:{collection}"


class Stored(Value):
    """A record as it lies in the server: its `head` line, what that says, and the document."""

    head: bytes
    revision: int
    live: int | None
    value: Document


def head_of(raw: bytes | None) -> bytes:
    """The head of a record's bytes, as the scripts compare it; empty when there is no record."""
    if raw is None:
        return b""
    end = raw.find(b"\n")
    return raw[: end + 1] if end >= 0 else raw[:_HEAD_BYTES_MAX]


def pack(revision: int, live: int | None, nonce: str, document: bytes) -> bytes:
    """The bytes of a record."""
    return f"{revision} {'-' if live is None else live} {nonce}\n".encode() + document


def unpack(raw: bytes, *, what: str) -> Stored:
    """A record from its bytes. Raises `Corrupt`."""
    found = _HEAD.match(raw)
    if found is None:
        raise Corrupt(f"{what}: its first line is not that of a record", hint=_HINT)
    revision = int(found[1])
    live = None if found[2] == b"-" else int(found[2])
    if max(revision, live or 0) > jsonio.COUNT_MAX:
        raise Corrupt(f"{what}: a revision or fence above 2^53 - 1", hint=_HINT)
    value = jsonio.decode(raw[found.end() :], what=what)
    return Stored(head=found[0], revision=revision, live=live, value=value)


_HINT: Final = "look at the field of the record's hash (docs/redis-store.md, Keys); its bytes stay as they are"


def pack_beat(fence: int, at_ms: int) -> bytes:
    """The bytes of a beat."""
    return b"%d %d" % (fence, at_ms)


def unpack_beat(raw: bytes | None) -> Beat | None:
    """A beat from its bytes; None when there is none or it cannot be read: then the claim only looks older."""
    found = None if raw is None else _BEAT.fullmatch(raw)
    if found is None:
        return None
    return Beat(fence=int(found[1]), seen=Instant(at_ms=int(found[2]), boot_ms=0, boot_id=""))


def versioned(key: str, raw: bytes, beat: bytes | None, *, what: str) -> Versioned:
    """The record as callers see it. Raises `Corrupt`."""
    stored = unpack(raw, what=what)
    seen = None if stored.live is None else unpack_beat(beat)
    return Versioned(key=key, value=stored.value, revision=stored.revision, beat=seen, live=stored.live)
