"""Cursors: how far a follower has come, as one word that survives restarts."""

from __future__ import annotations

import re
from typing import Final

from sharedstate.errors import InvalidInput
from sharedstate.values import Value

NOW: Final = "now"
_FORM: Final = re.compile(
    r"(?P<identity>[0-9A-Za-z_-]{0,64}):(?P<sequence>[0-9]{1,16})(?::(?P<mark>[0-9a-f]{8}))?"
    r"(?:\+(?P<spool>[0-9a-f]{1,32})\.(?P<begin>[0-9]{1,16})\.(?P<end>[0-9]{1,16}))?"
)


class Kept(Value):
    """Events that were told while they stood in this machine's spool only: those above `begin`, up to `end`."""

    spool: str
    begin: int
    end: int


class Cursor(Value):
    """A place in the shared journal: its `identity`, the last event's `sequence` and `mark`; empty where unknown.

    `kept` is there once events were told that stood on this machine only: they are not told again when they come
    through the shared store.
    """

    identity: str = ""
    sequence: int = 0
    mark: str = ""
    kept: Kept | None = None

    def __str__(self) -> str:
        mark = f":{self.mark}" if self.mark else ""
        kept = "" if self.kept is None else f"+{self.kept.spool}.{self.kept.begin}.{self.kept.end}"
        return f"{self.identity}:{self.sequence}{mark}{kept}"


def read_cursor(text: object) -> Cursor:
    """A cursor that an event carried; nothing and `now` have no place of their own. Raises `InvalidInput`."""
    if not isinstance(text, str):
        raise InvalidInput(f"a cursor is text, not {type(text).__name__}")
    if text in ("", NOW):
        return Cursor()
    found = _FORM.fullmatch(text)
    if found is None:
        raise InvalidInput(f"not a cursor: {text[:60]!a}; give one that an event carried")
    kept = None
    if found["spool"] is not None:
        kept = Kept(spool=found["spool"], begin=int(found["begin"]), end=int(found["end"]))
    return Cursor(identity=found["identity"], sequence=int(found["sequence"]), mark=found["mark"] or "", kept=kept)
