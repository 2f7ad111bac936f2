"""The server's time as reckoned from this process's clock, so that a transition need not ask for it first.

It is never believed: the script refuses a time that is ahead of the server's, or far behind.
"""

from __future__ import annotations

from typing import Final

from sharedstate.host import Host

GUESS_MS_MAX: Final = 1_000


class ServerClock:
    """The server's time, reckoned: never ahead of it as long as it is not set back, behind by what an answer takes."""

    __slots__ = ("_ahead_s", "_host", "_newest_ms")

    def __init__(self, host: Host) -> None:
        self._host = host
        self._ahead_s: float | None = None
        self._newest_ms = 0

    def heard(self, seconds: bytes | int, microseconds: bytes | int) -> int:
        """The moment that the server has told just now, in Unix milliseconds."""
        told_s, told_us = int(seconds), int(microseconds)
        self._ahead_s = told_s + told_us / 1e6 - self._host.monotonic_s()
        self._newest_ms = told_s * 1000 + told_us // 1000
        return self._newest_ms

    def reckoned_ms(self) -> int | None:
        """The server's time now in Unix milliseconds, not before the last that it told; None before the first."""
        if self._ahead_s is None:
            return None
        return max(self._newest_ms, int((self._ahead_s + self._host.monotonic_s()) * 1000))
