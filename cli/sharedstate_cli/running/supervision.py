"""Between start and end: forward signals, keep the claim alive, stop and go on like one job, end what is lost."""

from __future__ import annotations

import signal
from collections.abc import Callable

from sharedstate.claims.orders import NAP_MS_MAX, Order, renewed
from sharedstate.claims.service import Claims
from sharedstate.tasks.outcomes import Claimed, Kept, Lost
from sharedstate_cli.running.program import Continued, Ended, Program, Stopped
from sharedstate_cli.running.signals import ENDING, FORWARDED, Signals, stop_own_job
from sharedstate_cli.running.terminal import Terminal

_ENDED_BY_KEYS = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
_INTERRUPTED_CODE = 128 + signal.SIGINT


class Supervision:
    """One program under one claim. `lost`: why the program was ended; `interrupted`: somebody asked us to end."""

    def __init__(
        self,
        claims: Claims,
        claimed: Claimed,
        *,
        program: Program,
        signals: Signals,
        terminal: Terminal | None,
        grace_ms: int,
        note: Callable[[str], None],
    ) -> None:
        self._claims = claims
        self._program = program
        self._signals = signals
        self._terminal = terminal
        self._grace_ms = grace_ms
        self._note = note
        interval_ms = max(1, min(claims.settings.heartbeat_interval_ms, claimed.ttl_ms // 3))
        self._order = Order(
            task=claimed.task,
            owner=claimed.owner,
            token=claimed.token,
            interval_ms=interval_ms,
            due_ms=self._now_ms() + interval_ms,
        )
        self._stopped = False
        self._doubt_told = False
        self._kill_ms: int | None = None
        self.lost: Lost | None = None
        self.interrupted = False

    def run(self) -> Ended:
        """Until the program has ended."""
        while True:
            for number in self._signals.wait(self._pause_ms()):
                self._take(number)
            while (change := self._program.change()) is not None:
                if isinstance(change, Ended):
                    return self._finish(change)
                self._follow(change)
            now_ms = self._now_ms()
            if self._kill_ms is not None and now_ms >= self._kill_ms:
                self._program.end(signal.SIGKILL)
                self._kill_ms = now_ms + NAP_MS_MAX
            if self.lost is None and not self._stopped and now_ms >= self._order.due_ms:
                self._renew()

    def _finish(self, ended: Ended) -> Ended:
        if self.lost is not None:
            self._program.end(signal.SIGKILL)  # what the program has left behind
        if self._terminal is not None and self._terminal.lent:
            # Ctrl-C went to the program alone; how it ended is all that tells of it.
            self.interrupted |= ended.signal in _ENDED_BY_KEYS or ended.code == _INTERRUPTED_CODE
            self._terminal.take_back()
        return ended

    def _take(self, number: int) -> None:
        if number in ENDING:
            self.interrupted = True
        if number in FORWARDED:
            self._program.send(number)
            if self._stopped and number in ENDING:
                self._go_on()  # a stopped program would not even hear it
        elif number == signal.SIGTSTP:
            self._program.send(number)
        elif number == signal.SIGCONT:
            self._go_on()

    def _follow(self, change: Stopped | Continued) -> None:
        if isinstance(change, Continued):
            self._stopped = False
            self._order = self._order.replace(due_ms=0)  # somebody else may have the task by now
            return
        terminal = self._terminal
        if terminal is None:
            self._stopped = True  # a stopped holder is not kept alive
            return
        if change.signal in (signal.SIGTTIN, signal.SIGTTOU) and terminal.is_ours():
            terminal.lend(self._program.pid)
            self._program.send(signal.SIGCONT)
            return
        terminal.take_back()
        stop_own_job()
        if terminal.is_ours():
            terminal.lend(self._program.pid)
        self._go_on()

    def _go_on(self) -> None:
        """Verify the claim before the program continues: while both stood still it was not renewed."""
        self._renew()
        self._program.send(signal.SIGCONT)

    def _renew(self) -> None:
        if self.lost is not None:
            return
        answer = renewed(self._claims, self._order)
        self._order = self._order.replace(due_ms=self._now_ms() + self._order.interval_ms)
        if isinstance(answer, Lost):
            self.lost = answer
            self._note(f"lost {answer.task}: {answer.reason}: {answer.detail}; ending the program")
            self._program.end(signal.SIGTERM)
            self._kill_ms = self._now_ms() + self._grace_ms
        elif isinstance(answer, Kept):
            self._doubt_told = False
        elif not self._doubt_told:
            self._note(f"{answer.task}: the claim cannot be verified, going on: {answer.detail}")
            self._doubt_told = True

    def _pause_ms(self) -> int:
        """`poll` sleeps by a clock that stops in suspend, so it never sleeps long."""
        due_ms = self._kill_ms if self._kill_ms is not None else self._order.due_ms
        if self.lost is None and self._stopped:
            return NAP_MS_MAX
        return min(NAP_MS_MAX, max(0, due_ms - self._now_ms()))

    def _now_ms(self) -> int:
        return self._claims.host.now().boot_ms
