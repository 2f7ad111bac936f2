"""The units in docs/hub.md are ones that systemd and launchd take, and they call what there is."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sharedstate_cli.table import BY_NAME
from tests.style.source import ROOT


def block(kind: str) -> str:
    text = (ROOT / "docs/hub.md").read_text(encoding="utf-8")
    [found] = re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)
    return str(found)


def test_the_launch_agent_is_a_property_list_that_runs_the_hub() -> None:
    agent = plistlib.loads(block("xml").encode())
    assert " ".join(agent["ProgramArguments"][1:]) in BY_NAME
    assert agent["KeepAlive"] == {"SuccessfulExit": False}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
def test_systemd_takes_the_unit_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)

    def verified(content: str) -> str:
        unit = tmp_path / "sharedstate-hub.service"
        unit.write_text(content.replace("%h/project", str(tmp_path)))
        words = ["systemd-analyze", "verify", "--user", str(unit)]
        known = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "run")}
        done = subprocess.run(words, env=known, capture_output=True, text=True, check=False, timeout=60)
        return done.stderr + "." * done.returncode

    assert verified(block("ini")) == ""
    assert "RestartSecs" in verified(block("ini").replace("RestartSec=", "RestartSecs="))
