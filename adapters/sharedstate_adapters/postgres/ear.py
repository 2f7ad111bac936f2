"""Hints from the server: LISTEN on connections of their own. A hint may get lost; whoever waits looks for himself, too.

Where nothing can be heard (a standby, a pooler that refuses LISTEN) waiting is only a pause between two looks.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from sharedstate.errors import SharedStateError
from sharedstate.host import Host
from sharedstate_adapters.postgres.edge import Absent, Away
from sharedstate_adapters.postgres.line import Line
from sharedstate_adapters.postgres.statements import Statements
from sharedstate_adapters.postgres.wire import Patience, Wire

POLL_S: Final = 1.0
_IDLE_MAX: Final = 16


class Ears:
    """Connections that listen, one for each thread that waits."""

    def __init__(self, wire: Wire, sql: Statements, *, host: Host) -> None:
        self._wire = wire
        self._sql = sql
        self._host = host
        self._idle: deque[Line] = deque()

    def take(self, patience: Patience) -> Line | None:
        """A connection that listens from now on, or None where that cannot be."""
        try:
            return self._idle.pop()
        except IndexError:
            pass
        line: Line | None = None
        try:
            line = self._wire.dial(patience)
            line.ask(self._sql.listen, (), patience.answer_s, what="listening")
        except (Away, Absent, SharedStateError):
            if line is not None:
                line.close()
            return None
        return line

    def wait(self, line: Line | None, journal: str, limit_s: float) -> Line | None:
        """Wait for a hint about a journal, at most `limit_s` and at most until the next look; None when it is deaf now.

        Hints about other journals do not end it.
        """
        end_s = self._host.monotonic_s() + min(limit_s, POLL_S)
        while (left_s := end_s - self._host.monotonic_s()) > 0:
            if line is None:
                self._host.sleep(left_s)
                break
            try:
                if journal in line.hear(left_s):
                    break
            except Away:
                line = None
        return line

    def give_back(self, line: Line | None) -> None:
        """Keep it for the next who waits."""
        if line is not None and line.is_idle and len(self._idle) < _IDLE_MAX:
            self._idle.append(line)
        elif line is not None:
            line.close()

    def close(self) -> None:
        """Hang up those that nobody uses now."""
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:  # another thread took it
                return
