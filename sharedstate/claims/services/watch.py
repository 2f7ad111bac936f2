"""From the start of a service to its end: renew its claim, heed those who stop it, reap, write the end down."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType
from typing import Final

from sharedstate import logs
from sharedstate.claims.orders import NAP_MS_MAX, Order, renewed
from sharedstate.claims.service import Claims
from sharedstate.claims.services import model as m
from sharedstate.claims.services.book import Book
from sharedstate.claims.services.changes import decide_end, decide_fence
from sharedstate.claims.services.ending import NAP_S, Ending
from sharedstate.claims.services.model import ServiceRecord, StopAsk, task_of
from sharedstate.claims.services.program import code_of_status
from sharedstate.errors import SharedStateError, StoreError
from sharedstate.ids import Process
from sharedstate.tasks.model import COMPLETE, FAILED
from sharedstate.tasks.outcomes import Claimed, Lost

_END_TRIES_MAX: Final = 60
_IGNORED: Final = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGTTOU)


class Watch:
    """One program under one claim. `child`: it is ours, not adopted, so that we see how it ends."""

    _source = -1

    def __init__(
        self,
        claims: Claims,
        book: Book,
        *,
        claimed: Claimed,
        record: ServiceRecord,
        process: Process,
        child: bool,
    ) -> None:
        self._claims = claims
        self._host = claims.host
        self._book = book
        self._name = record.name
        self._grouped = record.grouped
        self._process = process
        self._child = child
        self._fence = claimed.fence
        self._order = self._order_of(claimed)
        self._ending: Ending | None = None
        self._asked = ""  # why we end it; empty: it has ended by itself
        self._ours = True
        self._descriptor = -1
        self._poller = select.poll()
        self._poller.register(Watch._source, select.POLLIN)

    @classmethod
    def listen(cls) -> None:
        """Have signals wait in a pipe from now on. Once per process."""
        cls._source, sink = os.pipe()
        for fd in (cls._source, sink):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(sink, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, _note)
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)

    def run(self) -> None:
        """Until the program and all that it has left behind have ended, or another supervisor has it."""
        self._follow()
        while self._ours:
            self._heed(self._wait())
            if self._has_ended() and self._ending is None:
                self._begin_end(asked="")
            if self._ending is not None and self._ending.tick():
                self._finish()
                return
            if self._now_ms() >= self._order.due_ms:
                self._renew()

    # Waiting

    def _follow(self) -> None:
        """Be woken by the end of a program that is not our child; without descriptors of processes, by the clock."""
        if not self._child and hasattr(os, "pidfd_open"):
            try:
                self._descriptor = os.pidfd_open(self._process.pid)
                self._poller.register(self._descriptor, select.POLLIN)
            except OSError:
                pass  # gone: the first round sees it

    def _wait(self) -> list[int]:
        pause_ms = min(NAP_MS_MAX, max(0, self._order.due_ms - self._now_ms()))
        if self._ending is not None:
            pause_ms = int(NAP_S * 1000)
        self._poller.poll(pause_ms)
        try:
            return list(os.read(Watch._source, 4096))
        except BlockingIOError:
            return []

    def _heed(self, numbers: list[int]) -> None:
        if signal.SIGTERM in numbers:
            ask = self._ask()
            self._begin_end(asked="SIGTERM to its supervisor" if ask is None else f"asked by {ask.by}", ask=ask)

    def _look_for_stop(self) -> None:
        """A stop that was written down by somebody who died before sending the signal."""
        ask = self._ask()
        if ask is not None:
            self._begin_end(asked=f"asked by {ask.by}", ask=ask)

    def _ask(self) -> StopAsk | None:
        try:
            record = self._book.record(self._name)
        except SharedStateError:
            return None  # the next look is soon
        return None if record is None or record.fence != self._fence else record.stop

    def _begin_end(self, *, asked: str, ask: StopAsk | None = None) -> None:
        self._asked = self._asked or asked
        if self._ending is not None:
            return
        if self._descriptor >= 0:
            self._poller.unregister(self._descriptor)  # it would wake us for ever
        self._ending = Ending(
            self._process,
            host=self._host,
            grace_ms=m.GRACE_MS if ask is None else ask.grace_ms,
            grouped=self._grouped,
            parent=self._host.pid() if self._child else None,
        )

    def _has_ended(self) -> bool:
        """Whether the program has. Our own is not reaped yet: it keeps the number of its session from being reused."""
        if not self._child:
            return self._host.is_dead(self._process)
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return True
            if found is None:
                return False
            if found.si_pid == self._process.pid:
                return True
            os.waitpid(found.si_pid, 0)  # an orphan that we have inherited

    # The claim

    def _renew(self) -> None:
        answer = renewed(self._claims, self._order)
        if isinstance(answer, Lost):
            self._regain()
        else:
            self._look_for_stop()
        self._order = self._order.replace(due_ms=self._now_ms() + self._order.interval_ms)

    def _regain(self) -> None:
        """The claim is not ours any more. Unless somebody else has the service now, take it again and go on.

        Whoever has adopted the program keeps it; whoever runs another one in its place ends ours.
        """
        try:
            record = self._book.record(self._name)
            if record is None or record.process != self._process:
                self._begin_end(asked="another run has taken its place")
                return
            if record.fence > self._fence:
                self._ours = False
                return
            answer = self._claims.claim(task_of(self._name), owner=record.owner, bind=True, reopen=True)
            if isinstance(answer, Claimed) and self._book.change(
                self._name,
                lambda snapshot: decide_fence(snapshot, name=self._name, process=self._process, fence=answer.fence),
            ):
                self._fence, self._order = answer.fence, self._order_of(answer)
        except SharedStateError as error:
            logs.warn("service %r goes on without its claim: %s", self._name, error)

    def _order_of(self, claimed: Claimed) -> Order:
        interval_ms = max(1, min(self._claims.settings.heartbeat_interval_ms, claimed.ttl_ms // 3))
        return Order(
            task=claimed.task,
            owner=claimed.owner,
            token=claimed.token,
            interval_ms=interval_ms,
            due_ms=self._now_ms() + interval_ms,
        )

    # The end

    def _finish(self) -> None:
        code = self._reap()
        state = m.STOPPED if self._asked else m.ENDED
        detail = self._asked or ("nobody saw how" if code is None else f"exit {code}")
        for tries in range(_END_TRIES_MAX):
            try:
                self._write_end(state, code, detail)
                break
            except StoreError as error:
                logs.warn("the end of service %r is not written down yet: %s", self._name, error)
                self._host.sleep(min(5.0, 0.1 * 2**tries))
        self._release(code, detail)

    def _write_end(self, state: str, code: int | None, detail: str) -> None:
        self._book.change(
            self._name,
            lambda snapshot: decide_end(
                snapshot, name=self._name, fence=self._fence, state=state, code=code, detail=detail
            ),
        )

    def _release(self, code: int | None, detail: str) -> None:
        fine = bool(self._asked) or code == 0
        try:
            self._claims.release(
                self._order.task,
                status=COMPLETE if fine else FAILED,
                error=None if fine else detail,
                owner=self._order.owner,
                token=self._order.token,
            )
        except SharedStateError as error:
            logs.warn("claim of service %r not released, it ends with this process: %s", self._name, error)

    def _reap(self) -> int | None:
        """Collect everybody; the exit code of the program, None when it was adopted."""
        code = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return code
            if pid == 0:
                return code
            if pid == self._process.pid and self._child:
                code = code_of_status(status)

    def _now_ms(self) -> int:
        return self._host.now().boot_ms


def _note(number: int, frame: FrameType | None) -> None:
    """The number is in the pipe already."""
