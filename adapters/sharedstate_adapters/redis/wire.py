"""Asking the server until it has answered or time is over: kept connections, another try after each that is lost.

Every request may be sent twice, because what changes anything carries a nonce (`scripts`). A server that nobody reaches
is given up after two seconds; a lost answer is asked for until the end of the operation's time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from sharedstate.errors import OutcomeUnknown, StoreUnavailable
from sharedstate.host import Host
from sharedstate_adapters.redis.edge import Away
from sharedstate_adapters.redis.line import Dial, Line
from sharedstate_adapters.redis.scripts import Script, is_done

AWAY_S_MAX: Final = 2.0
ANSWER_SHARE: Final = 4  # one answer may take this part of an operation's time: then there is time for other tries
_NAP_S: Final = 0.01
_NAP_S_MAX: Final = 0.5
_IDLE_MAX: Final = 64


class Patience:
    """The end of one operation's time."""

    __slots__ = ("_end_s", "_host", "answer_s", "limit_s")

    def __init__(self, host: Host, *, limit_s: float) -> None:
        self._host = host
        self.limit_s = limit_s
        self.answer_s = max(limit_s / ANSWER_SHARE, 0.001)
        self._end_s = host.monotonic_s() + limit_s

    @property
    def left_s(self) -> float:
        """Seconds that are left; 0 when time is over."""
        return max(0.0, self._end_s - self._host.monotonic_s())


class Wire:
    """The way to one server, for any number of threads. `lost_count`: requests to change something that were sent, and
    whose answer did not come: they may still be under way."""

    def __init__(self, dial: Dial, *, host: Host, where: str) -> None:
        self._dial = dial
        self._host = host
        self._idle: deque[Line] = deque()
        self.where = where
        self.lost_count = 0

    def run(
        self,
        script: Script,
        keys: Sequence[str],
        words: Sequence[Any],
        patience: Patience,
        *,
        what: str,
        replicas: int = 0,
    ) -> Any:
        """The answer of a script. Raises `StoreUnavailable`, `BadSettings`, `Corrupt`, `UnsafeStore` if it writes.

        With `replicas`: once so many have what the script changed, else `DurabilityUnknown`.
        """

        def once(line: Line, timeout_s: float) -> Any:
            if script.writes:  # looked at when the connection was made: after a failover it is another server's
                line.premises.check_safe(where=self.where)
            answer = line.run(script, keys, words, timeout_s, what=what)
            if replicas and is_done(answer):
                line.wait_for(replicas, timeout_s, what=what)
            return answer

        return self._until_answered(once, patience, what=what, writes=script.writes)

    def ask(self, words: Sequence[Any], patience: Patience, *, what: str, waits_s: float = 0.0) -> Any:
        """The answer to one command that only reads; `waits_s`: how long the server itself may wait before it."""
        return self._until_answered(
            lambda line, timeout_s: line.ask(words, timeout_s + waits_s, what=what),
            patience,
            what=what,
            writes=False,
        )

    def close(self) -> None:
        """Hang up every connection that nobody uses now; more are made when they are needed."""
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:  # another thread took it
                return

    def _until_answered(
        self, once: Callable[[Line, float], Any], patience: Patience, *, what: str, writes: bool
    ) -> Any:
        doubt, tries, lost_s = False, 0, 0.0
        while True:
            try:
                return self._once(once, patience)
            except Away as lost:
                now_s = self._host.monotonic_s()
                lost_s = lost_s or now_s
                self.close()  # what one has lost, the others have, too
                if writes and lost.sent:
                    doubt = True
                    self.lost_count += 1
                nap_s = self._nap_s(tries)
                if patience.left_s <= nap_s or (not doubt and now_s - lost_s > AWAY_S_MAX):
                    raise self._gone(lost.reason, what=what, doubt=doubt) from None
                self._host.sleep(nap_s)
                tries += 1

    def _once(self, once: Callable[[Line, float], Any], patience: Patience) -> Any:
        timeout_s = min(patience.answer_s, max(patience.left_s, 0.001))
        try:
            line = self._idle.pop()
        except IndexError:
            line = self._dial(timeout_s)
            timeout_s = min(patience.answer_s, max(patience.left_s, 0.001))
        usable = False
        try:
            answer = once(line, timeout_s)
            usable = True
            return answer
        finally:
            if usable and len(self._idle) < _IDLE_MAX:
                self._idle.append(line)
            elif not usable:
                line.close()

    def _nap_s(self, tries: int) -> float:
        """The first retry comes at once: mostly only the connection was old. Then 10 ms to half a second, by chance."""
        if tries == 0:
            return 0.0
        longest_s = min(_NAP_S_MAX, _NAP_S * 2 ** min(tries, 10))
        share = int.from_bytes(self._host.entropy(2), "big") / 65536
        return float(longest_s * (0.5 + share / 2))

    def _gone(self, reason: str, *, what: str, doubt: bool) -> StoreUnavailable:
        text = f"{what}: no answer from Redis at {self.where}: {reason}"
        if not doubt:
            return StoreUnavailable(text, hint=_HINT)
        return OutcomeUnknown(f"{text}; whether it was carried out is not known", hint=_DOUBT)


_HINT: Final = "check that the server runs and is reached from here, then try again"
_DOUBT: Final = "read the state again when the server is back: it was carried out wholly or not at all"
