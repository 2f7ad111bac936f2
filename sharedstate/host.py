"""The one seam to the machine: clock, randomness, sleep, file calls, kernel locks, liveness of processes.

Everything above calls a `Host`. Tests and the simulator put their own in place and run the real code with seeded
faults. File calls are relative to a directory descriptor (`dir_fd`) and never follow a link in the last component,
so that a planted link cannot lead them astray; opening never blocks on a FIFO.
"""

from __future__ import annotations

import os
import sys
import time

from sharedstate.clock import Instant
from sharedstate.ids import Process

if sys.platform == "win32":  # filelock brings the kernel lock there; here it would cost 31 ms of start-up
    import filelock
else:
    import fcntl

_BOOT_ID_PATH = "/proc/sys/kernel/random/boot_id"
_OPEN_ALWAYS = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", None)


class FileInfo:
    """What matters of a file's status: kind, size in bytes, link count, owner, permission bits, modification time.

    Not a `Value`: five are made in each transaction. Not a `NamedTuple`: defining one takes 1 ms of start-up.
    """

    __slots__ = ("inode", "is_dir", "is_file", "links", "mode", "mtime_ns", "size", "uid")

    def __init__(
        self,
        *,
        is_file: bool,
        is_dir: bool,
        size: int,
        links: int,
        uid: int,
        mode: int,
        mtime_ns: int,
        inode: int = 0,
    ) -> None:
        self.is_file = is_file
        self.is_dir = is_dir
        self.size = size
        self.links = links
        self.uid = uid
        self.mode = mode
        self.mtime_ns = mtime_ns
        self.inode = inode


