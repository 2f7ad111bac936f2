"""GitHub's clock as this machine can know it.

GitHub says the time in whole seconds with each answer. The latest of all readings, carried on by our own boot clock
(which runs on through suspend), is at most a second and one way of a request behind GitHub; two machines never differ
by more. Where our clock runs faster than GitHub's, a fresh reading pulls it back.
"""

from __future__ import annotations

from typing import Final

from sharedstate.clock import Instant
from sharedstate.host import Host

_SPREAD_MS: Final = 2_000  # readings of one moment differ by the second they are cut to and by the way back


class ServerClock:
    """GitHub's time over the boot clock of `host`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._ahead_ms: int | None = None

    @property
    def known(self) -> bool:
        """Whether GitHub has said the time yet."""
        return self._ahead_ms is not None

    def note(self, date_ms: int | None) -> None:
        """An answer has just arrived that says this moment; None when it did not say."""
        if date_ms is None:
            return
        ahead_ms = date_ms - self._host.now().boot_ms
        known_ms = ahead_ms if self._ahead_ms is None else self._ahead_ms
        self._ahead_ms = min(max(known_ms, ahead_ms), ahead_ms + _SPREAD_MS)

    def now(self) -> Instant:
        """The present moment; only its wall time means anything to other machines. GitHub has to be `known`."""
        assert self._ahead_ms is not None
        return Instant(at_ms=self._host.now().boot_ms + self._ahead_ms, boot_ms=0, boot_id="")
