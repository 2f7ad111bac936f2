"""`claims timeline`: who held what when, as a chart in the terminal or as a picture."""

from __future__ import annotations

import os
import shutil

from sharedstate.errors import EXIT_OK, EXIT_UNEXPECTED, InvalidInput
from sharedstate.files.journal import parsed
from sharedstate.overview.chart import chart_lines
from sharedstate.overview.picture import picture_of
from sharedstate.overview.timeline import Bar, Timeline, document_of, timeline_of
from sharedstate.store import Entry
from sharedstate_cli.report import Report
from sharedstate_cli.session import Session

_STDOUT = "-"
_WIDTH = 100


def timeline(session: Session, *, svg: str | None, journal: str | None) -> Report:
    """Draw the journal. Exit code 1 when it shows two owners of one task at once: a broken promise."""
    if svg == _STDOUT and session.json:
        raise InvalidInput("--svg - and --json both want stdout; give the picture a file")
    found = timeline_of(session.state.events() if journal is None else _entries(journal))
    problems = tuple(
        f"two owners at once: {one.task} held by {_named(one)} and {_named(other)}" for one, other in found.double
    )
    code = EXIT_UNEXPECTED if problems else EXIT_OK
    if svg == _STDOUT:
        session.write(picture_of(found).rstrip("\n"))
        return Report(code=code, problems=problems)
    document = {"ok": not problems, **document_of(found)}
    if svg is None:
        return Report(code=code, document=document, lines=_chart(session, found), problems=problems)
    _save(svg, picture_of(found))
    return Report(code=code, document={**document, "svg": os.path.abspath(svg)}, lines=(svg,), problems=problems)


def _named(bar: Bar) -> str:
    return f"{bar.owner} (fence {bar.fence})"


def _chart(session: Session, found: Timeline) -> tuple[str, ...]:
    width = shutil.get_terminal_size((_WIDTH, 24)).columns if session.terminal else _WIDTH
    return tuple(chart_lines(found, width=width))


def _entries(path: str) -> list[Entry]:
    """The entries of one journal file; `InvalidInput` when it holds none. Torn and foreign lines do not count."""
    try:
        with open(path, "rb") as file:
            entries = [entry for entry in map(parsed, file) if entry is not None]
    except OSError as error:
        raise InvalidInput(f"--journal: cannot read {path}: {error.strerror}") from error
    if not entries:
        raise InvalidInput(f"--journal: {path} holds no journal entry")
    return entries


def _save(path: str, picture: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(picture)
    except OSError as error:
        raise InvalidInput(f"--svg: cannot write {path}: {error.strerror}") from error
