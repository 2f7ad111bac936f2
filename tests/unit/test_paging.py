"""Pages that arrive in time: few rows of what is large, many of what is small."""

from __future__ import annotations

import pytest

from sharedstate.paging import PAGE_BYTES, ROWS_FIRST, ROWS_MAX, Paging


@pytest.mark.parametrize("size,rows", [(1, ROWS_MAX), (900, ROWS_MAX), (64 * 1024, 16), (PAGE_BYTES, 1), (10**9, 1)])
def test_pages_hold_about_a_mebibyte(size: int, rows: int) -> None:
    paging = Paging()
    assert paging.rows == ROWS_FIRST
    for _ in range(3):
        paging.took(paging.rows, paging.rows * size)
    assert paging.rows == rows


def test_an_empty_page_says_nothing_and_small_rows_after_large_ones_are_noticed() -> None:
    paging = Paging()
    paging.took(0, 0)
    assert paging.rows == ROWS_FIRST
    paging.took(10, 10 * PAGE_BYTES)
    for _ in range(4):
        paging.took(paging.rows, paging.rows)
    assert paging.rows == ROWS_MAX
