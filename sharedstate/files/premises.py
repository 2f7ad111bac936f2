"""What a state root stands on: file system, space, clocks, versions. Reads only."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import Final

from sharedstate.files.mounts import network_file_system
from sharedstate.findings import Finding, fine, trouble, warning
from sharedstate.host import Host

SPACE_BYTES_MIN: Final = 64 * 1024 * 1024
INODES_MIN: Final = 1000
_LIBRARIES: Final = ("sharedstate", "filelock", "portalocker", "pydantic", "typer", "rich")
_WALL_MS_MIN: Final = 1_700_000_000_000  # 2023, before the first line of this library


def inspect_premises(path: str, *, host: Host, allow_network: bool) -> list[Finding]:
    """Findings about the machine around the state root at `path`, which need not exist yet."""
    return [*_file_system(path, host=host, allow_network=allow_network), *_space(path), *_clock(host), *_versions()]


def nearest_folder(path: str) -> str:
    """The folder itself, or the nearest one above it that exists."""
    here = os.path.abspath(path)
    while not os.path.isdir(here) and os.path.dirname(here) != here:
        here = os.path.dirname(here)
    return here


def _file_system(path: str, *, host: Host, allow_network: bool) -> Iterator[Finding]:
    kind = network_file_system(path, host=host)
    if not kind:
        yield fine("file_system", path, "not a network file system that is known as one")
        return
    text = f"on a network file system ({kind}), where locks may not hold between machines"
    step = "put the state root on a local disk (SHARED_STATE_DIR); `claims selftest` proves what holds on one machine"
    yield (warning if allow_network else trouble)("file_system", path, text, step)


def _space(path: str) -> Iterator[Finding]:
    try:
        # Not through the host: a fact about the machine, not about a file of ours.
        found = os.statvfs(nearest_folder(path))
    except (OSError, AttributeError):
        yield fine("space", path, "free space cannot be told")
        return
    free, inodes = found.f_bavail * found.f_frsize, found.f_favail
    text = f"{free / 2**20:.0f} MiB and {inodes} files free"
    if free < SPACE_BYTES_MIN or (found.f_files and inodes < INODES_MIN):
        yield warning("space", path, text, "make room; a full disk refuses claims, and loses none")
    else:
        yield fine("space", path, text)


def _clock(host: Host) -> Iterator[Finding]:
    now = host.now()
    if now.at_ms < _WALL_MS_MIN:
        yield warning("clock", "wall clock", f"says {now.iso()}", "set the clock, or wait for time synchronisation")
    elif not now.boot_id:
        text = "no boot id: ages are measured by the wall clock alone"
        yield warning("clock", "boot clock", text, "keep the wall clock synchronised")
    else:
        yield fine("clock", "wall and boot clock", f"{now.iso()}, {now.boot_ms / 1000:.0f} s since boot")


def _versions() -> Iterator[Finding]:
    told = [f"Python {platform.python_version()} on {sys.platform}"]
    for name in _LIBRARIES:
        try:
            told.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            told.append(f"{name} not installed")
    yield fine("versions", sys.prefix, ", ".join(told))
