"""Merging the bytes of one file of state: a record (`.json`) or a journal (`.jsonl`); conflict markers are taken apart.

Pure. Nothing is guessed: a side that cannot be read leaves the file to a person, with the bytes of all sides intact.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from sharedstate import jsonio
from sharedstate.errors import Corrupt
from sharedstate.merging.markers import has_markers, take_apart
from sharedstate.merging.records import CONFLICTS, ENVELOPE, Document, merge_documents, merge_runs
from sharedstate.values import Value

SCHEMA: Final = 1
_HEADS: Final = ("seq", "at", "record")
_UNREADABLE: Final = "\0unreadable line"  # no entry of ours has such a name


class MergedFile(Value):
    """The outcome: bytes for the file (None: left as it was), and what a person should see; `notes` only inform."""

    raw: bytes | None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def merge_files(base: bytes, ours: bytes, theirs: bytes, *, journal: bool) -> MergedFile:
    """Merge three versions of one file; an empty `base` means that there is no common ancestor."""
    merge = _merge_journals if journal else _merge_records
    try:
        found = [_whole(raw, name, merge) for raw, name in ((base, "base"), (ours, "ours"), (theirs, "theirs"))]
        merged = merge(found[0].raw or b"", found[1].raw or b"", found[2].raw or b"")
    except Corrupt as error:
        return MergedFile(raw=None, problems=(f"{error}: left as it is",))
    problems = tuple(text for one in (*found[1:], merged) for text in one.problems)
    return merged.replace(problems=tuple(dict.fromkeys(problems)))


def repair_file(raw: bytes, *, journal: bool) -> MergedFile:
    """A file with conflict markers, merged from what they hold; one without stays as it is."""
    if not has_markers(raw):
        return MergedFile(raw=raw)
    try:
        return _whole(raw, "the file", _merge_journals if journal else _merge_records)
    except Corrupt as error:
        return MergedFile(raw=None, problems=(f"{error}: left as it is",))


def _whole(raw: bytes, name: str, merge: Any) -> MergedFile:
    """One version without markers."""
    if not has_markers(raw):
        return MergedFile(raw=raw)
    sides = take_apart(raw)
    if sides is None:
        raise Corrupt(f"{name}: its conflict markers are not whole")
    merged: MergedFile = merge(sides.base or b"", sides.ours, sides.theirs)
    return merged


# Records


def _merge_records(base: bytes, ours: bytes, theirs: bytes) -> MergedFile:
    if not ours.strip() or not theirs.strip():
        return MergedFile(raw=ours if ours.strip() else theirs)
    one, other = _record(ours, "ours"), _record(theirs, "theirs")
    was: Document | None = None
    notes: tuple[str, ...] = ()
    try:
        was = _record(base, "base") if base.strip() else None
    except Corrupt as error:  # without it more is seen as changed by both, and nothing is lost by that
        notes = (f"{error}; merged without it",)
    if one.get("id") != other.get("id"):
        raise Corrupt("ours and theirs are records of different ids")
    merged = merge_documents(None if was is None else _inner(was), _inner(one), _inner(other))
    raw = jsonio.encode({**merged.value, **_envelope(was, one, other, merged.value)})
    problems = tuple(
        f"both sides changed {at}; what is not in its place stands under {CONFLICTS}" for at in merged.conflicts
    )
    return MergedFile(raw=raw, problems=problems, notes=notes)


def _record(raw: bytes, name: str) -> Document:
    value = jsonio.decode(raw, what=name)
    schema = value.get("schema")
    if type(schema) is not int or type(value.get("id")) is not str:
        raise Corrupt(f"{name}: not a record of shared state")
    if schema > SCHEMA:
        raise Corrupt(f"{name}: format {schema}, this version knows {SCHEMA}")
    return value


def _inner(record: Document) -> Document:
    return {name: value for name, value in record.items() if name not in ENVELOPE}


def _envelope(was: Document | None, one: Document, other: Document, merged: Document) -> Document:
    """The store's own fields: the revision never goes back, the fence that lives is that of the merged document."""
    revisions = [side["revision"] for side in (was or {}, one, other) if type(side.get("revision")) is int]
    latest = max(revisions, default=1)
    alike = [side for side in (one, other) if jsonio.text_of(_inner(side)) == jsonio.text_of(merged)]
    kept = max(alike, key=lambda side: (side.get("revision") == latest, jsonio.text_of(side)), default=None)
    as_it_was = kept is not None and kept.get("revision") == latest
    return {
        "schema": SCHEMA,
        "id": one["id"],
        "revision": latest if as_it_was else latest + 1,
        "live": _live(was or {}, one, other, merged),
        "last_events": kept.get("last_events") if kept is not None and as_it_was else None,
    }


