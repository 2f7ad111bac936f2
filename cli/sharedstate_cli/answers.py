"""Results of the library as reports: JSON shapes and exit codes, each in one place (`docs/cli.md`)."""

from __future__ import annotations

from sharedstate.claims.documents import (
    claimed_document,
    lost_document,
    refused_document,
    released_document,
    renewed_document,
)
from sharedstate.claims.requests import exit_code_of
from sharedstate.errors import (
    EXIT_CORRUPT,
    EXIT_EXHAUSTED,
    EXIT_LOST,
    EXIT_NOT_FOUND,
    EXIT_REFUSED,
    EXIT_RETRY,
    SharedStateError,
)
from sharedstate.tasks import outcomes as why
from sharedstate.tasks.outcomes import Changed, Claimed, Holder, Kept, Lost, Refused, Released, Unverifiable
from sharedstate_cli.human import ago, moment, span
from sharedstate_cli.report import Report, compact, complaint, error_document

# From harmless to grave: what several ids in one call end with.
_GRAVITY = (0, EXIT_REFUSED, EXIT_EXHAUSTED, EXIT_NOT_FOUND, EXIT_LOST, 2, EXIT_CORRUPT, EXIT_RETRY, 78, 1)


def worse(one: int, other: int) -> int:
    """The graver of two exit codes; one that is unknown is the gravest."""
    ranks = [_GRAVITY.index(code) if code in _GRAVITY else len(_GRAVITY) for code in (one, other)]
    return one if ranks[0] >= ranks[1] else other


def claimed_report(answer: Claimed) -> Report:
    """The claim is yours; the only answer that holds the token."""
    origin = f" from {answer.previous_owner} ({answer.reason})" if answer.previous_owner else ""
    local = ", by the local ledger alone" if answer.degraded else ""
    line = (
        f"{answer.outcome} {answer.task}{origin} for {answer.owner}, fence {answer.fence}, "
        f"until {moment(answer.expires_ms)} unless renewed{local}"
    )
    return Report(document=claimed_document(answer), lines=(line,))


def refused_report(answer: Refused) -> Report:
    """The claim is not yours, and why."""
    text = f"refused {answer.task}: {answer.reason}: {answer.detail}{_holder_text(answer.holder)}"
    return Report(code=exit_code_of(answer.reason), document=refused_document(answer), problems=(text,))


def renewed_report(answer: Kept | Lost | Unverifiable) -> Report:
    """Whether the claim is still yours."""
    if isinstance(answer, Lost):
        return lost_report(answer)
    if isinstance(answer, Unverifiable):
        text = f"{answer.task}: could not be verified; go on, but not beyond the ttl: {answer.detail}"
        return Report(code=EXIT_RETRY, document=renewed_document(answer), problems=(text,))
    line = f"kept {answer.task}, fence {answer.fence}, until {moment(answer.expires_ms)} unless renewed"
    return Report(document=renewed_document(answer), lines=(line,))


def lost_report(answer: Lost) -> Report:
    """The claim is not yours any more, or never was."""
    code = EXIT_NOT_FOUND if answer.reason == why.TASK_NOT_FOUND else EXIT_LOST
    text = f"lost {answer.task}: {answer.reason}: {answer.detail}{_holder_text(answer.holder)}"
    return Report(code=code, document=lost_document(answer), problems=(text,))


def released_report(answer: Released) -> Report:
    """The attempt has ended."""
    again = " (it was already)" if answer.repeated else ""
    line = f"released {answer.task} as {answer.status}, fence {answer.fence}{again}"
    return Report(document=released_document(answer), lines=(line,))


def changed_report(answer: Changed, *, done: str) -> Report:
    """An administrative change, or that nothing had to change."""
    document = {
        "ok": True,
        "task": answer.task,
        "changed": answer.changed,
        "status": answer.status,
        **compact(detail=answer.detail or None),
    }
    line = f"{done} {answer.task}" if answer.changed else f"{answer.task}: nothing changed, {answer.detail}"
    return Report(document=document, lines=(line,))


def not_found_report(task: str) -> Report:
    """Nobody has ever heard of this task."""
    document = {"ok": False, "reason": why.TASK_NOT_FOUND, "task": task, "detail": "no such task"}
    return Report(code=EXIT_NOT_FOUND, document=document, problems=(f"{task}: no such task",))


def error_report(error: SharedStateError, *, task: str) -> Report:
    """A fault about one of several tasks."""
    document = error_document(code=error.code, message=str(error), hint=error.hint, retryable=error.retryable)
    return Report(code=error.exit_code, document={**document, "task": task}, problems=complaint(error))


def _holder_text(holder: Holder | None) -> str:
    if holder is None:
        return ""
    return f" (fence {holder.fence}, last seen {ago(holder.age_ms)}, ttl {span(holder.ttl_ms)})"
