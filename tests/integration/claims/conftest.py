"""Signals as a login shell gives them, however the tests themselves were started."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def signals_are_heard() -> Iterator[None]:
    """Undo an ignored SIGHUP (`nohup make test`): a program inherits it, and would not hear the one it is sent."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
