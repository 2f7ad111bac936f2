"""One process that sends or flushes through a real outbox, until it is told to end or is killed.

    python postman.py send ROOT FAR ACCEPTED SENDER SECONDS
    python postman.py flush ROOT FAR - - SECONDS

The far side is a file to which each delivery appends a line: sender, number, id, attempts. What was accepted is a line
in ACCEPTED, written after `send` returned. Lines are written with one call each, so that a kill leaves whole ones.
"""

from __future__ import annotations

import os
import random
import sys
import time

from sharedstate.files.store import FileStore
from sharedstate.host import Host
from sharedstate.messages.model import Answer, Deferred, Delivered, Envelope, Refused
from sharedstate.messages.outbox import Outbox
from sharedstate.settings import resolve


class Append:
    """Appends whole lines to a file."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __call__(self, line: str) -> None:
        os.write(self._fd, line.encode() + b"\n")


class FarFile:
    """A receiver that takes everything at once, or is busy now and then, or takes it and does not say so."""

    name = "file"

    def __init__(self, path: str, *, unkind: float) -> None:
        self._append = Append(path)
        self._unkind = unkind
        self._random = random.Random(os.getpid())

    def deliver(self, envelope: Envelope, *, timeout_s: float) -> Answer:
        """Append a line, or not."""
        del timeout_s
        chance = self._random.random()
        if chance < self._unkind:
            return Deferred(via=self.name, reason="busy", retry_after_ms=1)
        time.sleep(self._random.choice((0, 0, 0.002)))
        self._append(f"{envelope.sender} {envelope.body} {envelope.id} {envelope.attempts}")
        lost = chance > 1 - self._unkind
        return Deferred(via=self.name, reason="no answer") if lost else Delivered(via=self.name)

    def close(self) -> None:
        """The process ends soon enough."""


def opened(root: str, far: FarFile) -> Outbox:
    """The outbox of a process."""
    host = Host()
    settings = resolve({}, env={}, folder="/")
    return Outbox(FileStore(root, host=host), host=host, settings=settings, transport=lambda envelope, endpoints: far)


def send(outbox: Outbox, accepted: Append, sender: str, seconds: float) -> None:
    """Send numbered messages as fast as it goes."""
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s:
        number = time.monotonic_ns()
        answer = outbox.send(sender=sender, to="b", body=str(number))
        if not isinstance(answer, Refused):
            accepted(f"{sender} {number} {answer.envelope.id}")


def flush(outbox: Outbox, seconds: float) -> None:
    """Flush until the time is over; with 0 seconds until nothing is left."""
    deadline_s = time.monotonic() + seconds
    while time.monotonic() < deadline_s or seconds == 0:
        if outbox.flush(count_max=50).total == 0 and seconds == 0:
            return
        time.sleep(0.001)


def main(arguments: list[str]) -> None:
    """See the top of the file."""
    action, root, far, accepted, sender, seconds = arguments
    outbox = opened(root, FarFile(far, unkind=0.1 if float(seconds) else 0.0))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    if action == "send":
        send(outbox, Append(accepted), sender, float(seconds))
    else:
        flush(outbox, float(seconds))


if __name__ == "__main__":
    main(sys.argv[1:])
