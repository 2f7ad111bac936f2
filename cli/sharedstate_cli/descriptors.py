"""The three standard descriptors, before anything is opened."""

from __future__ import annotations

import os


def guard_descriptors() -> None:
    """With a standard stream closed (`>&-`) its number would go to the next file opened: give it to nobody instead."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
