"""Asking the server until it has answered or time is over: kept connections, another try after each that is lost.

A server that nobody reaches is given up after two seconds, one that is starting is waited for. A change whose answer
was lost is looked for until the end of the operation's time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

from sharedstate.errors import OutcomeUnknown, StoreUnavailable
from sharedstate.host import Host
from sharedstate_adapters.postgres.edge import Away
from sharedstate_adapters.postgres.line import Dial, Line

T = TypeVar("T")
AWAY_S_MAX: Final = 2.0
ANSWER_SHARE: Final = 4  # one read may take this part of an operation's time: then there is time for other tries
_NAP_S: Final = 0.01
_NAP_S_MAX: Final = 0.5
_IDLE_MAX: Final = 16


class Patience:
    """The end of one operation's time. Told by the boot clock, which runs on while the machine is suspended."""

    __slots__ = ("_end_ms", "_host", "limit_s")

    def __init__(self, host: Host, *, limit_s: float) -> None:
        self._host = host
        self.limit_s = limit_s
        self._end_ms = host.now().boot_ms + limit_s * 1000

    @property
    def left_s(self) -> float:
        """Seconds that are left; 0 when time is over."""
        return max(0.0, (self._end_ms - self._host.now().boot_ms) / 1000)

    @property
    def answer_s(self) -> float:
        """How long one read may take."""
        return max(0.001, min(self.limit_s / ANSWER_SHARE, self.left_s))

    @property
    def commit_s(self) -> float:
        """How long a commit may take: half of what is left, so that a lost answer can still be looked for."""
        return max(0.001, self.left_s / 2)


class Wire:
    """The way to one server, for any number of threads."""

    def __init__(self, dial: Dial, *, host: Host, where: str) -> None:
        self._dial = dial
        self._host = host
        self._idle: deque[Line] = deque()
        self.where = where

    def do(self, work: Callable[[Line], T], patience: Patience, *, what: str) -> T:
        """What `work` returns, given a connection; called again, with another one, after each that was lost.

        Raises what `work` does, and `StoreUnavailable`.
        """
        doubt, tries, lost_ms = False, 0, 0
        while True:
            try:
                return self._once(work, patience)
            except Away as lost:
                now_ms = self._host.now().boot_ms
                lost_ms = now_ms if lost.coming or not lost_ms else lost_ms
                self.close()  # what one has lost, the others have, too
                doubt = doubt or lost.sent
                if patience.left_s <= 0 or (not doubt and now_ms - lost_ms > AWAY_S_MAX * 1000):
                    raise self._gone(lost.reason, what=what, doubt=doubt) from None
                self._nap(tries, patience)
                tries += 1

    def dial(self, patience: Patience) -> Line:
        """A connection that belongs to the caller. Raises `Away`, `BadSettings`, `StoreUnavailable`."""
        return self._dial(max(patience.left_s, 0.001))

    def close(self) -> None:
        """Hang up every connection that nobody uses now; more are made when they are needed."""
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:  # another thread took it
                return

    def _once(self, work: Callable[[Line], T], patience: Patience) -> T:
        try:
            line = self._idle.pop()
        except IndexError:
            line = self.dial(patience)
        try:
            return work(line)
        finally:
            if not line.is_idle:
                line.roll_back()
            if line.is_idle and len(self._idle) < _IDLE_MAX:
                self._idle.append(line)
            else:
                line.close()

    def _nap(self, tries: int, patience: Patience) -> None:
        """The first retry comes at once: mostly only the connection was old. Then 10 ms to half a second, by chance."""
        if tries == 0:
            return
        longest_s = min(_NAP_S_MAX, _NAP_S * 2 ** min(tries, 10))
        share = int.from_bytes(self._host.entropy(2), "big") / 65536
        self._host.sleep(min(longest_s * (0.5 + share / 2), patience.left_s))

    def _gone(self, reason: str, *, what: str, doubt: bool) -> StoreUnavailable:
        text = f"{what}: no answer from PostgreSQL at {self.where}: {reason}"
        if not doubt:
            return StoreUnavailable(text, hint=_HINT)
        return OutcomeUnknown(f"{text}; whether it was carried out is not known", hint=_DOUBT)


_HINT: Final = "check that the server runs and is reached from here, then try again"
_DOUBT: Final = "read the state again when the server is back: it was carried out wholly or not at all"
