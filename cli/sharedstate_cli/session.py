"""One run of the command: where it reads and prints, and the shared state, opened on first use."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO, TypeVar

from sharedstate.errors import InvalidInput
from sharedstate.values import Value
from sharedstate_cli.report import Report, aligned, json_line, visible

if TYPE_CHECKING:
    from sharedstate.connect import SharedState
    from sharedstate.host import Host
    from sharedstate.store import Store
    from sharedstate.sync.board import Board

T = TypeVar("T")
LINE_CHARACTERS_MAX = 10_000


class Console(Value):
    """The world around one run: streams (None where closed), and, for tests, the machine, the store, the board."""

    stdin: TextIO | None
    stdout: TextIO | None
    stderr: TextIO | None
    host: Host | None = None
    store: Store | None = None
    board: Board | None = None

    @classmethod
    def real(cls) -> Console:
        """The streams of this very process."""
        return cls(stdin=sys.stdin, stdout=sys.stdout, stderr=sys.stderr)


class Session:
    """What a handler gets: `state` (opened on first use), `json`, `terminal`, and `emit` for early output."""

    def __init__(self, console: Console, *, json: bool = False, root: str | None = None) -> None:
        self.console = console
        self.json = json
        self.root = root
        self._given: dict[str, Any] = {}
        self._state: SharedState | None = None

    def choose(self, **settings: Any) -> None:
        """Settings from the command line, before `state` is first used; None is no choice."""
        assert self._state is None, "the state is open already"
        self._given |= {name: value for name, value in settings.items() if value is not None}

    @property
    def state(self) -> SharedState:
        """The shared state around the working directory, or under `--dir`. Raises `BadSettings`."""
        if self._state is None:
            from sharedstate.connect import SharedState

            self._state = SharedState.open(self.root, store=self.console.store, host=self.console.host, **self._given)
        return self._state

    def close(self) -> None:
        """Give back what the state holds."""
        if self._state is not None:
            self._state.close()
            self._state = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Output

    @property
    def terminal(self) -> bool:
        """Whether a person looks at stdout: a terminal that is not dumb, and no `--json`."""
        return not self.json and _is_terminal(self.console.stdout)

    @property
    def color(self) -> bool:
        """Whether colour is welcome: on a terminal, unless NO_COLOR is set."""
        return self.terminal and not os.environ.get("NO_COLOR")

    def emit(self, report: Report) -> None:
        """Print a report now, complete and flushed: for commands that answer more than once."""
        if self.json:
            if report.document is not None:
                self.write(json_line(report.document))
        else:
            for line in report.lines:
                self.write(visible(line))
            if report.grid is not None:
                self._print_grid(report)
            for problem in report.problems:
                self.note(problem)
        for note in report.notes:
            self.note(note)
        if self.console.stdout is not None:
            self.console.stdout.flush()

    def write(self, line: str) -> None:
        """One finished line on stdout, as it is."""
        if self.console.stdout is not None:
            self.console.stdout.write(line + "\n")

    def note(self, text: str) -> None:
        """One line for people on stderr, made harmless."""
        if self.console.stderr is not None:
            self.console.stderr.write(f"claims: {visible(text)}\n")
            self.console.stderr.flush()

    def busy(self, work: Callable[[], T], *, label: str | Callable[[], str]) -> T:
        """The result of `work`; on a terminal a bar shows work of more than half a second, by its label."""
        stream = self.console.stderr
        if self.json or stream is None or not _is_terminal(stream):
            return work()
        from sharedstate_cli.full.progress import busy

        return busy(work, label=label, stream=stream)

    def counting(self, work: Callable[[Callable[[str, int], None]], T], *, label: str) -> T:
        """As `busy`, for work that tells now and then what it is at, and how much of it is done: that is shown."""
        said = [label]

        def tell(what: str, count: int) -> None:
            said[0] = f"{label}: {what}, {count:,}"

        return self.busy(lambda: work(tell), label=lambda: said[0])

    def _print_grid(self, report: Report) -> None:
        grid = report.grid
        assert grid is not None
        if not grid.rows:
            if grid.empty:
                self.write(visible(grid.empty))
        elif self.terminal and self.console.stdout is not None:
            from sharedstate_cli.full.screen import draw

            draw(grid, stream=self.console.stdout, color=self.color)
        else:
            for line in aligned(grid):
                self.write(line)

    # Input

    def ids(self) -> Iterator[str]:
        """Ids from standard input, one a line; white space around them and empty lines do not count."""
        if self.console.stdin is None:
            raise InvalidInput("standard input is closed")
        return lines_of(self.console.stdin, what="standard input")


def lines_of(stream: TextIO, *, what: str) -> Iterator[str]:
    """The lines that are not blank, stripped. Raises `InvalidInput` for a line that cannot be an id, or is not text."""
    while True:
        try:
            line = stream.readline(LINE_CHARACTERS_MAX)
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{what} is not UTF-8 text: {error.reason}") from None
        if not line:
            return
        if len(line) == LINE_CHARACTERS_MAX:
            raise InvalidInput(f"{what}: a line of {LINE_CHARACTERS_MAX} characters or more is no id")
        text = line.strip().removeprefix("\ufeff")
        if text:
            yield text


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty() and is_capable()


def is_capable() -> bool:
    """Whether the terminal can do more than print text."""
    return os.environ.get("TERM", "dumb") != "dumb"
