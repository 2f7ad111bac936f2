"""What stands where in the tree of the ref, and how it reads: records, journals, and `head.json` about the whole.

    head.json                                     identity, serial number, commits since the history began, writers
    records/<collection>/<aa>/<name>.json         a record with its envelope and its last beat; executable while alive
    journal/<name>/<block>/<first sequence>.jsonl up to 64 entries, 256 such files to a block
    kept/<collection>/<name>-<object>.json        bytes of records that could not be read and were made anew

Record and entry are laid out as the file store does, flat and canonical; only `live` is an object here, because the
beat travels with the record. The mode of a file says whether a record is alive, so that a look at the living ones
reads no other.
"""

from __future__ import annotations

from typing import Any, Final

from sharedstate import jsonio
from sharedstate.clock import Instant, iso_of_ms, ms_of_iso
from sharedstate.documents import ENTRY_NAMES
from sharedstate.errors import Corrupt, NewerFormat
from sharedstate.ids import record_name
from sharedstate.store import SCHEMA, Beat, Document, Entry
from sharedstate.values import Value
from sharedstate_adapters.git.paths import Path

HEAD: Final[Path] = ("head.json",)
RECORDS: Final = "records"
JOURNAL: Final = "journal"
KEPT: Final = "kept"
PLAIN_FILE: Final = "100644"
LIVING_FILE: Final = "100755"
WRITERS_MAX: Final = 512
SEGMENT_ENTRIES_MAX: Final = 64
SEGMENT_BYTES_MAX: Final = 64 * 1024
_BLOCK_ENTRIES: Final = 16_384
_SHARD: Final = 2
_HASH_CHARACTERS: Final = 32


class Stored(Value):
    """A record as it stands in the tree: key, document, and the envelope."""

    key: str
    value: Document
    revision: int
    live: int | None
    beat: Beat | None


class Writer(Value):
    """The last commit of one machine that is in the state: of which chain, the how manieth, when, and its `serial`."""

    chain: str
    count: int
    at_ms: int
    serial: int = 0


class Head(Value):
    """What the state says about itself. `serial` counts its transitions and never goes back; `depth` its commits."""

    identity: str
    serial: int
    depth: int
    writers: dict[str, Writer]


# Records


def record_path(collection: str, key: str) -> Path:
    """Where a record stands."""
    return record_path_of(collection, record_name(key))


def record_path_of(collection: str, name: str) -> Path:
    """Where the record with this file name (without its ending) stands."""
    shard = name[-_HASH_CHARACTERS:][:_SHARD]
    return (RECORDS, collection, shard, f"{name}.json")


def encode_record(stored: Stored) -> bytes:
    """The bytes of a record; its document has been checked before."""
    live: Document | None = None
    if stored.live is not None:
        live = {"fence": stored.live, "beat": None if stored.beat is None else beat_out(stored.beat)}
    envelope = {"schema": SCHEMA, "id": stored.key, "revision": stored.revision, "live": live}
    return jsonio.encode({**stored.value, **envelope})


def decode_record(raw: bytes, *, what: str, name: str) -> Stored:
    """The record in `raw`, which stands in the file `name`. Raises `Corrupt`, `NewerFormat`."""
    value = jsonio.decode(raw, what=what)
    _check_schema(value.pop("schema", None), what=what)
    key, revision, live = value.pop("id", None), value.pop("revision", None), value.pop("live", None)
    if type(key) is not str or f"{record_name(key)}.json" != name:
        raise Corrupt(f"{what}: the record of another id")
    if type(revision) is not int or not 1 <= revision <= jsonio.COUNT_MAX:
        raise Corrupt(f"{what}: no revision")
    if live is None:
        return Stored(key=key, value=value, revision=revision, live=None, beat=None)
    if type(live) is not dict or not _is_fence(live.get("fence")):
        raise Corrupt(f"{what}: live is not a fence")
    beat = None if live.get("beat") is None else beat_in(live["beat"], what=what)
    return Stored(key=key, value=value, revision=revision, live=live["fence"], beat=beat)


