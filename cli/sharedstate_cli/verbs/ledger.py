"""`claims hub lessons`, `claims hub usage`: what was recorded and is no part of a context."""

from __future__ import annotations

from collections.abc import Mapping

from sharedstate import jsonio
from sharedstate.clock import iso_of_ms
from sharedstate.hub.recording import LESSONS_MAX
from sharedstate_cli.hot import Usage
from sharedstate_cli.human import moment
from sharedstate_cli.report import Grid, Report
from sharedstate_cli.session import Session

LAST = 20


def lessons(session: Session, *, last: int | None) -> Report:
    """The last entries of the learning ledger."""
    count = LAST if last is None else last
    if not 1 <= count <= LESSONS_MAX:
        raise Usage(f"--last: 1 to {LESSONS_MAX}")
    found = session.state.record.lessons(count)
    told = [
        {
            "sequence": one.sequence,
            "at": iso_of_ms(one.at_ms),
            "agent": str(one.body.get("agent")),
            "lesson": one.body.get("lesson"),
        }
        for one in found
    ]
    lines = tuple(f"{moment(one.at_ms)}  {one.body.get('agent')}  {_shown(one.body.get('lesson'))}" for one in found)
    return Report(document={"ok": True, "lessons": told}, lines=lines or ("nothing was learned yet",))


def usage(session: Session) -> Report:
    """What every agent has used."""
    found = session.state.record.usage()
    told = [{"agent": one.agent, "count": one.count, "amounts": dict(one.amounts)} for one in found]
    rows = tuple((one.agent, str(one.count), _amounts(one.amounts)) for one in found)
    grid = Grid(columns=("AGENT", "TIMES", "USED"), rows=rows, empty="no usage was recorded yet")
    return Report(document={"ok": True, "usage": told}, grid=grid)


def _amounts(amounts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {amounts[name]:,}" for name in sorted(amounts))


def _shown(lesson: object) -> str:
    return jsonio.encode_line({"": lesson}).decode().strip()[4:-1]
