"""What a benchmark says: rows with a figure and an aim, printed as one table and written as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable

from sharedstate.values import Value

_WIDTHS = (66, 12, 12, 11, 7)


class Broken(AssertionError):
    """A promise did not hold while it was measured (a double claim, a renew that wrote a record): the run fails."""


class Aim(Value):
    """The bound that is aimed at for a figure: at most `bound`, or at least it."""

    bound: float
    at_least: bool = False

    def is_met(self, figure: float) -> bool:
        """Whether the figure keeps the bound."""
        return figure >= self.bound if self.at_least else figure <= self.bound

    def text(self, unit: str) -> str:
        """As printed: `<= 2.00 x`."""
        return f"{'>=' if self.at_least else '<='} {shown(self.bound, unit)}"


class Row(Value):
    """One line of the table: a case, its `figure` in `unit` (`x`: a ratio), its median, and its aim if it has one.

    A row without an aim is a control or a fact; `note` says what the figure relates to.
    """

    case: str
    figure: float | None = None
    unit: str = "x"
    median_us: float | None = None
    aim: Aim | None = None
    note: str = ""

    @property
    def verdict(self) -> str:
        """`met`, `missed`, or nothing where there is no aim."""
        if self.aim is None or self.figure is None:
            return ""
        return "met" if self.aim.is_met(self.figure) else "missed"


def at_most(bound: float) -> Aim:
    """An upper bound."""
    return Aim(bound=bound)


def at_least(bound: float) -> Aim:
    """A lower bound."""
    return Aim(bound=bound, at_least=True)


def missing(case: str, why: str) -> Row:
    """A case that could not be measured here, and why."""
    return Row(case=case, note=why)


def shown(figure: float | None, unit: str) -> str:
    """A figure for people; ratios far below one as `1/20`."""
    if figure is None:
        return ""
    if unit == "x" and 0 < figure < 0.2:
        return f"1/{1 / figure:.1f} x"
    digits = 0 if unit in ("", "us") and figure >= 100 else 2
    return f"{figure:,.{digits}f} {unit}".strip()


def print_head(title: str) -> None:
    """The title of a section and the names of its columns."""
    print(f"\n{title}")
    _print_cells("", "figure", "median", "aim", "", "")


def print_row(row: Row) -> None:
    """One row, at once, so that a long run shows how far it is."""
    median = "" if row.median_us is None else f"{row.median_us:,.1f} us"
    aim = "" if row.aim is None else row.aim.text(row.unit)
    _print_cells(f"  {row.case}", shown(row.figure, row.unit), median, aim, row.verdict, row.note)


def print_summary(rows: Iterable[Row], broken: Iterable[str]) -> None:
    """How many aims were met, which were missed by how much, and what broke."""
    judged = [row for row in rows if row.verdict]
    missed = [row for row in judged if row.verdict == "missed"]
    print(f"\n{len(judged) - len(missed)} of {len(judged)} aims met")
    for row in missed:
        assert row.aim is not None
        print(f"  missed: {row.case}: {shown(row.figure, row.unit)}, aim {row.aim.text(row.unit)}")
    for text in broken:
        print(f"  BROKEN: {text}")


def as_line(section: str, row: Row) -> str:
    """A row as one line of JSON."""
    document = {
        "section": section,
        "case": row.case,
        "figure": row.figure,
        "unit": row.unit,
        "median_us": row.median_us,
        "aim": None if row.aim is None else row.aim.text(row.unit),
        "verdict": row.verdict or None,
        "note": row.note or None,
    }
    return json.dumps(document, sort_keys=True)


def _print_cells(case: str, figure: str, median: str, aim: str, verdict: str, note: str) -> None:
    first, *widths = _WIDTHS
    cells = [
        case.ljust(first),
        *(cell.rjust(width) for cell, width in zip((figure, median, aim, verdict), widths, strict=True)),
    ]
    print(f"{' '.join(cells)}  {note}".rstrip(), flush=True)
