"""A shell for tests: runs the command in this very process, on a fake machine, and reads its answer."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sharedstate.host import Host
from sharedstate.store import Store
from sharedstate.sync.board import Board
from sharedstate.testing.clock import FakeHost
from sharedstate.values import Value
from sharedstate_cli.main import main
from sharedstate_cli.session import Console


class Answer(Value):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        [line] = self.out.splitlines()
        found = json.loads(line)
        assert isinstance(found, dict)
        return found

    @property
    def documents(self) -> list[dict[str, Any]]:
        """One JSON object per line of stdout."""
        return [json.loads(line) for line in self.out.splitlines()]


class Screen(io.StringIO):
    """Output that says it is a terminal, and calls `on_write` whenever something is written."""

    on_write: Callable[[], None] | None = None

    def write(self, text: str, /) -> int:
        """Keep the text."""
        count = super().write(text)
        if text.strip() and self.on_write is not None:
            self.on_write()
        return count

    def isatty(self) -> bool:
        """Yes."""
        return True


class Shell:
    """Runs `claims` with a state root under a temporary folder and a clock that stands still until it is moved."""

    def __init__(
        self, folder: Path, *, host: Host | None = None, store: Store | None = None, board: Board | None = None
    ) -> None:
        self.root = folder / "state"
        self.host = host or FakeHost()
        self.store = store
        self.board = board

    def __call__(self, line: str, *more: str, stdin: str = "", screen: bool = False, as_json: bool = True) -> Answer:
        """Run a command line, given as words in one text and then as further words."""
        words = [*line.split(), *more]
        own = 2 if words[:1] in (["config"], ["board"], ["schedule"], ["store"]) else 1
        added = ["--dir", str(self.root), *(["--json"] if as_json else [])]
        return self.words(*words[:own], *added, *words[own:], stdin=stdin, screen=screen)

    def words(self, *words: str, stdin: str = "", screen: bool = False) -> Answer:
        """Run exactly these words."""
        out: io.StringIO = Screen() if screen else io.StringIO()
        err = io.StringIO()
        console = Console(
            stdin=io.StringIO(stdin), stdout=out, stderr=err, host=self.host, store=self.store, board=self.board
        )
        code = main(words, console=console)
        return Answer(code=code, out=out.getvalue(), err=err.getvalue())

    def text(self, line: str, *more: str, stdin: str = "", screen: bool = False) -> Answer:
        """The same without `--json`: what a person sees."""
        return self(line, *more, stdin=stdin, screen=screen, as_json=False)

    def advance(self, seconds: float) -> None:
        """Let time pass on the fake machine."""
        assert isinstance(self.host, FakeHost)
        self.host.advance(seconds)
