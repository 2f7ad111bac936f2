"""`claims log`: the history of one task."""

from __future__ import annotations

from typing import Any

from sharedstate.tasks.model import HISTORY_ENTRIES_MAX
from sharedstate_cli.answers import not_found_report
from sharedstate_cli.hot import Usage
from sharedstate_cli.human import moment_of_iso, span
from sharedstate_cli.report import Grid, Report
from sharedstate_cli.session import Session

_COLUMNS = ("WHEN", "EVENT", "FENCE", "STATUS", "OWNER", "DETAIL")
_TONES = {"taken_over": "warn", "swept": "warn", "conflict": "warn", "ignored": "warn"}
_SHOWN = frozenset(("at", "event", "fence", "status", "owner"))


def log(session: Session, *, task: str, limit: int | None) -> Report:
    """The latest 100 transitions, oldest first; the journal has all of them."""
    if limit is not None and limit < 1:
        raise Usage("--limit: at least 1")
    view = session.state.tasks.get(task)
    if view is None:
        return not_found_report(task)
    entries = view.state.history[-(limit or HISTORY_ENTRIES_MAX) :]
    grid = Grid(
        columns=_COLUMNS,
        rows=tuple(_row(entry) for entry in entries),
        tones=tuple(_tone(entry) for entry in entries),
        empty="no history",
    )
    return Report(document={"ok": True, "task": view.state.task, "history": list(entries)}, grid=grid)


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    detail = ", ".join(_fact(name, value) for name, value in entry.items() if name not in _SHOWN)
    return (
        moment_of_iso(entry.get("at", "")),
        str(entry.get("event", "")),
        str(entry.get("fence", "")),
        str(entry.get("status", "")),
        str(entry.get("owner", "")),
        detail,
    )


def _fact(name: str, value: object) -> str:
    """One fact for people: a `ttl_ms` of 300000 is `ttl 5 m`."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0 and name.endswith("_ms"):
        return f"{name[:-3]} {span(value)}"
    return f"{name}={' '.join(map(str, value))}" if isinstance(value, list) else f"{name}={value}"


def _tone(entry: dict[str, Any]) -> str:
    return "bad" if entry.get("status") == "failed" else _TONES.get(str(entry.get("event")), "")
