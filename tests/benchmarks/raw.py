"""The floor under every figure: what the bare system calls of one change cost, without any of our code."""

from __future__ import annotations

import fcntl
import json
import os


class Floor:
    """Raw changes of files of one size in one folder, each under one kernel lock, with kept descriptors.

    `durable` adds fsync of the file and of its directory: one durable step. `content` is the JSON written.
    """

    def __init__(self, folder: str, content: bytes, *, durable: bool = False) -> None:
        os.makedirs(folder, exist_ok=True)
        self._folder = folder
        self._content = content
        self._durable = durable
        self._dir_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._lock_fd = os.open("lock", os.O_RDWR | os.O_CREAT, 0o600, dir_fd=self._dir_fd)
        self._log_fd = os.open("log", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600, dir_fd=self._dir_fd)

    def replace(self, number: int) -> None:
        """flock, write a temporary file, rename, unlock: the first time under a new name, then over the old file."""
        fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
        self._put(f"r{number}.json", self._content)
        fcntl.flock(self._lock_fd, fcntl.LOCK_UN)

    def change(self, number: int) -> None:
        """The same around a change: read, parse, set one field, print as JSON like ours, by the standard library."""
        name = f"r{number}.json"
        fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._dir_fd)
        document = json.loads(os.read(fd, 1 << 20))
        os.close(fd)
        document["number"] = number
        self._put(name, json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).encode())
        fcntl.flock(self._lock_fd, fcntl.LOCK_UN)

    def path(self, number: int) -> str:
        """Where `replace` puts the file of this number."""
        return os.path.join(self._folder, f"r{number}.json")

    def append(self, number: int) -> None:
        """flock, append a line of 200 bytes, unlock, then fdatasync if durable."""
        fcntl.flock(self._lock_fd, fcntl.LOCK_EX)
        os.write(self._log_fd, b"%-199d\n" % number)
        fcntl.flock(self._lock_fd, fcntl.LOCK_UN)
        if self._durable:
            os.fdatasync(self._log_fd)

    def close(self) -> None:
        """Give the descriptors back."""
        for fd in (self._dir_fd, self._lock_fd, self._log_fd):
            os.close(fd)

    def _put(self, name: str, raw: bytes) -> None:
        fd = os.open("temp", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self._dir_fd)
        os.write(fd, raw)
        if self._durable:
            os.fsync(fd)
        os.close(fd)
        os.rename("temp", name, src_dir_fd=self._dir_fd, dst_dir_fd=self._dir_fd)
        if self._durable:
            os.fsync(self._dir_fd)
