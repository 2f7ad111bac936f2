"""What every test of the command gets: a shell with a state root of its own, and an environment without surprises."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharedstate.settings import SETTINGS
from tests.unit.cli.shell import Shell


@pytest.fixture(autouse=True)
def _plain_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in SETTINGS:
        monkeypatch.delenv(setting.env, raising=False)
    for name in ("SHARED_STATE_DEBUG", "NO_COLOR", "_CLAIMS_COMPLETE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)
