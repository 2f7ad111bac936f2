"""`claims completion`: the script that teaches a shell to complete commands, options and task ids."""

from __future__ import annotations

from sharedstate_cli.report import Report
from sharedstate_cli.session import Session


def completion(session: Session, *, shell: str) -> Report:
    """The script on stdout, to be evaluated by the shell or put where it looks for completions."""
    from sharedstate_cli.full.app import completion_script

    script = completion_script(shell)
    return Report(document={"ok": True, "shell": shell, "script": script}, lines=tuple(script.splitlines()))
