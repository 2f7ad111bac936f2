"""`claims help`: what `--help` shows, for those who put the word in front."""

from __future__ import annotations

from sharedstate_cli.report import Report
from sharedstate_cli.session import Session
from sharedstate_cli.table import COMMANDS


def show_help(session: Session, *, words: tuple[str, ...]) -> Report:
    """The help of one command, of several with a common first word, or of all; with `--json` their names and purposes.

    Raises `Usage` for what is none.
    """
    meant = {command.name: command.about for command in COMMANDS if tuple(command.name.split())[: len(words)] == words}
    if session.json and meant:
        return Report(document={"ok": True, "commands": meant})
    from sharedstate_cli.full.app import parse

    parse([*words, "--help"])
    return Report()
