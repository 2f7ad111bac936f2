"""A whole POSIX-like disk in memory, shared by simulated processes, that can lose power.

    disk = SimDisk(seed=1)
    store = FileStore("/state", host=disk.host())
    disk.crash(pid)                   # one process dies: its descriptors and locks go, the page cache stays
    disk.power_cut(random.Random(7))  # all die; the tree becomes one that a cut may leave; a new boot begins

The calls of `SimHost` answer as Linux does (a property test runs the same calls on a real directory). Permission bits
are kept and not enforced: a simulated process owns everything. Wrap a host in `faults.FaultHost` to make calls fail.
"""

from __future__ import annotations

import errno
import os
import random

from sharedstate.testing.clock import FakeMachine
from sharedstate.testing.disk_calls import Crashed, SimHost
from sharedstate.testing.inodes import Directory, File, Inode, Special, walk
from sharedstate.testing.paths import os_error

__all__ = ["Crashed", "SimDisk", "SimHost"]
_MOUNTS = b"simulated / ext4 rw,relatime 0 0\n"


class SimDisk:
    """The disk, its machine (clock, boots, processes) and the processes on it. Not for threads; greenlets are fine."""

    def __init__(self, *, seed: int = 0, machine: FakeMachine | None = None, uid: int | None = None) -> None:
        self.machine = machine or FakeMachine(seed=seed)
        self.uid = os.geteuid() if uid is None else uid
        self.hosts: dict[int, SimHost] = {}
        self._numbers = 1
        self.root = Directory(number=1, uid=self.uid, mtime_ns=0, parent=None)
        self.root.links = 2
        self.write("/proc/mounts", _MOUNTS)
        self.sync()

    # Processes

    def host(self, pid: int | None = None) -> SimHost:
        """The host of a new simulated process."""
        host = SimHost(self, pid=pid)
        self.hosts[host.own.pid] = host
        return host

    def crash(self, pid: int) -> None:
        """One process dies at once: descriptors and locks go; what it wrote stays in the page cache."""
        host = self.hosts.pop(pid)
        host.die()
        self.machine.kill(host.own)

    def power_cut(self, rng: random.Random) -> None:
        """Everything dies; the disk keeps what was stable and, by chance, some of what was not; a new boot begins."""
        for pid in list(self.hosts):
            self.crash(pid)
        self.root = self.root.survivor(rng)
        self.machine.reboot()

    # The tree, for tests to arrange and to look at

    def write(self, path: str, raw: bytes) -> None:
        """Put a file in place (folders as needed), behind everybody's back; not stable until `sync` or an fsync."""
        folder, name = self._folder_of(path)
        inode = folder.names.get(name)
        if not isinstance(inode, File):
            inode = File(number=self.next_number(), uid=self.uid, mode=0o600, mtime_ns=self.machine.wall_ns())
            self._plant(folder, name, inode)
        inode.truncate()
        inode.write(0, raw)

    def read(self, path: str) -> bytes:
        """The bytes of a file as readers see them."""
        inode = self.find(path)
        if not isinstance(inode, File):
            raise os_error(errno.EISDIR if isinstance(inode, Directory) else errno.EINVAL, path)
        return bytes(inode.content)

    def tree(self) -> dict[str, bytes | None]:
        """Every path outside /proc with its bytes; None for what is not a regular file."""
        found: dict[str, bytes | None] = {}

        def visit(path: str, inode: Inode) -> None:
            if not path.startswith("/proc"):
                found[path] = bytes(inode.content) if isinstance(inode, File) else None

        walk(self.root, visit)
        return found

    def sync(self) -> None:
        """Make everything stable, as `sync` does."""

        def visit(_: str, inode: Inode) -> None:
            if isinstance(inode, File | Directory):
                inode.sync()

        self.root.sync()
        walk(self.root, visit)

    def plant_link(self, path: str, target: str) -> None:
        """Plant a symbolic link."""
        folder, name = self._folder_of(path)
        self._plant(folder, name, Special(number=self.next_number(), uid=self.uid, mtime_ns=0, target=target))

    def plant_hard_link(self, path: str, existing: str) -> None:
        """Plant a second name for a file."""
        folder, name = self._folder_of(path)
        self._plant(folder, name, self.find(existing))

    def plant_fifo(self, path: str) -> None:
        """Plant a FIFO."""
        folder, name = self._folder_of(path)
        self._plant(folder, name, Special(number=self.next_number(), uid=self.uid, mtime_ns=0, target=None))

    def remove(self, path: str) -> None:
        """Remove a file or a whole tree behind everybody's back."""
        folder, name = self._folder_of(path)
        self._drop(folder.names[name])
        folder.unlink(name)

    def find(self, path: str) -> Inode:
        """The inode at a path; links on the way and at its end are not followed."""
        inode: Inode = self.root
        for part in path.split("/"):
            if part:
                if not isinstance(inode, Directory) or part not in inode.names:
                    raise os_error(errno.ENOENT, path)
                inode = inode.names[part]
        return inode

    def next_number(self) -> int:
        """A fresh inode number."""
        self._numbers += 1
        return self._numbers

    def make_directory(self, folder: Directory, name: str) -> Directory:
        """A new, empty directory under a name that is free."""
        inode = Directory(number=self.next_number(), uid=self.uid, mtime_ns=self.machine.wall_ns(), parent=folder)
        inode.links = 2
        folder.link(name, inode)
        return inode

    def _plant(self, folder: Directory, name: str, inode: Inode) -> None:
        folder.link(name, inode)
        inode.links += 1

    def _drop(self, inode: Inode) -> None:
        inode.links = 0 if isinstance(inode, Directory) else inode.links - 1
        if isinstance(inode, Directory):
            for name, below in list(inode.names.items()):
                self._drop(below)
                inode.unlink(name)

    def _folder_of(self, path: str) -> tuple[Directory, str]:
        *parts, name = [part for part in path.split("/") if part]
        folder = self.root
        for part in parts:
            below = folder.names.get(part)
            if below is None:
                below = self.make_directory(folder, part)
            if not isinstance(below, Directory):
                raise os_error(errno.ENOTDIR, path)
            folder = below
        return folder, name
