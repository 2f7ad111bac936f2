"""`claims run`: a program under a claim, which begins, lives and ends with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from sharedstate.claims.service import Claims
from sharedstate.errors import EXIT_LOST, SharedStateError, StoreUnavailable
from sharedstate.files.store import FileStore
from sharedstate.tasks.model import ABANDONED, COMPLETE, FAILED
from sharedstate.tasks.outcomes import Claimed, Lost, Refused, Released
from sharedstate_cli.answers import lost_report, refused_report
from sharedstate_cli.report import Report, complaint
from sharedstate_cli.running.guard import Guard
from sharedstate_cli.running.program import Ended, NotStarted, start
from sharedstate_cli.running.signals import ENDING, Signals, name_of
from sharedstate_cli.running.supervision import Supervision
from sharedstate_cli.running.terminal import Terminal
from sharedstate_cli.session import Session
from sharedstate_cli.verbs.claim import claim_options

GRACE_MS = 10_000
RELEASE_S_MAX = 60.0
_PAUSE_MS = 500


def run(session: Session, *, task: str, command: tuple[str, ...], grace: int | None, **options: Any) -> Report:
    """Claim, run, renew, release by the result; the exit code is the program's own, or that of the refusal or loss.

    With `--json` the program's stdout goes to stderr: stdout holds one object.
    """
    given = claim_options(**options)
    claims = session.state.claims
    with Signals() as signals:
        answer = claims.claim(task, bind=True, **given)
        if isinstance(answer, Refused):
            return refused_report(answer)
        asked_to_end = [number for number in signals.wait(0) if number in ENDING]
        if asked_to_end:
            text = f"{name_of(asked_to_end[0])} before the program began"
            end = _End(session, claims, answer, signals)
            return end.released(status=ABANDONED, error=text, code=128 + asked_to_end[0])
        grace_ms = GRACE_MS if grace is None else grace
        return _run_claimed(session, answer, command=command, signals=signals, grace_ms=grace_ms)


def _run_claimed(
    session: Session, claimed: Claimed, *, command: tuple[str, ...], signals: Signals, grace_ms: int
) -> Report:
    claims = session.state.claims
    end = _End(session, claims, claimed, signals)
    terminal = Terminal.of_stdin()
    # With stdout elsewhere (`claims run … | less`) our neighbours may need the terminal: the program gets it on demand.
    at_once = terminal is not None and os.isatty(1) and terminal.is_ours()
    guard = Guard(grace_ms=grace_ms, host=claims.host)
    try:
        program = start(
            command,
            environment=_environment(session, claimed),
            guard=guard,
            signals=signals,
            terminal=terminal if at_once else None,
            stdout_to_stderr=session.json,
        )
        supervision = Supervision(
            claims,
            claimed,
            program=program,
            signals=signals,
            terminal=terminal,
            grace_ms=grace_ms,
            note=session.note,
        )
        ended = supervision.run()
    except NotStarted as error:
        guard.dismiss()
        if terminal is not None:
            terminal.take_back()
        return end.released(status=ABANDONED, error=str(error), code=error.code)
    guard.dismiss()  # not after anything unexpected: then it ends the program as soon as we are gone
    if supervision.lost is not None:
        return _lost(supervision.lost, ended)
    return end.report(ended, interrupted=supervision.interrupted)


class _End:
    """How a run ends: its claim is released by the program's result, also when the store is away for a while."""

    def __init__(self, session: Session, claims: Claims, claimed: Claimed, signals: Signals) -> None:
        self._session = session
        self._claims = claims
        self._claimed = claimed
        self._signals = signals

    def report(self, ended: Ended, *, interrupted: bool) -> Report:
        """By what the program has done."""
        code = ended.exit_code
        if interrupted:
            return self.released(status=ABANDONED, error=f"interrupted, {ended.text()}", code=code, ended=ended)
        if code == 0:
            return self.released(status=COMPLETE, error=None, code=0, ended=ended)
        return self.released(status=FAILED, error=ended.text(), code=code, ended=ended)

    def released(self, *, status: str, error: str | None, code: int, ended: Ended | None = None) -> Report:
        """Release, and say how it went."""
        task = self._claimed.task
        try:
            answer = self._answer(status, error)
        except SharedStateError as fault:
            if code == 0:  # done, but nobody knows: that is no success
                raise type(fault)(
                    f"{task}: the program has ended well, but the claim could not be released as complete: {fault}",
                    hint=f"`claims release {task}` once the store answers again; after the ttl the task may be taken",
                ) from fault
            document = _document(self._claimed, ended, status="claimed")
            return Report(code=code, document=document, problems=complaint(fault))
        if isinstance(answer, Lost):
            return _lost(answer, ended)
        problems = () if error is None else (f"{task} {status}: {error}",)
        return Report(
            code=code, document=_document(self._claimed, ended, status=status, error=error), problems=problems
        )

    def _answer(self, status: str, error: str | None) -> Released | Lost:
        """What the store says; a server that is away is asked again until the claim's ttl, or a minute, is over."""
        claimed, host = self._claimed, self._claims.host
        until_s = host.monotonic_s() + min(claimed.ttl_ms / 1000, RELEASE_S_MAX)
        last = 0 if isinstance(self._session.state.store, FileStore) else int(RELEASE_S_MAX * 1000 / _PAUSE_MS)
        for number in range(last + 1):
            try:
                return self._claims.release(
                    claimed.task, status=status, error=error, owner=claimed.owner, token=claimed.token
                )
            except StoreUnavailable as away:
                if number == last or host.monotonic_s() >= until_s:
                    raise
                if number == 0:
                    self._session.note(f"{claimed.task}: cannot be released yet, trying again: {away}")
                if any(signal in ENDING for signal in self._signals.wait(_PAUSE_MS)):
                    raise
        raise AssertionError("the last try returns or raises")


def _lost(lost: Lost, ended: Ended | None) -> Report:
    """What the program did must not be taken as done, whatever its exit code."""
    report = lost_report(lost)
    document = {**(report.document or {}), "exit_code": None if ended is None else ended.exit_code}
    return report.replace(code=EXIT_LOST, document=document)


def _document(claimed: Claimed, ended: Ended | None, *, status: str, error: str | None = None) -> Mapping[str, Any]:
    return {
        "ok": status == COMPLETE,
        "task": claimed.task,
        "owner": claimed.owner,
        "fence": claimed.fence,
        "status": status,
        "error": error,
        "exit_code": None if ended is None else ended.exit_code,
    }


def _environment(session: Session, claimed: Claimed) -> dict[str, str]:
    """What the program may know: task, fence, owner, and where the state is, if that was said with `--dir`.

    Not the token: an environment is handed on to everything the program starts, stands readable in `/proc`, and ends
    up in logs and crash reports. The program needs none: we renew and release, and `claims renew` in a shell below
    finds it in this machine's owner-only ledger.
    """
    own = {
        "SHARED_STATE_TASK": claimed.task,
        "SHARED_STATE_FENCE": str(claimed.fence),
        "SHARED_STATE_OWNER": claimed.owner,
    }
    if session.root is not None:
        own["SHARED_STATE_DIR"] = session.state.root
    return {**os.environ, **own}
