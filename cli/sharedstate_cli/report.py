"""What a handler answers: an exit code, a JSON object for programs, lines or a grid for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sharedstate.errors import SharedStateError
from sharedstate.values import Value

SCHEMA = 1


class Grid(Value):
    """Rows for people. Cells are plain text; the printer aligns them, or draws a table on a terminal.

    Empty `columns` mean no header. `tones`: the look of each row (`good`, `bad`, `warn` or empty) where colour is.
    `empty`: what is said when there are no rows.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    tones: tuple[str, ...] = ()
    empty: str = ""


class Report(Value):
    """The answer of one command.

    `code`: exit code. `document`: the JSON object, without `schema`, which the printer adds; None when the handler has
    printed its own (JSON Lines). For people, instead of the document: `lines`, then `grid` on stdout, `problems` (why
    not) on stderr. `notes`: remarks for stderr, printed in any case.
    """

    code: int = 0
    document: Mapping[str, Any] | None = None
    lines: tuple[str, ...] = ()
    grid: Grid | None = None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def json_line(document: Mapping[str, Any]) -> str:
    """The object with `schema` in front, on one line, pure ASCII: safe on any terminal and in any encoding."""
    return json.dumps({"schema": SCHEMA, **document}, separators=(",", ":"), allow_nan=False)


def compact(**fields: Any) -> dict[str, Any]:
    """The fields that are not None, in the given order."""
    return {name: value for name, value in fields.items() if value is not None}


def error_document(*, code: str, message: str, hint: str, retryable: bool) -> dict[str, Any]:
    """The JSON object of a fault, without `schema`."""
    return {"ok": False, "error": {"code": code, "message": message, "hint": hint, "retryable": retryable}}


def complaint(error: SharedStateError) -> tuple[str, ...]:
    """A fault for people: what failed, and the safe next step."""
    return (str(error), f"hint: {error.hint}") if error.hint else (str(error),)


def visible(text: str) -> str:
    """The text with everything that a terminal would obey, or that hides, written out (`\\x1b`, `\\u202e`, `\\n`)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def aligned(grid: Grid) -> list[str]:
    """The grid as plain lines: columns two spaces apart, no trailing space; for pipes."""
    rows: Sequence[Sequence[str]] = [grid.columns, *grid.rows] if grid.columns else grid.rows
    shown = [[visible(cell) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in shown) for index in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]
