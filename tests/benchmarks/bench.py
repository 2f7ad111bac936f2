"""What every section is given: where to work, how much to do; and the opened state they all measure."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

from sharedstate import SharedState
from sharedstate.host import Host
from sharedstate.values import Value

# Start-up is measured as a user has it: with compiled modules, and without the habits of this process.
_NOT_INHERITED = ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPROFILEIMPORTTIME", "PYTHONTRACEMALLOC")
OWNER = "bench/agent"


class Bench(Value):
    """One run: the folder on the disk, the one on tmpfs (empty where there is none), and whether it shall be short."""

    disk: str
    memory: str
    quick: bool

    def folder(self, name: str, *, memory: bool = False) -> str:
        """A new folder for one case; on the disk when there is no tmpfs."""
        path = os.path.join(self.memory if memory and self.memory else self.disk, name)
        os.makedirs(path)
        return path

    def choose(self, *, full: int, quick: int) -> int:
        """One of two amounts of work."""
        return quick if self.quick else full


class CountingHost(Host):
    """The real machine, counting what makes changes durable.

    A durable step is a file brought to stable storage; the fsync of the directory after it belongs to the step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.renames = 0

    def fsync(self, fd: int) -> None:
        """Count a step unless it is a directory."""
        self.steps += not os.path.isdir(f"/proc/self/fd/{fd}")
        super().fsync(fd)

    def fdatasync(self, fd: int) -> None:
        """Count a step."""
        self.steps += 1
        super().fdatasync(fd)

    def rename(self, old: str, new: str, *, dir_fd: int | None = None) -> None:
        """Count a replaced file."""
        self.renames += 1
        super().rename(old, new, dir_fd=dir_fd)


def opened(
    root: str, *, owner: str = OWNER, host: Host | None = None, durability: str = "full", **settings: Any
) -> SharedState:
    """The state under `root`, with an owner and a durability that do not depend on the environment."""
    return SharedState.open(
        root, owner=owner, folder=os.path.dirname(root), host=host, durability=durability, **settings
    )


def environment(**added: str) -> dict[str, str]:
    """The environment of measured child processes."""
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    kept = {name: value for name, value in kept.items() if not name.startswith(("SHARED_STATE_", "TASK_CLAIM_"))}
    return {**kept, **added}


def command() -> list[str]:
    """The installed `claims`, as a user calls it; empty when it is not installed."""
    path = os.path.join(os.path.dirname(sys.executable), "claims")
    return [path] if os.path.exists(path) else []


def files_below(folder: str) -> Iterator[tuple[str, int, int]]:
    """Path, size and modification time of every file, to tell whether anything was written."""
    for parent, _, names in os.walk(folder):
        for name in sorted(names):
            path = os.path.join(parent, name)
            status = os.stat(path)
            yield path, status.st_size, status.st_mtime_ns