def _live(was: Document, one: Document, other: Document, merged: Document) -> int | None:
    if isinstance(merged.get("status"), str) and type(merged.get("fence")) is int:
        return merged["fence"] if merged["status"] == "claimed" else None
    told = [side.get("live") for side in (was, one, other)]
    if told[1] == told[2] or told[2] == told[0]:
        return _fence(told[1])
    if told[1] == told[0]:
        return _fence(told[2])
    return max((fence for fence in map(_fence, told[1:]) if fence is not None), default=None)


def _fence(value: Any) -> int | None:
    return value if type(value) is int else None


# Journals


def _merge_journals(base: bytes, ours: bytes, theirs: bytes) -> MergedFile:
    if ours == theirs:
        return MergedFile(raw=ours)
    runs = [_entries(raw, name) for raw, name in ((base, "base"), (ours, "ours"), (theirs, "theirs"))]
    problems = tuple(text for run in runs[1:] for text in run[1])
    was, one, other = (run[0] for run in runs)
    common = 0
    while common < min(len(one), len(other)) and one[common] == other[common]:
        common += 1
    first = min((int(entry.get("seq", 1)) for entry in (*was[:1], *one[:1], *other[:1])), default=1)
    bodies = [[_body(entry) for entry in run[common:]] for run in (one, other)]
    merged = merge_runs(bodies[0], bodies[1], order=lambda body: (str(body.get("at", "")), jsonio.text_of(body)))
    begins = first + common
    entries = [*one[:common], *({**body, "seq": begins + at} for at, body in enumerate(merged))]
    renumbered = any(entry not in entries for entry in (*one, *other))
    notes = (f"entries from {begins} on have new sequence numbers",) if renumbered else ()
    raw = b"".join(map(_line, entries))
    return MergedFile(raw=raw, problems=tuple(dict.fromkeys(problems)), notes=notes)


def _entries(raw: bytes, name: str) -> tuple[list[Document], list[str]]:
    """The entries of a journal; a line that cannot be read is kept as one."""
    found: list[Document] = []
    problems: list[str] = []
    for number, line in enumerate(raw.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = jsonio.decode(line, what=name)
            if type(entry.get("seq")) is not int:
                raise Corrupt(f"{name}: no sequence")
        except Corrupt as error:
            problems.append(f"line {number} of {error}; its bytes are kept")
            entry = {"seq": len(found) + 1, "at": "", _UNREADABLE: base64.b64encode(line).decode()}
        found.append(entry)
    return found, problems


def _body(entry: Document) -> Document:
    return {name: value for name, value in entry.items() if name != "seq"}


def _line(entry: Document) -> bytes:
    """A line as the file store writes it: sequence, moment and transition first."""
    if _UNREADABLE in entry:
        return base64.b64decode(entry[_UNREADABLE]) + b"\n"
    heads = [f'"{name}":{jsonio.text_of(entry[name])}'.encode() for name in _HEADS if name in entry]
    rest = jsonio.encode_line({name: value for name, value in entry.items() if name not in _HEADS})
    return b"{" + b",".join([*heads, rest[1:]]) if rest != b"{}\n" else b"{" + b",".join(heads) + b"}\n"