def beat_out(beat: Beat) -> Document:
    """A beat as JSON."""
    return {"fence": beat.fence, "at_ms": beat.seen.at_ms, "boot_ms": beat.seen.boot_ms, "boot_id": beat.seen.boot_id}


def beat_in(told: Any, *, what: str) -> Beat:
    """A beat from JSON, or `Corrupt`."""
    if type(told) is not dict or not all(_is_fence(told.get(name)) for name in ("fence", "at_ms", "boot_ms")):
        raise Corrupt(f"{what}: no beat")
    if type(told.get("boot_id")) is not str:
        raise Corrupt(f"{what}: no beat")
    seen = Instant(at_ms=told["at_ms"], boot_ms=told["boot_ms"], boot_id=told["boot_id"])
    return Beat(fence=told["fence"], seen=seen)


def _is_fence(value: object) -> bool:
    return type(value) is int and 0 <= value <= jsonio.COUNT_MAX


def _check_schema(schema: object, *, what: str) -> None:
    if type(schema) is not int or schema < 1:
        raise Corrupt(f"{what}: no schema number")
    if schema > SCHEMA:
        raise NewerFormat(f"{what}: format {schema}, this version knows {SCHEMA}")


# Journals


def segment_path(journal: str, first: int) -> Path:
    """Where the segment that begins with sequence `first` stands."""
    return (JOURNAL, journal, f"{first // _BLOCK_ENTRIES:08d}", f"{first:016d}.jsonl")


def first_of(name: str) -> int:
    """The first sequence of a segment, told by its file name; 0 when it is not one."""
    digits = name.removesuffix(".jsonl")
    return int(digits) if digits.isdigit() and digits.isascii() else 0


def entry_line(sequence: int, *, at_ms: int, record: str, value: Document) -> bytes:
    """One line of a segment."""
    return jsonio.encode_line({**value, "seq": sequence, "at": iso_of_ms(at_ms), "record": record})


def entry_of(line: bytes, *, what: str) -> Entry:
    """The entry of a line. Raises `Corrupt`."""
    value = jsonio.decode(line, what=what)
    sequence, at, record = (value.pop(name, None) for name in ("seq", "at", "record"))
    if type(sequence) is not int or type(at) is not str or type(record) is not str:
        raise Corrupt(f"{what}: not an entry: {sorted(ENTRY_NAMES)} are missing")
    try:
        return Entry(sequence=sequence, at_ms=ms_of_iso(at), value=value, record=record)
    except ValueError as error:
        raise Corrupt(f"{what}: {error}") from None


# The head


def encode_head(head: Head) -> bytes:
    """The bytes of `head.json`: of the writers those that wrote last, whatever their clocks say."""
    latest = sorted(head.writers.items(), key=lambda item: (item[1].serial, item[1].at_ms))[-WRITERS_MAX:]
    writers = {name: [writer.chain, writer.count, writer.at_ms, writer.serial] for name, writer in latest}
    envelope = {"schema": SCHEMA, "identity": head.identity, "serial": head.serial, "depth": head.depth}
    return jsonio.encode_line({**envelope, "writers": writers})


def _writer(chain: Any, count: Any, at_ms: Any, serial: Any = 0, *_: Any) -> Writer:
    return Writer(chain=str(chain), count=int(count), at_ms=int(at_ms), serial=int(serial))


def decode_head(raw: bytes, *, what: str) -> Head:
    """The head in `raw`. Raises `Corrupt` when this ref is something else, `NewerFormat`."""
    value = jsonio.decode(raw, what=what)
    _check_schema(value.get("schema"), what=what)
    identity, serial, depth, told = (value.get(name) for name in ("identity", "serial", "depth", "writers"))
    if type(identity) is not str or type(serial) is not int or type(depth) is not int or type(told) is not dict:
        raise Corrupt(f"{what}: incomplete")
    try:
        writers = {name: _writer(*one) for name, one in told.items()}
    except (TypeError, ValueError, IndexError, KeyError):
        raise Corrupt(f"{what}: writers cannot be read") from None
    return Head(identity=identity, serial=serial, depth=depth, writers=writers)
