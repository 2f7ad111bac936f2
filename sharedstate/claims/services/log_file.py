"""The log file of a service: owner-only, in the machine-local folder of the state root, rotated when a run begins."""

from __future__ import annotations

import os
from typing import Final

from sharedstate.errors import StoreUnavailable, UnsafeStore
from sharedstate.host import Host
from sharedstate.ids import record_name

BYTES_MAX: Final = 4 * 1024 * 1024
OLD_FILES_MAX: Final = 3
FOLDER: Final = ("local", "services")


def log_path(root: str, name: str) -> str:
    """Where the output of a service goes, and its supervisor's complaints."""
    return os.path.join(root, *FOLDER, f"{record_name(name)}.log")


def open_log(root: str, name: str, *, host: Host) -> int:
    """A descriptor to append to, 0600. One of more than 4 MiB is put aside first; the three latest of those are kept.

    Raises `UnsafeStore` for a link or something else in its place, `StoreUnavailable` when the disk refuses.
    """
    path = log_path(root, name)
    try:
        for folder in (root, os.path.join(root, FOLDER[0]), os.path.join(root, *FOLDER)):
            _make(folder, host=host)
        folder_fd = host.open_dir(os.path.dirname(path))
        try:
            file = os.path.basename(path)
            _rotate(file, dir_fd=folder_fd, host=host)
            fd = host.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, dir_fd=folder_fd)
        finally:
            host.close(folder_fd)
    except OSError as error:
        raise StoreUnavailable(f"cannot open the log {path}: {error.strerror}") from error
    info = host.fstat(fd)
    if not info.is_file or info.links != 1 or info.uid != host.uid():
        host.close(fd)
        raise UnsafeStore(f"{path}: not a plain file of ours")
    os.set_blocking(fd, True)  # opened so that a FIFO cannot hold us; programs expect to wait
    return fd


def _make(folder: str, *, host: Host) -> None:
    try:
        host.mkdir(folder)
    except FileExistsError:
        pass


def _rotate(file: str, *, dir_fd: int, host: Host) -> None:
    try:
        if host.lstat(file, dir_fd=dir_fd).size <= BYTES_MAX:
            return
    except FileNotFoundError:
        return
    for number in range(OLD_FILES_MAX, 0, -1):
        older = file if number == 1 else f"{file}.{number - 1}"
        try:
            host.rename(older, f"{file}.{number}", dir_fd=dir_fd)
        except FileNotFoundError:
            continue
