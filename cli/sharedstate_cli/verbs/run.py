"""`claims run`: a program under a claim, which begins, lives and ends with it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from sharedstate.claims.service import Claims
from sharedstate.errors import EXIT_LOST, SharedStateError
from sharedstate.tasks.model import ABANDONED, COMPLETE, FAILED
from sharedstate.tasks.outcomes import Claimed, Lost, Refused
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
            return _released(claims, answer, status=ABANDONED, error=text, code=128 + asked_to_end[0])
        grace_ms = GRACE_MS if grace is None else grace
        return _run_claimed(session, answer, command=command, signals=signals, grace_ms=grace_ms)


def _run_claimed(
    session: Session, claimed: Claimed, *, command: tuple[str, ...], signals: Signals, grace_ms: int
) -> Report:
    claims = session.state.claims
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
        return _released(claims, claimed, status=ABANDONED, error=str(error), code=error.code)
    guard.dismiss()  # not after anything unexpected: then it ends the program as soon as we are gone
    if supervision.lost is not None:
        return _lost(supervision.lost, ended)
    return _report_end(claims, claimed, ended, interrupted=supervision.interrupted)


def _report_end(claims: Claims, claimed: Claimed, ended: Ended, *, interrupted: bool) -> Report:
    code = ended.exit_code
    if interrupted:
        return _released(
            claims, claimed, status=ABANDONED, error=f"interrupted, {ended.text()}", code=code, ended=ended
        )
    if code == 0:
        return _released(claims, claimed, status=COMPLETE, error=None, code=0, ended=ended)
    return _released(claims, claimed, status=FAILED, error=ended.text(), code=code, ended=ended)


def _released(
    claims: Claims, claimed: Claimed, *, status: str, error: str | None, code: int, ended: Ended | None = None
) -> Report:
    try:
        answer = claims.release(claimed.task, status=status, error=error, owner=claimed.owner, token=claimed.token)
    except SharedStateError as fault:
        if code == 0:
            raise  # done, but nobody knows: that is no success
        return Report(code=code, document=_document(claimed, ended, status="claimed"), problems=complaint(fault))
    if isinstance(answer, Lost):
        return _lost(answer, ended)
    problems = () if error is None else (f"{claimed.task} {status}: {error}",)
    return Report(code=code, document=_document(claimed, ended, status=status, error=error), problems=problems)


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
