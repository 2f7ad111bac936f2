"""Single flight: of one kind of work, one at a time per machine and state root; whoever comes second goes home."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager

from sharedstate.errors import StoreUnavailable
from sharedstate_cli.report import Report
from sharedstate_cli.session import Session


@contextmanager
def alone(session: Session, work: str) -> Generator[bool]:
    """Whether we are the only ones who do this `work` (sweep, sync) in the block; never waits.

    A lock of the kernel: it ends with its holder, however that ends. Raises `StoreUnavailable`.
    """
    import filelock

    folder = os.path.join(session.state.root, "local")
    path = os.path.join(folder, f"{work}.lock")
    lock = filelock.FileLock(path, timeout=0, mode=0o600, fallback_to_soft=False, preserve_lock_file=True)
    try:
        for made in (session.state.root, folder):  # one by one: the mode is that of the last one made
            os.makedirs(made, mode=0o700, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        yield False
        return
    except OSError as error:
        raise StoreUnavailable(f"cannot lock {path}: {error.strerror}") from error
    try:
        yield True
    finally:
        lock.release()


def busy_report(work: str) -> Report:
    """Somebody else does it already: nothing was done, and nothing is wrong."""
    return Report(
        document={"ok": True, "skipped": "already_running"},
        lines=(f"another {work} of this state root is running; nothing was done",),
    )
