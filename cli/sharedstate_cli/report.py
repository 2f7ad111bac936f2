"""What a handler answers: an exit code, a JSON object for programs, lines or a grid for people. The printer does the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sharedstate.values import Value

SCHEMA = 1


class Grid(Value):
    """Rows for people. Cells are plain text; the printer aligns them, or draws a table on a terminal.

    `tones`: for each row the look of its status (`good`, `bad`, `warn` or empty), used only where colour is.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    tones: tuple[str, ...] = ()
    empty: str = ""


class Report(Value):
    """The answer of one command.

    `code`: exit code (DESIGN section 6). `document`: the JSON object, without `schema`, which the printer adds; None when the
    handler has printed its own (JSON Lines). `lines` and then `grid`: the same for people, on stdout. `notes`: remarks for
    stderr, printed in both forms.
    """

    code: int = 0
    document: Mapping[str, Any] | None = None
    lines: tuple[str, ...] = ()
    grid: Grid | None = None
    notes: tuple[str, ...] = ()


def json_line(document: Mapping[str, Any]) -> str:
    """The object with `schema` in front, on one line, pure ASCII: safe on any terminal and in any encoding."""
    return json.dumps({"schema": SCHEMA, **document}, separators=(",", ":"), allow_nan=False)


def compact(**fields: Any) -> dict[str, Any]:
    """The fields that are not None, in the given order."""
    return {name: value for name, value in fields.items() if value is not None}


def visible(text: str) -> str:
    """The text with everything that a terminal would obey, or that hides, written out (`\\x1b`, `\\u202e`, `\\n`)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def aligned(grid: Grid) -> list[str]:
    """The grid as plain lines: columns two spaces apart, no trailing space; for pipes."""
    rows: Sequence[Sequence[str]] = [grid.columns, *grid.rows]
    shown = [[visible(cell) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in shown) for index in range(len(grid.columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in shown]
