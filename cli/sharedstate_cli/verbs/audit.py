"""`claims audit`: what was denied, overridden and forced, and the life of shared services."""

from __future__ import annotations

from typing import Any

from sharedstate.claims.audit import LIMIT_MAX, AuditEntry
from sharedstate.clock import iso_of_ms
from sharedstate.ids import check_id
from sharedstate_cli.hot import Usage
from sharedstate_cli.human import moment
from sharedstate_cli.report import Grid, Report
from sharedstate_cli.session import Session

LIMIT = 100
_COLUMNS = ("WHEN", "WHAT", "ABOUT", "BY", "DETAIL")
_TONES = {"service_denied": "bad", "service_forced": "warn", "taken_over": "warn", "overridden": "warn"}
_SHOWN = frozenset(("type", "task", "by", "owner", "process"))


def audit(session: Session, *, limit: int | None, service: str | None) -> Report:
    """The latest entries of the one trail, oldest first."""
    if limit is not None and not 1 <= limit <= LIMIT_MAX:
        raise Usage(f"--limit: from 1 to {LIMIT_MAX}")
    about = None if service is None else f"service:{check_id(service, what='service')}"
    trail = session.state.audit
    found = session.busy(lambda: trail.entries(limit=limit or LIMIT, about=about), label="reading the trail")
    grid = Grid(
        columns=_COLUMNS,
        rows=tuple(_row(entry) for entry in found),
        tones=tuple(_TONES.get(entry.kind, "") for entry in found),
        empty="nothing was denied or overridden",
    )
    return Report(document={"ok": True, "entries": [_document(entry) for entry in found]}, grid=grid)


def _document(entry: AuditEntry) -> dict[str, Any]:
    return {
        "journal": entry.journal,
        "sequence": entry.sequence,
        "at": iso_of_ms(entry.at_ms),
        "kind": entry.kind,
        "about": entry.about,
        "by": entry.by,
        "reason": entry.reason,
        "facts": entry.facts,
    }


def _row(entry: AuditEntry) -> tuple[str, ...]:
    told = ", ".join(f"{name}={value}" for name, value in entry.facts.items() if name not in _SHOWN)
    return moment(entry.at_ms), entry.kind, entry.about, entry.by, told
