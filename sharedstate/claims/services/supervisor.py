"""`python -m sharedstate.claims.services.supervisor`: the small process that runs one service and holds its claim.

It outlives whoever started it, renews the claim `service:<name>` in the owner's name as long as the program lives, and
ends with it. What it does is safe to be killed at any point: the claim is bound to it, so its death ends the claim at
once; the program begins only after its identity is written down; and a program that has lost its supervisor goes on,
known to everybody, until the next start gives it another one.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Final

from sharedstate import logs
from sharedstate.claims.masking import masked_command
from sharedstate.claims.service import Claims
from sharedstate.claims.services import model as m
from sharedstate.claims.services.book import Book, Command
from sharedstate.claims.services.changes import (
    Adopted,
    Begin,
    Begun,
    Hindered,
    decide_begin,
    decide_end,
    decide_prepared,
    decide_running,
)
from sharedstate.claims.services.log_file import log_path, open_log
from sharedstate.claims.services.model import ServiceRecord, task_of
from sharedstate.claims.services.program import Waiting, code_of_error
from sharedstate.claims.services.watch import Watch
from sharedstate.claims.services.wishes import LINE_BYTES_MAX, Wish, Word, wish_of, word_line
from sharedstate.errors import SharedStateError, StoreUnavailable
from sharedstate.ids import Process
from sharedstate.tasks.model import ABANDONED, FAILED
from sharedstate.tasks.outcomes import EXISTING_OWNER_ACTIVE, TASK_ALREADY_CLAIMED, Claimed, Refused

PATIENCE_S: Final = 5.0
PATIENCE_ON_THE_WAY_S: Final = 30.0  # while another supervisor starts or ends it; on a busy machine that takes a while
NAP_S: Final = 0.05
_SUBREAPER: Final = 36  # PR_SET_CHILD_SUBREAPER


class Supervisor:
    """One wish, from the claim to the end of the program."""

    def __init__(self, wish: Wish, *, claims: Claims, sink: int) -> None:
        own = claims.host.process(claims.host.pid())
        if own is None:
            raise StoreUnavailable("services need a platform that can tell processes apart (Linux)", hint="")
        self._wish = wish
        self._claims = claims
        self._host = claims.host
        self._own: Process = own
        self._sink = sink
        self._task = task_of(wish.name)
        self._book = Book(
            tasks=claims.tasks, local_store=claims.local_store, host=claims.host, host_name=claims.host_name
        )

    def run(self) -> None:
        """Claim, begin or adopt, watch. Says once what became of it."""
        answer = self._compete()
        if isinstance(answer, Word):
            self._say(answer)
            return
        try:
            watch = self._begin(answer)
        except BaseException as error:
            self._give_back(answer, status=ABANDONED, error=f"{type(error).__name__}: {error}")
            raise
        if isinstance(watch, Word):
            status = FAILED if watch.outcome == "not_started" else ABANDONED
            self._give_back(answer, status=status, error=watch.detail or watch.outcome)
            self._say(watch)
            return
        self._hush()
        watch.run()

    # The claim

    def _compete(self) -> Claimed | Word:
        """The claim, or why there is none. Whoever starts it at the same time is waited for, so as to tell its end."""
        began_s = self._host.monotonic_s()
        while True:
            answer = self._claims.claim(
                self._task, owner=self._wish.owner, bind=True, reopen=True, force_reason=self._wish.forced
            )
            if isinstance(answer, Claimed):
                if not answer.degraded:
                    return answer
                self._give_back(answer, status=ABANDONED, error="degraded")
                raise StoreUnavailable("the shared store is away: nobody could know of this service")
            if answer.reason not in (EXISTING_OWNER_ACTIVE, TASK_ALREADY_CLAIMED):
                return Word(outcome="denied", code=answer.reason, detail=answer.detail)
            view = self._book.view(self._wish.name)
            if view is not None and view.state == m.RUNNING and view.supervised:
                return Word(outcome="already_running")
            if view is not None and view.state == m.DEAD and self._bury(view.record, answer):
                continue
            on_the_way = view is not None and view.state in (m.STARTING, m.STOPPING)
            if self._host.monotonic_s() - began_s >= (PATIENCE_ON_THE_WAY_S if on_the_way else PATIENCE_S):
                return self._hindered(answer, view)
            self._host.sleep(NAP_S)

    def _hindered(self, answer: Refused, view: m.ServiceView | None) -> Word:
        if view is not None and view.state in (m.STARTING, m.STOPPING):
            code = m.BEING_STARTED if view.state == m.STARTING else m.BEING_STOPPED
            return Word(outcome="denied", code=code, detail=view.detail, retryable=True)
        return Word(outcome="denied", code=m.CLAIM_HELD, detail=f"{self._task}: {answer.detail}")

    def _bury(self, record: ServiceRecord, answer: Refused) -> bool:
        """End the claim of a run that died with the machine, by the token that this machine still has.

        Only that very claim: its fence is compared, and the token of another would not be accepted.
        """
        local = self._claims.local(self._task)
        if local is None or answer.holder is None or not local.fence == answer.holder.fence == record.fence:
            return False
        self._claims.release(self._task, status=ABANDONED, owner=local.owner, token=local.token)
        return True

    def _give_back(self, claimed: Claimed, *, status: str, error: str) -> None:
        try:
            self._claims.release(self._task, status=status, error=error, owner=claimed.owner, token=claimed.token)
        except SharedStateError as fault:
            logs.warn("claim of %r not given back, it ends with this process: %s", self._task, fault)

    # The program

    def _begin(self, claimed: Claimed) -> Watch | Word:
        wish = self._wish
        begin = Begin(
            name=wish.name,
            owner=wish.owner,
            by=wish.by,
            host=self._claims.host_name,
            fence=claimed.fence,
            command=masked_command(wish.command),
            folder=wish.folder,
            log=log_path(wish.root, wish.name),
            supervisor=self._own,
            forced=wish.forced,
        )
        log = open_log(wish.root, wish.name, host=self._host)
        os.dup2(log, 2)  # our own complaints go there, too
        answer = self._book.change(wish.name, lambda snapshot: decide_begin(snapshot, begin, lives=self._book.lives))
        if isinstance(answer, Hindered):
            known = answer.record
            if known is not None and known.owner != wish.owner and wish.forced is None:
                return Word(outcome="other_owner")
            return Word(outcome="denied", code=m.STILL_RUNNING, detail="it runs", retryable=True)
        if isinstance(answer, Adopted):
            assert answer.record.process is not None
            self._say(Word(outcome="adopted"))
            return self._watch(claimed, answer.record.process, record=answer.record, child=False)
        return self._launch(claimed, answer, log)

    def _launch(self, claimed: Claimed, begun: Begun, log: int) -> Watch | Word:
        wish = self._wish
        self._book.keep_command(wish.name, Command(words=wish.command, folder=wish.folder))
        environment = self._environment(claimed)
        waiting = Waiting(wish.command, environment=environment, folder=wish.folder, log=log)
        process = self._host.process(waiting.pid)
        known = process is not None and self._book.change(
            wish.name,
            lambda snapshot: decide_prepared(snapshot, name=wish.name, fence=claimed.fence, process=process),
        )
        if process is None or not known:
            waiting.give_up()
            os.waitpid(waiting.pid, 0)
            self._end(claimed, state=m.STOPPED, code=None, detail="stopped before it began")
            return Word(outcome="denied", code=m.BEING_STOPPED, detail="stopped before it began", retryable=True)
        number = waiting.go()
        os.close(log)
        if number:
            os.waitpid(waiting.pid, 0)
            code, text = code_of_error(number), f"{wish.command[0]}: {os.strerror(number)}"
            self._end(claimed, state=m.FAILED, code=code, detail=text)
            return Word(outcome="not_started", number=code, detail=text)
        self._book.change(wish.name, lambda snapshot: decide_running(snapshot, name=wish.name, fence=claimed.fence))
        self._say(Word(outcome="started"))
        return self._watch(claimed, process, record=begun.record, child=True)

    def _watch(self, claimed: Claimed, process: Process, *, record: ServiceRecord, child: bool) -> Watch:
        return Watch(self._claims, self._book, claimed=claimed, record=record, process=process, child=child)

    def _end(self, claimed: Claimed, *, state: str, code: int | None, detail: str) -> None:
        name = self._wish.name
        self._book.change(
            name,
            lambda snapshot: decide_end(
                snapshot, name=name, fence=claimed.fence, state=state, code=code, detail=detail
            ),
        )

    def _environment(self, claimed: Claimed) -> dict[str, str]:
        """The environment of whoever starts it, with the owner's identity. Not the token: it would be inherited."""
        kept = dict(os.environ)
        if self._wish.by != self._wish.owner:
            kept.pop("SHARED_STATE_LANE", None)  # that of a helping hand
        own = {
            "SHARED_STATE_TASK": self._task,
            "SHARED_STATE_FENCE": str(claimed.fence),
            "SHARED_STATE_OWNER": claimed.owner,
            "SHARED_STATE_DIR": self._wish.root,
        }
        return {**kept, **own}

    # To the starter

    def _say(self, word: Word) -> None:
        if self._sink < 0:
            return
        try:
            os.write(self._sink, word_line(word))
        except OSError:
            pass  # the starter is gone; what was begun goes on, and is known
        os.close(self._sink)
        self._sink = -1

    def _hush(self) -> None:
        """Hold nobody's streams open: their readers wait for the end."""
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.close(null)


