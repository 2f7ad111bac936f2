"""For stores that list in pages: how many rows to ask for, so that a page arrives in time over a slow line, too."""

from __future__ import annotations

from typing import Final

ROWS_MAX: Final = 500
ROWS_FIRST: Final = 64
PAGE_BYTES: Final = 1024 * 1024
_GROWTH_MAX: Final = 8


class Paging:
    """The size of the next page: few rows at first, then as many as have about a mebibyte, going by the last page."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows = ROWS_FIRST

    def took(self, rows: int, size: int) -> None:
        """A page of `rows` had `size` bytes."""
        if rows > 0:
            fitting = PAGE_BYTES * rows // max(1, size)
            self.rows = max(1, min(ROWS_MAX, self.rows * _GROWTH_MAX, fitting))
