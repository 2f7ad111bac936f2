"""What an inspection says, as values: how bad, what, where, and the safe next step."""

from __future__ import annotations

from typing import Final, Literal

from sharedstate.values import Value

Severity = Literal["ok", "warn", "error"]
OK: Final = "ok"
WARN: Final = "warn"
ERROR: Final = "error"


class Finding(Value):
    """One thing that was looked at.

    `code` is stable API (`record_unreadable`); `where` names a path, task or setting; `what` is a sentence for
    people; `next_step` is the safe thing to do, never a destructive command, empty when nothing needs doing.
    `corrupt`: bytes that should be a record or a journal line cannot be read as one.
    """

    severity: Severity
    code: str
    where: str
    what: str
    next_step: str = ""
    corrupt: bool = False


def fine(code: str, where: str, what: str) -> Finding:
    """A finding that needs nothing."""
    return Finding(severity=OK, code=code, where=where, what=what)


def warning(code: str, where: str, what: str, next_step: str) -> Finding:
    """A finding that somebody should look at; everything still works."""
    return Finding(severity=WARN, code=code, where=where, what=what, next_step=next_step)


def trouble(code: str, where: str, what: str, next_step: str, *, corrupt: bool = False) -> Finding:
    """A finding that stops something from working."""
    return Finding(severity=ERROR, code=code, where=where, what=what, next_step=next_step, corrupt=corrupt)