def main() -> int:
    """Read the wish, leave the starter, run the service."""
    raw = b""
    while not raw.endswith(b"\n") and len(raw) <= LINE_BYTES_MAX:
        more = os.read(0, 1 << 16)
        if not more:
            return 1  # the starter died before it had said what it wants
        raw += more
    wish = wish_of(raw)
    if os.fork():
        os._exit(0)  # the starter reaps this one at once; the other is nobody's child
    sink = os.dup(1)
    os.chdir("/")
    Watch.listen()  # a signal from now on is not lost
    _inherit_orphans()
    try:
        module, _, name = wish.opener.partition(":")
        claims: Claims = getattr(import_module(module), name)(**wish.arguments)
        Supervisor(wish, claims=claims, sink=sink).run()
    except SharedStateError as error:
        _confess(sink, Word(outcome="fault", code=error.code, detail=str(error), retryable=error.retryable))
    except Exception as error:  # noqa: BLE001 - the starter must hear of it, whatever it is
        _confess(sink, Word(outcome="fault", code="unexpected", detail=f"{type(error).__name__}: {error}"))
    return 0


def _confess(sink: int, word: Word) -> None:
    try:
        os.write(sink, word_line(word))
    except OSError:
        logs.warn("service ended: %s: %s", word.code, word.detail)


def _inherit_orphans() -> None:
    """Become the parent of whatever the program leaves behind, daemons included, so as to find and end it."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    except (ImportError, OSError, AttributeError, TypeError):
        pass  # another platform: what leaves the program's session is out of reach


if __name__ == "__main__":
    sys.exit(main())
