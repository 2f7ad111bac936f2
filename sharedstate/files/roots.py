"""The state root: its directories, kept open; made on the first write only; checked before anything is trusted.

    root/  .gitignore  format.json  <collection>/  journal/<name>/  local/{locks,beats/<collection>,quarantine,boot}

Everything under `local/` belongs to this machine and never travels.
"""

from __future__ import annotations

import os
from _thread import allocate_lock

from sharedstate import jsonio
from sharedstate.errors import Corrupt, NewerFormat, UnsafeStore
from sharedstate.files.faults import translated
from sharedstate.files.plain import Descriptor, read_plain, replace_plain
from sharedstate.host import Host
from sharedstate.store import SCHEMA

LOCAL = "local"
LOCKS = "local/locks"
BEATS = "local/beats"
QUARANTINE = "local/quarantine"
JOURNAL = "journal"
FORMAT = "format.json"
_FORMAT_BYTES_MAX = 64 * 1024
_KIND = "sharedstate"
_SHARED_WRITE = 0o022


class Root:
    """Directory descriptors of one state root by relative path, safe for threads.

    Reads make nothing. When the tree was removed or replaced, `refresh` notices and opens what is there now.
    """

    def __init__(self, path: str, *, host: Host, allow_network: bool, private: bool = False) -> None:
        self.path = path
        self.host = host
        self.uid = host.uid()
        self._allow_network = allow_network
        self._ignored = b"*\n" if private else b"/local/\n"
        self._gate = allocate_lock()
        self._kept: dict[str, Descriptor] = {}
        self._stable: set[str] = set()  # directories whose names this object has synced itself
        self._inode = 0
        self._prepared = False

    def refresh(self) -> bool:
        """True when the root exists and the kept descriptors are still its own; a replaced tree is let go of first."""
        if not self._kept:
            return self.directory("") is not None
        try:
            if self.host.lstat(self.path).inode == self._inode:
                return True
        except FileNotFoundError:
            pass
        self.forget()
        return self.directory("") is not None

    def forget(self) -> None:
        """Let go of every descriptor; the next use opens them again."""
        self._kept = {}
        self._stable = set()
        self._prepared = False

    def directory(self, relative: str) -> Descriptor | None:
        """A directory below the root (the root itself for an empty path), None when it does not exist."""
        kept = self._kept.get(relative)
        if kept is not None:
            return kept
        with self._gate:
            try:
                return self._open(relative, create=False)
            except FileNotFoundError:
                return None

    def make_directory(self, relative: str) -> Descriptor:
        """The same, made durably (0700) when missing. Raises `UnsafeStore`, `StoreUnavailable`."""
        kept = self._kept.get(relative)
        if kept is not None and relative in self._stable:
            return kept
        with self._gate:
            return self._open(relative, create=True)

    def reopen(self, relative: str) -> Descriptor | None:
        """The directory that has this name now, in case the kept one was removed; None when nothing changed."""
        kept = self._kept.get(relative)
        if kept is None or self.host.fstat(kept.fd).links:
            return None
        self.forget()
        return self.directory(relative)

    def prepare(self) -> bool:
        """Make and check the root for writing; True until `prepared` is told. Raises `UnsafeStore`, `NewerFormat`."""
        if self._prepared and self._kept:
            return False
        if not self._allow_network:
            self._refuse_network()
        root = self.make_directory("")
        if self._check_format(root) is None:
            self._write_new(root)
        self.make_directory(LOCKS)
        return True

    def prepared(self) -> None:
        """What the first write has to do is done, too; until then every writer of any thread does it, or waits."""
        self._prepared = True

    def _open(self, relative: str, *, create: bool) -> Descriptor:
        kept = self._kept.get(relative)
        if kept is not None and (relative in self._stable or not create):
            return kept
        if not relative:
            return self._open_root(create=create)
        parent, _, name = relative.rpartition("/")
        above = self._open(parent, create=create)
        if kept is None:
            fd = self._open_or_make(name, dir_fd=above.fd, create=create, what=f"{self.path}/{relative}")
            kept = self._kept[relative] = Descriptor(self.host, fd)
        if create:
            # Also when it was there: its maker may not have come to the fsync, which takes 10 us when it is clean.
            self.host.fsync(above.fd)
            self._stable.add(relative)
        return kept

    def _open_root(self, *, create: bool) -> Descriptor:
        made = create and self._make_parents()
        fd = self._open_or_make(self.path, dir_fd=None, create=create, what=self.path)
        opened = Descriptor(self.host, fd)
        if create:
            self._sync_parent(self.path, made=made)
            self._stable.add("")
        info = self.host.fstat(fd)
        if info.uid != self.uid:
            raise UnsafeStore(f"{self.path}: belongs to user {info.uid}, not to {self.uid}")
        if info.mode & _SHARED_WRITE:
            raise UnsafeStore(
                f"{self.path}: others may write there (mode {info.mode:04o})", hint="chmod go-w the directory"
            )
        self._inode = info.inode
        self._kept[""] = opened
        if not create:
            self._check_format(opened)
        return opened

    def _open_or_make(self, name: str, *, dir_fd: int | None, create: bool, what: str) -> int:
        try:
            try:
                return self.host.open_dir(name, dir_fd=dir_fd)
            except FileNotFoundError:
                if not create:
                    raise
            try:
                self.host.mkdir(name, dir_fd=dir_fd)
            except FileExistsError:
                pass  # another process was faster
            return self.host.open_dir(name, dir_fd=dir_fd)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise translated(error, what=f"opening {what}") from error

    def _make_parents(self) -> bool:
        """Make the folders above the root; True when the root itself is missing, too."""
        missing: list[str] = []
        above = self.path
        while True:
            try:
                self.host.lstat(above)
                break
            except FileNotFoundError:
                missing.append(above)
                above = os.path.dirname(above)
        if not missing:
            return False
        self._sync_parent(above, made=False)  # perhaps another process has just made it, and died
        for path in reversed(missing[1:]):
            try:
                self.host.mkdir(path)
            except FileExistsError:
                pass  # another process was faster
            self._sync_parent(path, made=True)
        return True

    def _sync_parent(self, path: str, *, made: bool) -> None:
        """The name of a directory to stable storage; if it was there before, as far as its parent may be opened."""
        try:
            fd = self.host.open_dir(os.path.dirname(path))
        except PermissionError:
            if made:
                raise  # else all that is acknowledged below it could vanish with its name
            return  # a home of mode 0711: it was there long before us
        try:
            self.host.fsync(fd)
        finally:
            self.host.close(fd)

    def _check_format(self, root: Descriptor) -> int | None:
        what = f"{self.path}/{FORMAT}"
        raw = read_plain(self.host, FORMAT, dir_fd=root.fd, uid=self.uid, bytes_max=_FORMAT_BYTES_MAX, what=what)
        if raw is None:
            return None
        form = jsonio.decode(raw, what=what)
        schema = form.get("schema")
        if form.get("kind") != _KIND:
            raise UnsafeStore(f"{what}: this directory belongs to something else")
        if type(schema) is not int or schema < 1:
            raise Corrupt(f"{what}: no schema number")
        if schema > SCHEMA:
            raise NewerFormat(f"{what}: format {schema}, this version knows {SCHEMA}")
        return schema

    def _write_new(self, root: Descriptor) -> None:
        for name, raw in (
            (".gitignore", self._ignored),
            (FORMAT, jsonio.encode({"schema": SCHEMA, "kind": _KIND})),
        ):
            replace_plain(self.host, name, raw, dir_fd=root.fd, durable=True, what=f"{self.path}/{name}")

    def _refuse_network(self) -> None:
        from sharedstate.files.mounts import network_file_system

        kind = network_file_system(self.path, host=self.host)
        if kind:
            raise UnsafeStore(
                f"{self.path}: on a network file system ({kind}), where locks do not hold between machines",
                hint="put the state root on a local disk, or allow it knowingly (allow_network=True)",
            )
