"""Files and directories of the simulated disk, each with what a power cut is sure to leave and what it may leave.

The model: a write goes to the page cache, a name to the cached directory. `fsync` of the file makes its bytes stable,
`fsync` of the directory its names; nothing else does. Until then each 512-byte sector may hold any of the contents it
had since it was stable (or zeros where the file grew), and each change of a directory may be there or not, in any
order. That is weaker than what ext4 or XFS do by default, and all that POSIX promises.
"""

from __future__ import annotations

import random
from collections.abc import Callable

SECTOR = 512
PAGE = 4096
_PENDING_MAX = 64  # older changes count as written back: the kernel does not wait for ever either
_STYLES = ("nothing", "everything", "random", "random")
_TRUNCATED = -1

# One change of a directory: the name that goes (or ""), the name that comes (or ""), and its inode.
Change = tuple[str, str, "Inode | None"]


class Inode:
    """What a name points to: links, owner, mode, times; subclasses hold the content."""

    __slots__ = ("holder", "links", "mode", "mtime_ns", "number", "uid")
    kind = "inode"

    def __init__(self, *, number: int, uid: int, mode: int, mtime_ns: int) -> None:
        self.number = number
        self.uid = uid
        self.mode = mode
        self.mtime_ns = mtime_ns
        self.links = 0
        self.holder: object | None = None  # the open file description that has the flock

    def survivor(self, rng: random.Random) -> Inode:
        """What is left of it after a power cut."""
        raise NotImplementedError


class Special(Inode):
    """A symbolic link or a FIFO, always planted by a test and stable."""

    __slots__ = ("target",)

    def __init__(self, *, number: int, uid: int, mtime_ns: int, target: str | None) -> None:
        super().__init__(number=number, uid=uid, mode=0o777, mtime_ns=mtime_ns)
        self.target = target

    def survivor(self, rng: random.Random) -> Special:
        """Itself."""
        del rng
        left = Special(number=self.number, uid=self.uid, mtime_ns=self.mtime_ns, target=self.target)
        left.mode = self.mode
        return left


class File(Inode):
    """A regular file: `content` as readers see it, `stable` as the disk has it, and the writes between the two."""

    __slots__ = ("_dirty", "_dropped", "content", "failures", "stable")

    def __init__(self, *, number: int, uid: int, mode: int, mtime_ns: int) -> None:
        super().__init__(number=number, uid=uid, mode=mode, mtime_ns=mtime_ns)
        self.content = bytearray()
        self.stable = bytearray()
        self.failures = 0  # of fsync; each open file hears once of those since it was opened or last heard
        self._dirty: list[tuple[int, bytes]] = []
        self._dropped = False

    def write(self, offset: int, raw: bytes) -> None:
        """Put bytes into the page cache; a gap reads as zeros."""
        _apply(self.content, offset, raw)
        self._note(offset, raw)

    def truncate(self) -> None:
        """Cut to nothing, in the page cache."""
        self.content.clear()
        self._note(_TRUNCATED, b"")

    def sync(self) -> None:
        """Make every byte stable, except those that a failed fsync has dropped."""
        for offset, raw in self._dirty:
            _apply(self.stable, offset, raw)
            if self._dropped and offset != _TRUNCATED:
                self._write_back_pages(offset, len(raw))
        self._dirty.clear()

    def drop_dirty(self) -> None:
        """A failed fsync: the kernel drops the dirty marks, so a second fsync succeeds without having written."""
        self._dirty.clear()
        self._dropped = True
        self.failures += 1

    def survivor(self, rng: random.Random) -> File:
        """One content that a power cut may leave."""
        left = File(number=self.number, uid=self.uid, mode=self.mode, mtime_ns=self.mtime_ns)
        left.content = self._content_left(rng)
        left.stable = bytearray(left.content)
        return left

    def _write_back_pages(self, offset: int, count: int) -> None:
        """The kernel writes whole pages: what was dropped around a later write goes with it."""
        start, end = offset // PAGE * PAGE, min(len(self.content), -(-(offset + count) // PAGE) * PAGE)
        _apply(self.stable, start, bytes(self.content[start:end]))

    def _note(self, offset: int, raw: bytes) -> None:
        self._dirty.append((offset, raw))
        if len(self._dirty) > _PENDING_MAX:
            _apply(self.stable, *self._dirty.pop(0))

    def _content_left(self, rng: random.Random) -> bytearray:
        style = rng.choice(_STYLES)
        if not self._dirty or style == "nothing":
            return bytearray(self.stable)
        states = [bytearray(self.stable)]
        for offset, raw in self._dirty:
            state = bytearray(states[-1])
            _apply(state, offset, raw)
            states.append(state)
        if style == "everything":
            return states[-1]
        left = bytearray(len(rng.choice(states)))
        for start in range(0, len(left), SECTOR):
            piece = rng.choice(states)[start : start + SECTOR][: len(left) - start]
            left[start : start + len(piece)] = piece
        return left


