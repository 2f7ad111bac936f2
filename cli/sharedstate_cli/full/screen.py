"""Grids as tables on a terminal. Cells are plain text: nothing in them is markup, emoji code, link or control."""

from __future__ import annotations

from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sharedstate_cli.report import Grid, visible

_STYLES = {"good": "green", "bad": "red", "warn": "yellow", "": ""}


def draw(grid: Grid, *, stream: TextIO, color: bool, width: int | None = None) -> None:
    """Print the grid as wide as the terminal; cells that do not fit are folded, never cut."""
    console = Console(
        file=stream, no_color=not color, highlight=False, markup=False, emoji=False, width=width, soft_wrap=False
    )
    table = Table(box=SIMPLE_HEAD if grid.columns else None, show_header=bool(grid.columns), pad_edge=False)
    for title in grid.columns or ("",) * len(grid.rows[0]):
        table.add_column(Text(visible(title)), overflow="fold")
    for index, row in enumerate(grid.rows):
        tone = grid.tones[index] if index < len(grid.tones) else ""
        table.add_row(*(Text(visible(cell)) for cell in row), style=_STYLES[tone] if color else "")
    console.print(table)