class Host:
    """The real machine. Methods raise `OSError` as the kernel gives it; the store translates."""

    def __init__(self) -> None:
        self._boot_id: str | None = None

    # Clock and randomness

    def now(self) -> Instant:
        """Wall and boot time, milliseconds."""
        boot_ns = time.clock_gettime_ns(_BOOT_CLOCK) if _BOOT_CLOCK is not None else time.monotonic_ns()
        return Instant(at_ms=time.time_ns() // 1_000_000, boot_ms=boot_ns // 1_000_000, boot_id=self.boot_id())

    def monotonic_s(self) -> float:
        """Seconds of a clock that never goes back, for deadlines within this process."""
        return time.monotonic()

    def boot_id(self) -> str:
        """Which boot of which kernel this is; empty where it cannot be told."""
        if self._boot_id is None:
            try:
                fd = os.open(_BOOT_ID_PATH, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                self._boot_id = ""
            else:
                try:
                    self._boot_id = os.read(fd, 64).decode().strip()
                finally:
                    os.close(fd)
        return self._boot_id

    def sleep(self, seconds: float) -> None:
        """Wait; never used while a lock is held."""
        time.sleep(seconds)

    def entropy(self, count: int) -> bytes:
        """`count` unpredictable bytes."""
        return os.urandom(count)

    # Processes

    def pid(self) -> int:
        """The pid of this very process (asked each time: a fork changes it)."""
        return os.getpid()

    def uid(self) -> int:
        """The effective user: who owns what this process creates (0 where there are no users)."""
        return os.geteuid() if hasattr(os, "geteuid") else 0

    def process(self, pid: int) -> Process | None:
        """Identity of a running process, or None when there is none or it cannot be told (not Linux)."""
        start = self._start_of(pid)
        if start is None or not self.boot_id():
            return None
        return Process(pid=pid, start=start, boot_id=self.boot_id(), pid_ns=_pid_namespace())

    def is_dead(self, process: Process) -> bool:
        """True only when the death is proved: same boot, same pid namespace, no living process with that pid and start.

        A zombie (ended, not yet reaped by its parent) is dead. Any doubt is False.
        """
        if not process.boot_id or process.boot_id != self.boot_id() or process.pid_ns != _pid_namespace():
            return False
        return self._start_of(process.pid) != process.start

    def is_stopped(self, process: Process) -> bool:
        """True only when this very process is stopped now, by a signal or a debugger. Any doubt is False."""
        fields = _stat_of(process.pid)
        return fields is not None and fields[0] in (b"T", b"t") and int(fields[19]) == process.start

    def send_signal(self, process: Process, number: int) -> bool:
        """Send a signal to this very process; False, and nothing sent, when it has ended or cannot be told here.

        A reused pid gets nothing: where the platform has process descriptors, the signal goes through one that was
        opened before pid, start, boot and namespace were compared. Without them (not Linux, a kernel before 5.3) a pid
        could be reused between look and signal. Raises `PermissionError` when it is another user's.
        """
        if not process.boot_id or process.boot_id != self.boot_id() or process.pid_ns != _pid_namespace():
            return False
        try:
            fd = os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else -1
        except OSError:  # ended, or an old kernel
            fd = -1
        try:
            # It has had this pid since `start`, so a descriptor opened meanwhile is its own.
            if self._start_of(process.pid) != process.start:
                return False
            import signal

            if fd >= 0:
                signal.pidfd_send_signal(fd, number)
            else:
                os.kill(process.pid, number)
        except ProcessLookupError:
            return False
        finally:
            if fd >= 0:
                os.close(fd)
        return True

    def family(self, pid: int) -> tuple[Process, ...]:
        """The living processes whose session or group is `pid`, or that descend from it; the process itself included.

        A look, not a lock: what is forked meanwhile may be missing.
        """
        if not self.boot_id():
            return ()
        names = (name for name in os.listdir("/proc") if name.isdigit())
        stats = {int(name): fields for name in names if (fields := _stat_of(int(name))) is not None}
        inside = {one for one, fields in stats.items() if str(pid).encode() in fields[2:4] or one == pid}
        size = 0
        while size != len(inside):
            size = len(inside)
            inside |= {one for one, fields in stats.items() if int(fields[1]) in inside}
        space = _pid_namespace()
        return tuple(
            Process(pid=one, start=int(stats[one][19]), boot_id=self.boot_id(), pid_ns=space)
            for one in sorted(inside)
            if stats[one][0] not in (b"Z", b"X")
        )

    def _start_of(self, pid: int) -> int | None:
        fields = _stat_of(pid)
        return None if fields is None or fields[0] in (b"Z", b"X") else int(fields[19])

    # Files

    def open_dir(self, name: str, *, dir_fd: int | None = None) -> int:
        """A descriptor of an existing directory; a link in its place is refused (ENOTDIR, ELOOP)."""
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | _OPEN_ALWAYS, dir_fd=dir_fd)

    def open(self, name: str, flags: int, *, dir_fd: int | None = None) -> int:
        """A descriptor of a file, created 0600 if `flags` say so; links refused, FIFOs never block, closed on exec."""
        return os.open(name, flags | _OPEN_ALWAYS, 0o600, dir_fd=dir_fd)

    def close(self, fd: int) -> None:
        """Give a descriptor back."""
        os.close(fd)

    def pread(self, fd: int, count: int, offset: int) -> bytes:
        """Up to `count` bytes at `offset`."""
        return os.pread(fd, count, offset)

    def pwrite(self, fd: int, raw: bytes, offset: int) -> int:
        """Write at `offset`; returns how many bytes went in, which may be fewer than given."""
        return os.pwrite(fd, raw, offset)

    def fsync(self, fd: int) -> None:
        """Data and metadata of a file, or the names in a directory, to stable storage."""
        os.fsync(fd)

    def fdatasync(self, fd: int) -> None:
        """Data (and the size needed to read it) to stable storage."""
        getattr(os, "fdatasync", os.fsync)(fd)

    def fstat(self, fd: int) -> FileInfo:
        """Status of an open file."""
        return _info(os.fstat(fd))

    def lstat(self, name: str, *, dir_fd: int | None = None) -> FileInfo:
        """Status of a name, links not followed."""
        return _info(os.lstat(name) if dir_fd is None else os.stat(name, dir_fd=dir_fd, follow_symlinks=False))

    def rename(self, old: str, new: str, *, dir_fd: int | None = None) -> None:
        """Atomically give `old` the name `new`, replacing what was there; both in one directory."""
        os.replace(old, new, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)

    def unlink(self, name: str, *, dir_fd: int | None = None) -> None:
        """Remove a name."""
        os.unlink(name, dir_fd=dir_fd)

    def mkdir(self, name: str, *, dir_fd: int | None = None) -> None:
        """Make a directory, 0700."""
        os.mkdir(name, 0o700, dir_fd=dir_fd)

    def listdir(self, dir_fd: int) -> list[str]:
        """The names in a directory, in no order.

        Through a descriptor of its own: a descriptor has one reading position, and of two threads that list it at once
        one was seen to get nothing.
        """
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | _OPEN_ALWAYS, dir_fd=dir_fd)
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)

    # Kernel locks, on descriptors that are kept

    def try_lock(self, fd: int) -> bool:
        """Take the exclusive kernel lock of an open file if it is free now; it ends with `unlock` or the process."""
        if sys.platform == "win32":
            return filelock.lock_descriptor(fd, blocking=False)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait_lock(self, fd: int, *, timeout_s: float) -> bool:
        """Wait in the kernel's queue for the lock, at most `timeout_s`; after False the descriptor is gone."""
        from sharedstate.kernel_queue import wait_in_kernel_queue

        return wait_in_kernel_queue(fd, timeout_s=timeout_s)

    def unlock(self, fd: int) -> None:
        """Release the lock (before any close: a close alone leaves it to whoever shares the descriptor)."""
        if sys.platform == "win32":
            filelock.unlock_descriptor(fd)
        else:
            fcntl.flock(fd, fcntl.LOCK_UN)


def _info(status: os.stat_result) -> FileInfo:
    kind = status.st_mode & 0o170000
    return FileInfo(
        is_file=kind == 0o100000,
        is_dir=kind == 0o040000,
        size=status.st_size,
        links=status.st_nlink,
        uid=status.st_uid,
        mode=status.st_mode & 0o7777,
        mtime_ns=status.st_mtime_ns,
        inode=status.st_ino,
    )


def _stat_of(pid: int) -> list[bytes] | None:
    """What the kernel tells about a process, from its state on (field 0); None when there is no such process."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        raw = os.read(fd, 4096)
    except ProcessLookupError:
        return None
    finally:
        os.close(fd)
    return raw[raw.rindex(b")") + 2 :].split()  # the command name before it may hold anything


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
