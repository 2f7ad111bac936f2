"""Standard logging: success INFO, non-critical failure WARNING, nothing imported where nobody listens."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest

from sharedstate import logs


def test_success_is_info_and_trouble_a_warning_of_one_logger(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger=logs.LOGGER):
        logs.info("claimed %r, fence %d", "T-1", 3)
        logs.warn("shared store away: %s", "planted")
    told = [(record.name, record.levelname, record.getMessage()) for record in caplog.records]
    assert told == [
        ("sharedstate", "INFO", "claimed 'T-1', fence 3"),
        ("sharedstate", "WARNING", "shared store away: planted"),
    ]


def test_success_costs_no_import_of_logging() -> None:
    code = "import sys; from sharedstate import logs; logs.info('x %d', 1); print('logging' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
