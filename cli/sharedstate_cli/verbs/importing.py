"""`claims import`: take over the ledgers of older tools, and say what became of every entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from sharedstate.errors import EXIT_CORRUPT, EXIT_OK, EXIT_USAGE
from sharedstate_cli.report import Grid, Report, compact

if TYPE_CHECKING:
    from sharedstate.claims.importer import ImportedEntry, ImportedFile, ImportReport
    from sharedstate_cli.session import Session

_TONES: Final = {"taken": "good", "changed": "warn", "refused": "bad"}


def import_ledgers(session: Session, *, files: Sequence[str], dry_run: bool = False) -> Report:
    """Import the files: 0 when all were read, whatever became of their entries; 7 for bad content, 2 for no file."""
    from sharedstate.claims import importer

    claims = session.state.claims
    report = session.busy(lambda: importer.import_ledgers(claims, files, dry_run=dry_run), label="importing")
    counts = report.counts()
    return Report(
        code=_code(report),
        document={
            "ok": not counts["files_refused"],
            "dry_run": dry_run,
            "counts": counts,
            "files": [_file(file) for file in report.files],
        },
        lines=(_summary(report, counts),),
        grid=_grid(report),
        problems=tuple(file.refused for file in report.files if file.refused),
    )


def _code(report: ImportReport) -> int:
    codes = {file.code for file in report.files if file.refused}
    if not codes:
        return EXIT_OK
    return EXIT_CORRUPT if "corrupt" in codes else EXIT_USAGE


def _file(file: ImportedFile) -> dict[str, Any]:
    if file.refused:
        return {"path": file.path, "ok": False, "error": {"code": file.code, "message": file.refused}}
    return {"path": file.path, "ok": True, "entries": [_entry(entry) for entry in file.entries]}


def _entry(entry: ImportedEntry) -> dict[str, Any]:
    return compact(
        task=entry.task,
        ledger=entry.ledger,
        outcome=entry.outcome,
        detail=entry.detail,
        fence=entry.fence,
        notes=list(entry.notes) or None,
    )


def _summary(report: ImportReport, counts: dict[str, int]) -> str:
    told = ", ".join(f"{counts[outcome]} {outcome}" for outcome in ("taken", "changed", "refused", "unchanged"))
    return f"would be: {told}; nothing was written" if report.dry_run else told


def _grid(report: ImportReport) -> Grid:
    entries = [entry for file in report.files for entry in file.entries]
    return Grid(
        columns=("TASK", "OUTCOME", "WHY"),
        rows=tuple((entry.task, entry.outcome, "; ".join((entry.detail, *entry.notes))) for entry in entries),
        tones=tuple(_TONES.get(entry.outcome, "") for entry in entries),
        empty="no entries",
    )
