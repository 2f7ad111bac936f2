"""The file calls, locks and descriptors of one simulated process on a simulated disk; they answer as Linux does."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from sharedstate.host import FileInfo
from sharedstate.testing.clock import MachineHost
from sharedstate.testing.inodes import Directory, File, Inode, Special
from sharedstate.testing.paths import lookup, os_error, resolve

if TYPE_CHECKING:
    from sharedstate.testing.disk import SimDisk

DESCRIPTORS_MAX = 1024
_ACCESS = os.O_RDONLY | os.O_WRONLY | os.O_RDWR


class Crashed(BaseException):
    """The simulated process is gone. Not an `Exception`: no code under test may handle its own death."""


class OpenFile:
    """One open file description: what flock locks belong to."""

    __slots__ = ("append", "failures", "inode", "reads", "writes")

    def __init__(self, inode: Inode, flags: int) -> None:
        access = flags & _ACCESS
        self.inode = inode
        self.reads = access in (os.O_RDONLY, os.O_RDWR)
        self.writes = access in (os.O_WRONLY, os.O_RDWR)
        self.append = bool(flags & os.O_APPEND)
        self.failures = inode.failures if isinstance(inode, File) else 0


class SimHost(MachineHost):
    """A `Host` for one simulated process on a `SimDisk`: every file call, lock and clock is simulated."""

    def __init__(self, disk: SimDisk, *, pid: int | None = None, descriptors_max: int = DESCRIPTORS_MAX) -> None:
        super().__init__(disk.machine, pid=pid)
        self.disk = disk
        self.alive = True
        self._descriptors_max = descriptors_max
        self._open: dict[int, OpenFile] = {}
        self._next_fd = 3

    def die(self) -> None:
        """The end of the process: descriptors and locks go, every later call raises `Crashed`."""
        for fd in list(self._open):
            self.close(fd)
        self.alive = False

    def descriptor_count(self) -> int:
        """How many descriptors are open: a leak shows here."""
        return len(self._open)

    def file_of(self, fd: int) -> OpenFile:
        """The open file behind a descriptor; EBADF when it is closed."""
        held = self._open.get(fd)
        if held is None:
            if not self.alive:
                raise Crashed
            raise os_error(errno.EBADF)
        return held

    def uid(self) -> int:
        """The owner of the disk."""
        return self.disk.uid

    # Names

    def open_dir(self, name: str, *, dir_fd: int | None = None) -> int:
        """A descriptor of an existing directory."""
        folder, last = self._resolve(name, dir_fd)
        inode = self._entry(folder, last, name)
        if not isinstance(inode, Directory):
            raise os_error(errno.ENOTDIR, name)
        return self._descriptor(inode, os.O_RDONLY)

    def open(self, name: str, flags: int, *, dir_fd: int | None = None) -> int:
        """A descriptor of a file, created when asked."""
        folder, last = self._resolve(name, dir_fd)
        inode = lookup(folder, last)
        if inode is None:
            return self._create(folder, last, name, flags)
        if flags & os.O_CREAT and flags & os.O_EXCL:
            raise os_error(errno.EEXIST, name)
        if isinstance(inode, Directory):
            if flags & (os.O_CREAT | _ACCESS | os.O_TRUNC):
                raise os_error(errno.EISDIR, name)
        elif isinstance(inode, Special):
            self._refuse_special(inode, name, flags)
        elif flags & os.O_DIRECTORY:
            raise os_error(errno.ENOTDIR, name)
        fd = self._descriptor(inode, flags)
        if flags & os.O_TRUNC and isinstance(inode, File):
            inode.truncate()
        return fd

    def lstat(self, name: str, *, dir_fd: int | None = None) -> FileInfo:
        """Status of a name."""
        folder, last = self._resolve(name, dir_fd)
        return _info(self._entry(folder, last, name))

    def rename(self, old: str, new: str, *, dir_fd: int | None = None) -> None:
        """Atomically give `old` the name `new`."""
        source, old_name = self._resolve(old, dir_fd)
        goal, new_name = self._resolve(new, dir_fd)
        if not old_name or not new_name:
            raise os_error(errno.EBUSY, old)  # a dot or two at the end
        inode = self._entry(source, old_name, old)
        if _is_at_or_above(inode, goal):
            raise os_error(errno.EINVAL, new)
        replaced = lookup(goal, new_name)
        if replaced is not None and _is_at_or_above(replaced, source):
            raise os_error(errno.ENOTEMPTY, new)
        if replaced is inode:
            return
        if replaced is not None:
            _check_replacement(inode, replaced, new)
            replaced.links = 0 if isinstance(replaced, Directory) else replaced.links - 1
        if isinstance(inode, Directory):
            inode.parent = goal
        if source is goal:
            source.rename(old_name, new_name)
            return
        goal.link(new_name, inode)
        source.unlink(old_name)

    def unlink(self, name: str, *, dir_fd: int | None = None) -> None:
        """Remove a name that is not a directory's."""
        folder, last = self._resolve(name, dir_fd)
        inode = self._entry(folder, last, name)
        if isinstance(inode, Directory):
            raise os_error(errno.EISDIR, name)
        inode.links -= 1
        folder.unlink(last)

    def mkdir(self, name: str, *, dir_fd: int | None = None) -> None:
        """Make a directory."""
        folder, last = self._resolve(name, dir_fd)
        if lookup(folder, last) is not None:
            raise os_error(errno.EEXIST, name)
        _check_linked(folder, name)
        self.disk.make_directory(folder, last)

    def listdir(self, dir_fd: int) -> list[str]:
        """The names in a directory."""
        inode = self.file_of(dir_fd).inode
        if not isinstance(inode, Directory):
            raise os_error(errno.ENOTDIR)
        return list(inode.names)

    # Descriptors

    def close(self, fd: int) -> None:
        """Give a descriptor back; its lock goes with it. A dead process has none, and its finalizers may still run."""
        if not self.alive:
            return
        held = self.file_of(fd)
        del self._open[fd]
        if held.inode.holder is held:
            held.inode.holder = None

    def pread(self, fd: int, count: int, offset: int) -> bytes:
        """Up to `count` bytes at `offset`."""
        if offset < 0:  # the kernel looks at this before it looks at the descriptor
            raise os_error(errno.EINVAL)
        held = self.file_of(fd)
        if not held.reads:
            raise os_error(errno.EBADF)
        inode = self._file(held)
        return bytes(inode.content[offset : offset + count])

    def pwrite(self, fd: int, raw: bytes, offset: int) -> int:
        """Write at `offset` into the page cache."""
        if offset < 0:
            raise os_error(errno.EINVAL)
        held = self.file_of(fd)
        if not held.writes:
            raise os_error(errno.EBADF)
        inode = self._file(held)
        if raw:
            inode.write(len(inode.content) if held.append else offset, bytes(raw))
            inode.mtime_ns = self.machine.wall_ns()
        return len(raw)

    def fsync(self, fd: int) -> None:
        """Make a file's bytes, or a directory's names, stable."""
        held = self.file_of(fd)
        inode = held.inode
        if isinstance(inode, File):
            if inode.failures != held.failures:  # somebody else's fsync failed, and dropped what this one has written
                held.failures = inode.failures
                raise os_error(errno.EIO)
        elif not isinstance(inode, Directory):
            raise os_error(errno.EINVAL)
        inode.sync()

    def fdatasync(self, fd: int) -> None:
        """Make a file's bytes stable."""
        self.fsync(fd)

    def fail_fsync(self, fd: int) -> None:
        """What a failing fsync leaves: nothing stable, and nothing that a second fsync would write."""
        held = self.file_of(fd)
        if isinstance(held.inode, File):
            held.inode.drop_dirty()
            held.failures = held.inode.failures

    def fstat(self, fd: int) -> FileInfo:
        """Status of an open file."""
        return _info(self.file_of(fd).inode)

    # Locks

    def try_lock(self, fd: int) -> bool:
        """Take the exclusive flock if it is free or held by this very open file."""
        held = self.file_of(fd)
        if held.inode.holder is None:
            held.inode.holder = held
        return held.inode.holder is held

    def wait_lock(self, fd: int, *, timeout_s: float) -> bool:
        """Take the lock if it is free; else, as nobody else runs meanwhile, let the time pass and fail."""
        if self.try_lock(fd):
            return True
        self.machine.advance(timeout_s)
        self.close(fd)
        return False

    def unlock(self, fd: int) -> None:
        """Release the flock."""
        held = self.file_of(fd)
        if held.inode.holder is held:
            held.inode.holder = None

    # Inside

    def _descriptor(self, inode: Inode, flags: int) -> int:
        if len(self._open) >= self._descriptors_max:
            raise os_error(errno.EMFILE)
        fd = self._next_fd
        self._next_fd += 1
        self._open[fd] = OpenFile(inode, flags)
        return fd

    def _create(self, folder: Directory, last: str, name: str, flags: int) -> int:
        if not flags & os.O_CREAT:
            raise os_error(errno.ENOENT, name)
        _check_linked(folder, name)
        inode = File(number=self.disk.next_number(), uid=self.disk.uid, mode=0o600, mtime_ns=self.machine.wall_ns())
        fd = self._descriptor(inode, flags)
        inode.links = 1
        folder.link(last, inode)
        return fd

    def _refuse_special(self, inode: Special, name: str, flags: int) -> None:
        if inode.target is not None:
            raise os_error(errno.ENOTDIR if flags & os.O_DIRECTORY else errno.ELOOP, name)
        if flags & os.O_DIRECTORY:
            raise os_error(errno.ENOTDIR, name)
        if flags & _ACCESS == os.O_WRONLY:
            raise os_error(errno.ENXIO, name)  # a FIFO that nobody reads, opened without blocking

    def _file(self, held: OpenFile) -> File:
        inode = held.inode
        if isinstance(inode, File):
            return inode
        raise os_error(errno.EISDIR if isinstance(inode, Directory) else errno.ESPIPE)

    def _entry(self, folder: Directory, last: str, name: str) -> Inode:
        inode = lookup(folder, last)
        if inode is None:
            raise os_error(errno.ENOENT, name)
        return inode

    def _resolve(self, name: str, dir_fd: int | None) -> tuple[Directory, str]:
        """The directory that holds the last component, and that component ("" for the directory itself)."""
        if "\0" in name:
            raise ValueError("embedded null byte")
        if dir_fd is not None and "/" not in name and name not in ("", ".", ".."):
            inode = self.file_of(dir_fd).inode
            if isinstance(inode, Directory):
                return inode, name
        if not self.alive:
            raise Crashed
        if not name:
            raise os_error(errno.ENOENT, name)
        start: Inode = self.disk.root if name.startswith("/") or dir_fd is None else self.file_of(dir_fd).inode
        return resolve(start, name, root=self.disk.root)


def _check_linked(folder: Directory, name: str) -> None:
    if folder.links == 0:
        raise os_error(errno.ENOENT, name)  # the directory itself was removed


def _is_at_or_above(inode: Inode, folder: Directory) -> bool:
    if isinstance(inode, Directory):
        here = folder
        while here is not inode:
            if here.parent is here:
                return False
            here = here.parent
        return True
    return False


def _check_replacement(inode: Inode, replaced: Inode, name: str) -> None:
    if isinstance(inode, Directory) and not isinstance(replaced, Directory):
        raise os_error(errno.ENOTDIR, name)
    if isinstance(replaced, Directory):
        if not isinstance(inode, Directory):
            raise os_error(errno.EISDIR, name)
        if replaced.names:
            raise os_error(errno.ENOTEMPTY, name)


def _info(inode: Inode) -> FileInfo:
    return FileInfo(
        is_file=isinstance(inode, File),
        is_dir=isinstance(inode, Directory),
        size=len(inode.content) if isinstance(inode, File) else 0,
        links=inode.links,
        uid=inode.uid,
        mode=inode.mode,
        mtime_ns=inode.mtime_ns,
        inode=inode.number,
    )
