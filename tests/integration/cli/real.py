"""The installed command as a real process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from sharedstate.settings import SETTINGS

_INSTALLED = Path(sys.executable).with_name("claims")
COMMAND = [str(_INSTALLED)] if _INSTALLED.exists() else [sys.executable, "-m", "sharedstate_cli"]
DEADLINE_S = 60


def environment(root: Path, **more: str) -> dict[str, str]:
    """The environment of a user: no settings but the state root, bytecode is cached."""
    own = {setting.env for setting in SETTINGS} | {"PYTHONDONTWRITEBYTECODE", "NO_COLOR", "SHARED_STATE_DEBUG"}
    kept = {name: text for name, text in os.environ.items() if name not in own}
    return {**kept, "SHARED_STATE_DIR": str(root), "SHARED_STATE_OWNER": "ws/agent", **more}


def claims(root: Path, *words: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*COMMAND, *words],
        input=stdin,
        env=environment(root, **more),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