class Directory(Inode):
    """Names: `names` as readers see them, `stable` as the disk has them, and the changes between the two."""

    __slots__ = ("_pending", "names", "parent", "stable")

    def __init__(self, *, number: int, uid: int, mtime_ns: int, parent: Directory | None) -> None:
        super().__init__(number=number, uid=uid, mode=0o700, mtime_ns=mtime_ns)
        self.parent = parent or self
        self.names: dict[str, Inode] = {}
        self.stable: dict[str, Inode] = {}
        self._pending: list[Change] = []

    def link(self, name: str, inode: Inode) -> None:
        """A new name."""
        self._change(("", name, inode))

    def unlink(self, name: str) -> None:
        """A name goes."""
        self._change((name, "", None))

    def rename(self, old: str, new: str) -> None:
        """One name becomes another, replacing it: both or neither, also after a power cut."""
        self._change((old, new, self.names[old]))

    def sync(self) -> None:
        """Make every name stable."""
        for change in self._pending:
            _change_names(self.stable, change)
        self._pending.clear()

    def survivor(self, rng: random.Random) -> Directory:
        """One set of names that a power cut may leave, over everything below."""
        return _tree_left(self, rng, {})

    def names_left(self, rng: random.Random) -> dict[str, Inode]:
        """One set of names that a power cut may leave, over the inodes as they are now."""
        style = rng.choice(_STYLES)
        names = dict(self.stable)
        for change in self._pending:
            if style == "everything" or (style == "random" and rng.random() < 0.5):
                _change_names(names, change)
        return names

    def _change(self, change: Change) -> None:
        _change_names(self.names, change)
        self._pending.append(change)
        if len(self._pending) > _PENDING_MAX:
            _change_names(self.stable, self._pending.pop(0))


def walk(directory: Directory, visit: Callable[[str, Inode], None], path: str = "") -> None:
    """Visit everything below a directory, by path, as readers see it."""
    for name, inode in list(directory.names.items()):
        below = f"{path}/{name}"
        visit(below, inode)
        if isinstance(inode, Directory):
            walk(inode, visit, below)


def _apply(content: bytearray, offset: int, raw: bytes) -> None:
    if offset == _TRUNCATED:
        content.clear()
        return
    if offset > len(content):
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(raw)] = raw


def _change_names(names: dict[str, Inode], change: Change) -> None:
    gone, come, inode = change
    if gone:
        names.pop(gone, None)
    if come and inode is not None:
        names[come] = inode


def _tree_left(directory: Directory, rng: random.Random, seen: dict[int, Inode]) -> Directory:
    left = Directory(number=directory.number, uid=directory.uid, mtime_ns=directory.mtime_ns, parent=None)
    left.mode = directory.mode
    left.links = 1  # its own dot; the name that leads here counts below
    for name, inode in directory.names_left(rng).items():
        kept = seen.get(inode.number)
        if kept is None:
            kept = _tree_left(inode, rng, seen) if isinstance(inode, Directory) else inode.survivor(rng)
            seen[inode.number] = kept
        if isinstance(kept, Directory):
            kept.parent = left
        kept.links += 1
        left.names[name] = left.stable[name] = kept
    return left
