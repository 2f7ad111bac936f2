"""GitHub's clock as this machine can know it.

GitHub says the time in whole seconds with each answer: at some moment between the request and the answer it was that
second. The latest of all readings, carried on by our own boot clock (which runs on through suspend), is at most a
second and one way of a request behind GitHub; two machines never differ by more. Where our clock runs faster than
GitHub's, a reading pulls it back, but never further than that reading can prove: who stood still between answer and
reading must not believe in the past.
"""

from __future__ import annotations

from typing import Final

from sharedstate.clock import Instant
from sharedstate.host import Host

_CUT_MS: Final = 999  # GitHub says whole seconds
_DOUBT_MS: Final = 5_000  # a reading that took longer says little by itself


class ServerClock:
    """GitHub's time over the boot clock of `host`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._ahead_ms: int | None = None
        self.sure = False

    @property
    def known(self) -> bool:
        """Whether GitHub has said the time yet. `sure`: and as well as it can be known."""
        return self._ahead_ms is not None

    def note(self, date_ms: int | None, *, asked_ms: int) -> None:
        """An answer has just arrived to what was asked at `asked_ms` of the boot clock; None: it says no time."""
        boot_ms = self._host.now().boot_ms
        if date_ms is None:
            return
        self.sure = self.sure or boot_ms - asked_ms <= _DOUBT_MS
        at_least_ms, at_most_ms = date_ms - boot_ms, date_ms + _CUT_MS - asked_ms
        known_ms = at_least_ms if self._ahead_ms is None else self._ahead_ms
        self._ahead_ms = min(max(known_ms, at_least_ms), at_most_ms)

    def now(self) -> Instant:
        """The present moment; only its wall time means anything to other machines. GitHub has to be `known`."""
        assert self._ahead_ms is not None
        return Instant(at_ms=self._host.now().boot_ms + self._ahead_ms, boot_ms=0, boot_id="")
