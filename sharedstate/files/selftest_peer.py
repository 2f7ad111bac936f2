"""The other process of `claims selftest`: one order per line of standard input, through the host the store uses."""

from __future__ import annotations

import json
import os
import sys
from typing import Any
from zlib import crc32

from sharedstate.files.cells import read_beat
from sharedstate.files.plain import read_fully
from sharedstate.files.roots import Root
from sharedstate.host import Host

READ_BYTES = 4096


class Worker:
    """The orders, by name. Descriptors of locks are kept until the process ends."""

    def __init__(self, host: Host, folder: str) -> None:
        self._host = host
        self._folder = folder
        self._held: dict[str, int] = {}

    def lock(self, *, name: str) -> bool:
        """Try to take a lock, and keep it."""
        if name not in self._held:
            self._held[name] = self._host.open(os.path.join(self._folder, name), os.O_RDWR | os.O_CREAT)
        return self._host.try_lock(self._held[name])

    def unlock(self, *, name: str, after_s: float = 0.0) -> bool:
        """Give a lock back, later."""
        self._host.sleep(after_s)
        self._host.unlock(self._held[name])
        return True

    def count(self, *, name: str, times: int) -> int:
        """Raise the number in a file by one, many times, each under the file's lock; how often it was done."""
        fd = self._host.open(os.path.join(self._folder, name), os.O_RDWR | os.O_CREAT)
        for turn in range(times):
            if not self._host.try_lock(fd) and not self._host.wait_lock(fd, timeout_s=2.0):
                return turn
            number = int(self._host.pread(fd, 20, 0) or b"0")
            self._host.sleep(0.0005 if turn % 4 == 0 else 0)  # races hide without naps
            self._host.pwrite(fd, b"%020d" % (number + 1), 0)
            self._host.unlock(fd)
        return times

    def read(self, *, name: str, seconds: float) -> dict[str, int]:
        """Read a file again and again; how often, how often it was missing, and how often it was not whole."""
        path, until_s = os.path.join(self._folder, name), self._host.monotonic_s() + seconds
        reads = missing = torn = 0
        while self._host.monotonic_s() < until_s:
            reads += 1
            try:
                fd = self._host.open(path, os.O_RDONLY)
            except FileNotFoundError:
                missing += 1
                continue
            try:
                raw = read_fully(self._host, fd, READ_BYTES)
            finally:
                self._host.close(fd)
            torn += not is_whole(raw)
        return {"reads": reads, "missing": missing, "torn": torn}

    def create(self, *, names: list[str]) -> list[str]:
        """Create files that must not exist yet; those that this process has created."""
        won: list[str] = []
        for name in names:
            try:
                flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY
                self._host.close(self._host.open(os.path.join(self._folder, name), flags))
            except FileExistsError:
                continue
            won.append(name)
        return won

    def beats(self, *, name: str, seconds: float) -> dict[str, int]:
        """Read a beat cell again and again; how often, how often nothing could be read, how often it went back."""
        root = Root(os.path.join(self._folder, "root"), host=self._host, allow_network=True)
        until_s = self._host.monotonic_s() + seconds
        reads = unreadable = backwards = last = 0
        while self._host.monotonic_s() < until_s:
            beat = read_beat(root, "beats", name)
            reads += 1
            if beat is None:
                unreadable += 1
                continue
            backwards += beat.seen.at_ms < last
            last = max(last, beat.seen.at_ms)
        return {"reads": reads, "unreadable": unreadable, "backwards": backwards}


def whole(number: int, size: int) -> bytes:
    """Bytes of a given size that say whether they are all there."""
    body = (b"%d " % number).ljust(size - 8, b"x")
    return body + b"%08x" % crc32(body)


def is_whole(raw: bytes) -> bool:
    """Whether the bytes are those of `whole`, none missing, none of another version."""
    return len(raw) > 8 and b"%08x" % crc32(raw[:-8]) == raw[-8:]


def main(host: Host, folder: str) -> None:
    """Answer orders until standard input ends."""
    worker = Worker(host, folder)
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        answer = getattr(worker, order.pop("verb"))(**order)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Host(), sys.argv[1])
