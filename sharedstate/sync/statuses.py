"""Words for where a card stands. Six are ours; aliases map to them; unknown text is kept as it is."""

from __future__ import annotations

from typing import Final

from sharedstate.tasks.model import ABANDONED, CLAIMED, COMPLETE, FAILED, NEW

TO_DO: Final = "todo"
IN_PROGRESS: Final = "inprogress"
IN_REVIEW: Final = "inreview"
BLOCKED: Final = "blocked"
DONE: Final = "done"
CANCELLED: Final = "cancelled"
STATUSES: Final = (TO_DO, IN_PROGRESS, IN_REVIEW, BLOCKED, DONE, CANCELLED)

_ALIASES: Final = {
    TO_DO: ("to do", "open", "new", "backlog", "ready", "queued", "pending", "reopened", "not started", "triage"),
    IN_PROGRESS: ("in progress", "doing", "started", "working", "wip", "active", "claimed", "running", "assigned"),
    IN_REVIEW: ("in review", "review", "reviewing", "pr", "pull request", "needs review", "under review"),
    BLOCKED: ("on hold", "waiting", "stuck", "paused", "impeded"),
    DONE: ("closed", "complete", "completed", "finished", "merged", "resolved", "fixed", "shipped", "released"),
    CANCELLED: ("canceled", "wontfix", "won't fix", "not planned", "dropped", "rejected", "duplicate", "invalid"),
}


def folded(text: str) -> str:
    """The text without case, spaces, `_`, `-` and apostrophes: how statuses are compared."""
    return "".join(c for c in text.casefold() if c not in " \t_-'’")


_BY_TEXT: Final = {
    **{folded(alias): status for status, aliases in _ALIASES.items() for alias in aliases},
    **{status: status for status in STATUSES},
}


def known(text: str) -> str | None:
    """Our word for a status text, or None when it means none of them."""
    return _BY_TEXT.get(folded(text))


def normal(text: str) -> str:
    """Our word for a status text; unknown text is kept as it is."""
    return known(text) or text


def same(one: str | None, other: str | None) -> bool:
    """Whether two statuses mean the same, unknown ones compared without case, spaces, `_` and `-`."""
    if one is None or other is None:
        return one is other
    return folded(normal(one)) == folded(normal(other))


_OF_TASK: Final = {NEW: TO_DO, CLAIMED: IN_PROGRESS, COMPLETE: DONE, FAILED: TO_DO, ABANDONED: TO_DO}


def status_of_task(status: str, *, exhausted: bool = False) -> str:
    """Where the card of a task with this status belongs; a failed task without retries left is blocked."""
    return BLOCKED if exhausted and status in (FAILED, ABANDONED) else _OF_TASK[status]
