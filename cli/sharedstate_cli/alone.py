"""Single flight: of one kind of work, one at a time per machine and state root; whoever comes second goes home."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager

from sharedstate.errors import StoreUnavailable, UnsafeStore
from sharedstate.values import Value
from sharedstate_cli.report import Report, compact
from sharedstate_cli.session import Session


class Runner(Value):
    """The process that does the work already; `pid` is None in the moment before it has written that down."""

    pid: int | None


@contextmanager
def alone(session: Session, work: str) -> Generator[Runner | None]:
    """None in the block when we are the only ones who do this `work` (sweep, sync), else who does it; never waits.

    A lock of the kernel: it ends with its holder, however that ends. Beside it stands the pid, which is for people
    only. Raises `StoreUnavailable`, and `UnsafeStore` where something else stands in the place of the files.
    """
    import portalocker  # 30 ms; not on the path of hot verbs

    path = os.path.join(session.state.root, "local", f"{work}.pid")
    lock = portalocker.PidFileLock(path)
    for own in (path, f"{path}.lock"):
        _refuse_strange(own)
    try:
        for made in (session.state.root, os.path.dirname(path)):  # one by one: the mode is that of the last one made
            os.makedirs(made, mode=0o700, exist_ok=True)
        lock.acquire()
    except portalocker.AlreadyLocked:
        yield Runner(pid=lock.read_pid())
        return
    except (OSError, portalocker.LockException) as error:
        raise StoreUnavailable(f"cannot lock {path}: {getattr(error, 'strerror', None) or error}") from error
    try:
        yield None
    finally:
        lock.release()


def busy_report(work: str, runner: Runner) -> Report:
    """Somebody else does it already: nothing was done, and nothing is wrong."""
    who = "" if runner.pid is None else f" (pid {runner.pid})"
    return Report(
        document={"ok": True, "skipped": "already_running", **compact(holder_pid=runner.pid)},
        lines=(f"another {work} of this state root is running{who}; nothing was done",),
    )


def _refuse_strange(path: str) -> None:
    """The library follows links, and waits for ever at a FIFO."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return  # not there; or the attempt to lock it will say what is wrong
    if not stat.S_ISREG(mode):
        raise UnsafeStore(f"{path} is not a regular file")
