"""Journals: append-only segments of JSON lines with sequence numbers.

Line: `{"seq":7,"at":"…Z","record":"tasks/T-1@3", …fields of the entry}`. Appenders take turns under a lock, readers
take none. A crash may leave an unterminated tail: the next appender ends it with a newline, readers skip what does not
parse, and the sequence goes on from the last good line.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from json.encoder import encode_basestring

from sharedstate import jsonio
from sharedstate.clock import iso_of_ms, ms_of_iso
from sharedstate.documents import ENTRY_BYTES_MAX, entry_bytes
from sharedstate.errors import Corrupt, DurabilityUnknown, SharedStateError
from sharedstate.files.faults import translated
from sharedstate.files.plain import Descriptor, check_plain, read_fully, sync_directory, write_fully
from sharedstate.files.roots import JOURNAL, Root
from sharedstate.files.stripes import Lock
from sharedstate.store import Document, Entry, check_continues

SEGMENT_BYTES_MAX = 4 * 1024 * 1024
_HEAD = b'{"seq":'
_SUFFIX = ".jsonl"
_DIGITS = 16
_PIECE_BYTES = 64 * 1024
_TAIL_BYTES = 4096


class Segment:
    """One file of a journal: its first sequence, and what this object last knew of its end."""

    __slots__ = ("directory", "file", "first", "last", "size", "terminated")

    def __init__(self, directory: Descriptor, first: int, file: Descriptor) -> None:
        self.directory = directory
        self.first = first
        self.file = file
        self.size = 0
        self.last = first - 1
        self.terminated = True


class Journal:
    """One journal. `append` is called by many threads and processes; reading never waits for them."""

    def __init__(self, root: Root, name: str, lock: Lock, *, timeout_s: float) -> None:
        self.name = name
        self._root = root
        self._lock = lock
        self._timeout_s = timeout_s
        self._place = f"{JOURNAL}/{name}"
        self._tail: Segment | None = None
        self._synced = 0

    def append(self, bodies: Sequence[bytes], *, at_ms: int, record: str = "", durable: bool = True) -> int:
        """Append entries, given by `body_of`, in one write; returns the last sequence.

        Raises `OSError` as it comes, and `DurabilityUnknown` when all is written and only the sync failed.
        """
        head = f'"at":"{iso_of_ms(at_ms)}","record":{encode_basestring(record)}'.encode()

        def lines_after(last: int) -> list[bytes]:
            return [b'{"seq":%d,%b%b' % (last + 1 + index, head, body) for index, body in enumerate(bodies)]

        return self._write_lines(lines_after, durable=durable)

    def load(self, entries: Sequence[Entry]) -> int:
        """Append entries as they were in another journal. Raises `InvalidInput` unless they go on where this one ends.

        Otherwise as `append`, durably.
        """
        heads = [f'"at":"{iso_of_ms(entry.at_ms)}","record":{encode_basestring(entry.record)}' for entry in entries]
        bodies = [body_of(entry.value) for entry in entries]

        def lines_after(last: int) -> list[bytes]:
            check_continues(self.name, last, entries)
            return [b'{"seq":%d,%b%b' % (last + 1 + at, heads[at].encode(), body) for at, body in enumerate(bodies)]

        return self._write_lines(lines_after, durable=True)

    def _write_lines(self, lines_after: Callable[[int], list[bytes]], *, durable: bool) -> int:
        lock = self._lock
        lock.acquire(timeout_s=self._timeout_s, what=f"journal {self.name}")
        try:
            tail = self._end()
            size, lines = tail.size, lines_after(tail.last)
            last = tail.last + len(lines)
            raw = b"".join(lines) if tail.terminated else b"\n" + b"".join(lines)
            self._tail = None  # until the write is known to be whole
            write_fully(self._root.host, tail.file.fd, raw, size)
            tail.size, tail.last, tail.terminated = size + len(raw), last, True
            self._tail = tail
        finally:
            lock.release()
        if durable:
            try:
                self._root.host.fdatasync(tail.file.fd)
            except OSError as error:
                raise DurabilityUnknown(
                    f"journal {self.name}: written, but its sync failed ({error.strerror})"
                ) from error
            self._synced = last
        return last

    def sync(self) -> None:
        """Whatever is written, by whomever, to stable storage. Raises `OSError` as it comes."""
        tail = self._newest_segment()
        if tail is not None:
            self._root.host.fdatasync(tail.file.fd)

    def last_known(self) -> int:
        """A sequence that is on disk for certain; taken without a lock, so others may be far ahead.

        What is only in the page cache does not count: a power cut may take it, and the sequence is then given again.
        """
        if self._synced:
            return self._synced
        tail = self._tail
        if tail is None:
            tail = self._tail = self._newest_segment()  # kept for the append to come, which looks whether it still ends
        return 0 if tail is None else tail.first - 1

    def read(self, after: int = 0) -> Iterator[Entry]:
        """Entries above `after`, in order, up to the last whole line; lines that do not parse are skipped."""
        for first in self._starting_points(after):
            for line in self._lines(first, after):
                if _is_before(line, after):
                    continue
                entry = parsed(line)
                if entry is not None and entry.sequence > after:
                    after = entry.sequence
                    yield entry

    def search(self, record: str, *, after: int) -> list[Document]:
        """Entries above `after` that belong to one transition `collection/key@revision`."""
        mark = encode_basestring(record).encode()
        found: list[Document] = []
        for first in self._starting_points(after):
            for line in self._lines(first, after):
                entry = parsed(line) if mark in line else None  # parsing every line of a segment takes 0.3 s
                if entry is not None and entry.sequence > after and entry.record == record:
                    found.append(entry.value)
        return found

    def horizon(self) -> int:
        """The sequence before the last two segments: entries up to it were synced when the journal moved on."""
        firsts = self._firsts()
        return firsts[-2] - 1 if len(firsts) > 2 else 0

    def damage(self) -> int:
        """How many whole lines do not parse."""
        return sum(parsed(line) is None for first in self._firsts() for line in self._lines(first))

    def state(self) -> tuple[int, int] | None:
        """First sequence and size of the newest segment: while it is the same, nothing was appended."""
        firsts = self._firsts()
        if not firsts:
            return None
        directory = self._root.directory(self._place)
        if directory is None:
            return None
        return firsts[-1], self._root.host.lstat(_segment_name(firsts[-1]), dir_fd=directory.fd).size

    # The end, under the lock

    def _end(self) -> Segment:
        """Where the next line goes."""
        directory = self._root.make_directory(self._place)
        tail, self._tail = self._tail, None  # an error in between must not leave a half-known end behind
        if tail is None or tail.directory is not directory or not self._is_still_end(tail):
            directory = self._root.make_directory(self._place)
            self._synced = 0
            tail = self._newest_segment() or self._new_segment(directory, 1)
        if tail.size >= SEGMENT_BYTES_MAX and tail.terminated and tail.last >= tail.first:
            self._root.host.fdatasync(tail.file.fd)  # all that stands before the newest segment is on disk
            tail = self._new_segment(directory, tail.last + 1)
        return tail

    def _is_still_end(self, tail: Segment) -> bool:
        info = self._root.host.fstat(tail.file.fd)
        if info.links == 0:
            self._root.reopen(self._place)
            return False
        if info.size != tail.size:
            self._look_at_end(tail, info.size)
        return tail.size < SEGMENT_BYTES_MAX  # only a full segment is ever followed by another

    def _newest_segment(self) -> Segment | None:
        directory = self._root.directory(self._place)
        firsts = self._firsts()
        if directory is None or not firsts:
            return None
        self._root.host.fsync(directory.fd)  # who made the segment may have died before its name was on disk
        tail = self._open_segment(directory, firsts[-1], os.O_RDWR)
        self._look_at_end(tail, self._root.host.fstat(tail.file.fd).size)
        return tail

    def _new_segment(self, directory: Descriptor, first: int) -> Segment:
        segment = self._open_segment(directory, first, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        sync_directory(self._root.host, directory.fd, what=f"journal {self.name}")
        return segment

    def _open_segment(self, directory: Descriptor, first: int, flags: int) -> Segment:
        return Segment(directory, first, Descriptor(self._root.host, self._open(directory, first, flags)))

    def _open(self, directory: Descriptor, first: int, flags: int) -> int:
        host, name = self._root.host, _segment_name(first)
        fd = host.open(name, flags, dir_fd=directory.fd)
        try:
            check_plain(host.fstat(fd), uid=self._root.uid, what=f"journal segment {self.name}/{name}")
        except BaseException:
            host.close(fd)
            raise
        return fd

    def _look_at_end(self, tail: Segment, size: int) -> None:
        """Find the last good line, reading backwards, each time twice as far."""
        tail.size, tail.last, tail.terminated = size, tail.first - 1, True
        count = _TAIL_BYTES
        while size:
            start = max(0, size - count)
            raw = read_fully(self._root.host, tail.file.fd, size - start, start)
            tail.terminated = raw.endswith(b"\n")
            lines = raw.split(b"\n")
            for line in reversed(lines if start == 0 else lines[1:]):
                entry = parsed(line)
                if entry is not None:
                    tail.last = entry.sequence
                    return
            if start == 0:
                return
            count *= 2

    # Reading

    def _firsts(self) -> list[int]:
        directory = self._root.directory(self._place)
        if directory is None:
            return []
        names = self._root.host.listdir(directory.fd)
        return sorted(int(name[:_DIGITS]) for name in names if _is_segment_name(name))

    def _starting_points(self, after: int) -> list[int]:
        firsts = self._firsts()
        older = sum(first <= after + 1 for first in firsts)
        return firsts[max(0, older - 1) :]

    def _lines(self, first: int, after: int = 0) -> Iterator[bytes]:
        """The whole lines of a segment, those above `after` at least.

        Raises what `translated` makes of an `OSError`.
        """
        directory = self._root.directory(self._place)
        if directory is None:
            return
        try:
            file = Descriptor(self._root.host, self._open(directory, first, os.O_RDONLY))
            yield from self._lines_of(file, self._line_before(file.fd, after) if after >= first else 0)
        except FileNotFoundError:
            return
        except OSError as error:
            if isinstance(error, SharedStateError):
                raise
            raise translated(error, what=f"journal {self.name}") from error

    def _line_before(self, fd: int, after: int) -> int:
        """Where some line begins that stands at or before the first one above `after`, and near it.

        By halving, for sequences grow from line to line: passing over a whole segment takes 6 ms, which a reader that
        has read nearly all of it (an inbox, a watcher) pays each time.
        """
        low, high = 0, self._root.host.fstat(fd).size
        while high - low > _PIECE_BYTES:
            middle = (low + high) // 2
            found = self._line_after(fd, middle, high)
            if found is None or found[1] > after:
                high = middle
            else:
                low = found[0]
        return low

    def _line_after(self, fd: int, offset: int, end: int) -> tuple[int, int] | None:
        """Where the first good line after `offset` and before `end` begins, and its sequence.

        Good is a line whose neighbour goes on counting: one damaged number must not lead the search past what is whole.
        """
        count = _TAIL_BYTES
        while True:
            raw = self._root.host.pread(fd, min(count, end - offset), offset)
            cut, *lines = raw.split(b"\n")
            begin, known = offset + len(cut) + 1, None
            for line in lines:
                sequence = _sequence_of(line)
                if known is not None and sequence is not None and 0 <= sequence - known[1] <= 1:
                    return known
                known = None if sequence is None else (begin, sequence)
                begin += len(line) + 1
            if len(raw) < count:
                return None
            count *= 4

    def _lines_of(self, file: Descriptor, offset: int) -> Iterator[bytes]:
        rest = b""
        while True:
            piece = self._root.host.pread(file.fd, _PIECE_BYTES, offset)
            if not piece:
                return
            offset += len(piece)
            *lines, rest = (rest + piece).split(b"\n")
            if len(rest) > 2 * ENTRY_BYTES_MAX:
                rest = rest[:ENTRY_BYTES_MAX]  # no line of ours; goes on as one bad line
            yield from lines


def parsed(line: bytes) -> Entry | None:
    """The entry in a line, None when it is not one (a torn tail of a crash, damage)."""
    try:
        value = jsonio.decode(line, what="journal line")
        sequence, at, record = value.pop("seq"), value.pop("at"), value.pop("record")
        if type(sequence) is not int or type(record) is not str or not 1 <= sequence <= jsonio.COUNT_MAX:
            return None
        return Entry(sequence=sequence, at_ms=ms_of_iso(at), value=value, record=record)
    except (Corrupt, KeyError, TypeError, ValueError):
        return None


def _is_before(line: bytes, after: int) -> bool:
    """Whether a line can be passed over unparsed (25 times as fast): its sequence stands first."""
    sequence = _sequence_of(line)
    return sequence is not None and sequence <= after


def _sequence_of(line: bytes) -> int | None:
    """The sequence at the head of a line, or of its beginning; None when none can be told."""
    digits, comma, _ = line[len(_HEAD) : len(_HEAD) + _DIGITS + 4].partition(b",")
    return int(digits) if line.startswith(_HEAD) and comma and digits.isdigit() else None


def body_of(entry: Document) -> bytes:
    """The part of a line that is the caller's, or `InvalidInput` when it could not be written and read back."""
    raw = entry_bytes(entry)
    return b"," + raw[1:] if entry else b"}\n"


def _segment_name(first: int) -> str:
    return f"{first:0{_DIGITS}d}{_SUFFIX}"


def _is_segment_name(name: str) -> bool:
    return len(name) == _DIGITS + len(_SUFFIX) and name.endswith(_SUFFIX) and name[:_DIGITS].isdecimal()
