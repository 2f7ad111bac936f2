"""A file in which a merge left conflict markers, taken apart again: what each side wrote."""

from __future__ import annotations

from typing import Final

from sharedstate.values import Value

_OURS: Final = b"<<<<<<< "
_BASE: Final = b"||||||| "
_MIDDLE: Final = b"======="
_THEIRS: Final = b">>>>>>> "


class Sides(Value):
    """What two sides wrote, and their common ancestor where the markers show it (`diff3`)."""

    ours: bytes
    theirs: bytes
    base: bytes | None


def has_markers(raw: bytes) -> bool:
    """Whether some line begins as a conflict does. A line of JSON never does."""
    return raw.startswith(_OURS) or b"\n" + _OURS in raw


def take_apart(raw: bytes) -> Sides | None:
    """The sides of a file with markers; None when they are not whole, or nested."""
    ours: list[bytes] = []
    theirs: list[bytes] = []
    base: list[bytes] = []
    place, with_base, conflicts = "", 0, 0
    for line in raw.splitlines(keepends=True):
        bare = line.rstrip(b"\r\n")
        if line.startswith(_OURS):
            if place:
                return None
            place, conflicts = "ours", conflicts + 1
        elif place == "ours" and (line.startswith(_BASE) or bare == _BASE.strip()):
            place, with_base = "base", with_base + 1
        elif place in ("ours", "base") and bare == _MIDDLE:
            place = "theirs"
        elif line.startswith(_THEIRS) or bare == _THEIRS.strip():
            if place != "theirs":
                return None
            place = ""
        else:
            _put(line, place, ours=ours, theirs=theirs, base=base)
    if place or not conflicts:
        return None
    whole = b"".join(base) if with_base == conflicts else None
    return Sides(ours=b"".join(ours), theirs=b"".join(theirs), base=whole)


def _put(line: bytes, place: str, *, ours: list[bytes], theirs: list[bytes], base: list[bytes]) -> None:
    if place in ("", "ours"):
        ours.append(line)
    if place in ("", "theirs"):
        theirs.append(line)
    if place in ("", "base"):
        base.append(line)
