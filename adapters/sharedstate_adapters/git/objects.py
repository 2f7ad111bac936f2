"""Objects of our own bare repository: written as loose files, read from there or through one kept `cat-file`.

Writing them here instead of through `hash-object`, `mktree` and `commit-tree` saves five processes for each
transition. Every object that is read is checked against its name: what a power cut or a bad disk left is found at once
(`Damaged`), and since the remote is the truth, the repository is then fetched anew.
"""

from __future__ import annotations

import hashlib
import os
import select
import subprocess
import threading
import zlib
from collections import OrderedDict
from typing import Final

from sharedstate.errors import StoreUnavailable
from sharedstate.host import Host
from sharedstate.values import Value
from sharedstate_adapters.git.command import Git, stop

BLOB: Final = "blob"
TREE: Final = "tree"
COMMIT: Final = "commit"
OBJECT_BYTES_MAX: Final = 256 * 1024 * 1024
_LEVEL: Final = 1
_TREES_KEPT: Final = 2048
_PIECE_BYTES: Final = 1 << 20
_PATIENCE_S: Final = 10.0
_OID_BYTES: Final = 20


class Damaged(Exception):
    """An object of our own repository is missing or not what its name says."""


class Item(Value):
    """One name in a tree: its mode as git writes it, and the object."""

    mode: str
    oid: str

    @property
    def is_tree(self) -> bool:
        """Whether it is a folder."""
        return self.mode == "40000"


Tree = dict[str, Item]


class Objects:
    """The objects of one repository. Safe for threads."""

    def __init__(self, git: Git, *, host: Host) -> None:
        self._reader: subprocess.Popen[bytes] | None = None
        self._git = git
        self._host = host
        self._root = os.path.join(git.directory, "objects")
        self._guard = threading.Lock()
        self._trees: OrderedDict[str, Tree] = OrderedDict()

    def tree(self, oid: str) -> Tree:
        """The names of a tree; of none ("") it is empty. Not to be changed. Raises `Damaged`."""
        if not oid:
            return {}
        with self._guard:
            known = self._trees.get(oid)
            if known is not None:
                self._trees.move_to_end(oid)
                return known
        parsed = _parsed_tree(self.read(oid, TREE), oid)
        self._keep(oid, parsed)
        return parsed

    def read(self, oid: str, kind: str) -> bytes:
        """The content of an object, checked against its name. Raises `Damaged`, `StoreUnavailable`."""
        found = self._loose(oid)
        if found is None:
            with self._guard:
                found = self._packed(oid)
        if found is None:
            raise Damaged(f"object {oid} is missing")
        if found[0] != kind or _name_of(kind, found[1]) != oid:
            raise Damaged(f"object {oid} is damaged")
        return found[1]

    def write(self, kind: str, body: bytes) -> str:
        """Store an object; returns its name. Not synced: what matters is at the remote. Raises `StoreUnavailable`."""
        oid = _name_of(kind, body)
        folder = os.path.join(self._root, oid[:2])
        path = os.path.join(folder, oid[2:])
        if os.path.exists(path) and self._sound(oid, kind):
            return oid
        raw = zlib.compress(b"%b %d\0%b" % (kind.encode(), len(body), body), _LEVEL)
        draft = os.path.join(folder, f"tmp_obj_{self._host.entropy(8).hex()}")
        try:
            os.makedirs(folder, exist_ok=True)
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
            try:
                view = memoryview(raw)
                while view:
                    view = view[os.write(fd, view) :]
            finally:
                os.close(fd)
            os.replace(draft, path)
        except OSError as error:
            raise StoreUnavailable(f"git objects of this machine: {error.strerror}") from error
        return oid

    def write_tree(self, tree: Tree) -> str:
        """Store a tree; returns its name, "" for an empty one (git keeps no empty folders)."""
        if not tree:
            return ""
        ordered = sorted(tree, key=lambda name: name.encode() + (b"/" if tree[name].is_tree else b""))
        body = b"".join(
            b"%b %b\0%b" % (tree[name].mode.encode(), name.encode(), bytes.fromhex(tree[name].oid)) for name in ordered
        )
        oid = self.write(TREE, body)
        self._keep(oid, tree)
        return oid

    def close(self) -> None:
        """End the kept reader; a later read starts another."""
        with self._guard:
            self._stop_reader()
            self._trees.clear()

    def __del__(self) -> None:
        """A store that is dropped without `close` leaves no process behind."""
        self._stop_reader()

    def _keep(self, oid: str, tree: Tree) -> None:
        with self._guard:
            self._trees[oid] = tree
            while len(self._trees) > _TREES_KEPT:
                self._trees.popitem(last=False)

    def _sound(self, oid: str, kind: str) -> bool:
        try:
            found = self._loose(oid)
        except Damaged:
            return False
        return found is not None and _name_of(kind, found[1]) == oid

    def _loose(self, oid: str) -> tuple[str, bytes] | None:
        try:
            with open(os.path.join(self._root, oid[:2], oid[2:]), "rb") as file:
                raw = file.read(OBJECT_BYTES_MAX)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StoreUnavailable(f"git objects of this machine: {error.strerror}") from error
        try:
            whole = zlib.decompress(raw)
        except zlib.error:
            raise Damaged(f"object {oid} is damaged") from None
        head, _, body = whole.partition(b"\0")
        return head.partition(b" ")[0].decode("ascii", "replace"), body

    def _packed(self, oid: str) -> tuple[str, bytes] | None:
        """Ask the kept reader; one that does not answer is ended."""
        for _ in range(2):  # a reader that was killed meanwhile is started once more
            if self._reader is None:
                self._reader = self._git.kept("cat-file", "--batch")
            try:
                return self._asked(self._reader, oid)
            except (OSError, EOFError):
                self._stop_reader()
        raise StoreUnavailable("git cat-file does not answer")

    def _asked(self, reader: subprocess.Popen[bytes], oid: str) -> tuple[str, bytes] | None:
        assert reader.stdin is not None
        assert reader.stdout is not None
        reader.stdin.write(oid.encode() + b"\n")
        reader.stdin.flush()
        fd, deadline_s = reader.stdout.fileno(), self._host.monotonic_s() + _PATIENCE_S
        raw = b""
        while b"\n" not in raw:
            raw += self._piece(fd, deadline_s)
        line, _, raw = raw.partition(b"\n")
        words = line.split()
        if len(words) != 3:
            return None
        size, pieces, have = int(words[2]) + 1, [raw], len(raw)
        while have < size:
            pieces.append(self._piece(fd, deadline_s))
            have += len(pieces[-1])
        return words[1].decode(), b"".join(pieces)[: size - 1]

    def _piece(self, fd: int, deadline_s: float) -> bytes:
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline_s - self._host.monotonic_s()))
        piece = os.read(fd, _PIECE_BYTES) if ready else b""
        if not piece:
            raise EOFError
        return piece

    def _stop_reader(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            stop(reader)


def _name_of(kind: str, body: bytes) -> str:
    head = f"{kind} {len(body)}\0".encode()
    return hashlib.sha1(head + body, usedforsecurity=False).hexdigest()


def _parsed_tree(raw: bytes, oid: str) -> Tree:
    tree: Tree = {}
    at = 0
    try:
        while at < len(raw):
            end = raw.index(b"\0", at)
            mode, _, name = raw[at:end].partition(b" ")
            at = end + 1 + _OID_BYTES
            tree[name.decode()] = Item(mode=mode.decode(), oid=raw[end + 1 : at].hex())
    except ValueError:
        raise Damaged(f"tree {oid} cannot be read") from None
    return tree
