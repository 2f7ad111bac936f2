"""What is remembered between requests, so that many a transition takes one of them instead of two.

A guess is what the server was last seen to hold, and its time as reckoned from this process's clock. It is never
believed: the script compares record and beat, and refuses a time that is ahead of the server's or far behind. What was
right is as right as after a look that took place at that time; what was wrong costs one decision in vain, no request:
the script that refuses tells what there is. So of a record that was never seen here it is guessed that there is none.
"""

from __future__ import annotations

from typing import Final

from sharedstate.clock import Instant
from sharedstate.host import Host

GUESS_MS_MAX: Final = 1_000
_ENTRIES_MAX: Final = 1_024
_BYTES_MAX: Final = 16_384
Known = tuple[bytes | None, bytes | None, int]
_NOTHING: Final[Known] = (None, None, 0)


class ServerClock:
    """The server's time, reckoned: never ahead of it as long as it is not set back, behind by what an answer takes."""

    __slots__ = ("_ahead_s", "_host", "_newest_ms")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._ahead_s: float | None = None
        self._newest_ms = 0

    def heard(self, seconds: bytes | int, microseconds: bytes | int) -> Instant:
        """A moment that the server has told just now."""
        told_s, told_us = int(seconds), int(microseconds)
        self._ahead_s = told_s + told_us / 1e6 - self._host.monotonic_s()
        self._newest_ms = told_s * 1000 + told_us // 1000
        return Instant(at_ms=self._newest_ms, boot_ms=0, boot_id="")

    def reckoned_ms(self) -> int | None:
        """The server's time now in Unix milliseconds, not before the last that it told; None before the first."""
        if self._ahead_s is None:
            return None
        return max(self._newest_ms, int((self._ahead_s + self._host.monotonic_s()) * 1000))


class Memory:
    """The last known state of a few records: bytes, beat, and when."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Known | None] = {}

    def keep(self, collection: str, key: str, known: Known) -> None:
        """Remember; of what is large only that it cannot be guessed. The oldest is forgotten."""
        name = (collection, key)
        self._known.pop(name, None)
        self._known[name] = None if known[0] is not None and len(known[0]) > _BYTES_MAX else known
        while len(self._known) > _ENTRIES_MAX:
            try:
                self._known.pop(next(iter(self._known)), None)
            except (StopIteration, RuntimeError):  # another thread is at it, too
                return

    def find(self, collection: str, key: str) -> Known | None:
        """What is remembered of a record; that there is none, of one never seen. None: not to be guessed."""
        return self._known.get((collection, key), _NOTHING)

    def clear(self) -> None:
        """Forget all."""
        self._known = {}
