"""The two ends of a hub: the shared store, and this machine's files while that is away. Degrading is told once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from sharedstate import logs
from sharedstate.errors import StoreError
from sharedstate.host import Host
from sharedstate.store import Store

T = TypeVar("T")
RETRY_MIN_S: Final = 1.0
RETRY_MAX_S: Final = 30.0


class Ends:
    """Which store to ask. `shared` and `local` are the same object where there is nothing to reconcile.

    After a fault of the shared store it is left alone for 1 s, doubling to 30 s; the first call that gets through then
    joins again. One warning when it is lost, one note when it is back. Safe for threads.
    """

    def __init__(self, *, shared: Store, local: Store, host: Host) -> None:
        self.shared = shared
        self.local = local
        self.single = shared is local
        self._host = host
        self._gate = threading.Lock()
        self._away_until_s: float | None = None
        self._pause_s = RETRY_MIN_S

    @property
    def degraded(self) -> bool:
        """Whether the shared store was away when it was last asked."""
        return self._away_until_s is not None

    def try_shared(self, act: Callable[[Store], T]) -> tuple[bool, T | None, bool]:
        """Ask the shared store, unless it was away a moment ago: whether it answered, what, and whether it came back.

        With a single store faults raise: there is nothing to fall back to.
        """
        if self.single:
            return True, act(self.shared), False
        until_s = self._away_until_s
        if until_s is not None and self._host.monotonic_s() < until_s:
            return False, None, False
        try:
            answer = act(self.shared)
        except StoreError as error:
            self._lost(error)
            return False, None, False
        return True, answer, self._back()

    def _lost(self, error: StoreError) -> None:
        with self._gate:
            first = self._away_until_s is None
            self._pause_s = RETRY_MIN_S if first else min(RETRY_MAX_S, self._pause_s * 2)
            self._away_until_s = self._host.monotonic_s() + self._pause_s
        if first:
            logs.warn("the hub's shared store is away, it works on this machine's files meanwhile: %s", error)

    def _back(self) -> bool:
        with self._gate:
            was_away, self._away_until_s = self._away_until_s is not None, None
        if was_away:
            logs.info("the hub's shared store is back")
        return was_away
