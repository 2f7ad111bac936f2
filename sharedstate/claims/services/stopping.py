"""Carrying out a stop that is allowed and written down: by the supervisor, or from here where there is none."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

from sharedstate.claims.services import model as m
from sharedstate.claims.services.book import Book
from sharedstate.claims.services.changes import decide_end
from sharedstate.claims.services.ending import NAP_S, Ending, end
from sharedstate.claims.services.model import Denied, ServiceRecord, StopAsk, Stopped, load_service, task_of
from sharedstate.store import Decision, Snapshot

if TYPE_CHECKING:
    from sharedstate.claims.service import Claims

_MARGIN_MS: Final = 5_000
_KILLED: Final = 128 + signal.SIGKILL


class Stopping:
    """Ends what runs as a service, and sees that it has ended."""

    def __init__(self, claims: Claims, book: Book) -> None:
        self._claims = claims
        self._host = claims.host
        self._book = book

    def carry_out(self, record: ServiceRecord, ask: StopAsk, *, action: str) -> Stopped | Denied:
        """End the program and all that belongs to it; returns when nobody is left, or denies that it could be done.

        The supervisor does it: as the parent it can end what has left the session, too, and no number is reused
        before it has reaped. One that does not answer within the grace and five seconds is done without.
        """
        deadline_ms = self._host.now().boot_ms + ask.grace_ms
        self._ask_supervisor(record, deadline_ms=deadline_ms + _MARGIN_MS)
        killed = False
        current = self._book.record(record.name) or record
        process = current.process
        if process is not None and current.fence == record.fence and self._book.lives(process):
            left_ms = max(0, deadline_ms - self._host.now().boot_ms)
            ending = Ending(process, host=self._host, grace_ms=left_ms, grouped=record.grouped)
            if not end(ending, host=self._host, time_max_ms=left_ms + _MARGIN_MS):
                return Denied(
                    name=record.name,
                    action=action,
                    by=ask.by,
                    code=m.STILL_RUNNING,
                    detail="a process of it does not end, not even by SIGKILL",
                    owner=record.owner,
                )
            killed = ending.killed
        self.bury(record)
        view = self._book.view(record.name)
        assert view is not None
        return Stopped(view=view, outcome="stopped", killed=killed or view.record.code == _KILLED, forced=ask.forced)

    def bury(self, record: ServiceRecord) -> None:
        """Write down the end of a run whose process is gone, and end its claim, if its supervisor did not do it."""

        def decide(snapshot: Snapshot) -> Decision[ServiceRecord | None]:
            known = None if snapshot.value is None else load_service(record.name, snapshot.value)
            state = m.ENDED if known is None or known.stop is None else m.STOPPED
            return decide_end(
                snapshot, name=record.name, fence=record.fence, state=state, code=None, detail="nobody saw how"
            )

        if record.state in m.ACTIVE:
            self._book.change(record.name, decide)
        self._claims.tasks.sweep(task_of(record.name))

    def _ask_supervisor(self, record: ServiceRecord, *, deadline_ms: int) -> None:
        supervisor = record.supervisor
        if supervisor is None or not self._host.send_signal(supervisor, signal.SIGTERM):
            return
        while not self._host.is_dead(supervisor) and self._host.now().boot_ms < deadline_ms:
            if self._host.is_stopped(supervisor):
                return  # it would not hear us
            self._host.sleep(NAP_S)
