"""What a person sees meanwhile: a live table on a terminal, one line per event elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sharedstate.store import Entry

_STYLES = {"complete": "green", "failed": "red", "taken_over": "yellow", "swept": "yellow", "ignored": "magenta"}
_EVENTS_SHOWN = 6


@dataclass
class AgentView:
    """One agent as the screen shows it."""

    name: str
    pid: int
    state: str = "starting"
    task: str = ""
    since_s: float = 0.0
    complete: int = 0
    failed: int = 0


@dataclass
class Progress:
    """What the journal has told so far. `take` reads one entry; nothing else changes it."""

    agents: dict[str, AgentView]
    task_count: int
    retries_max: int
    started_s: float = field(default_factory=time.monotonic)
    settled: set[str] = field(default_factory=set)
    recent: list[tuple[str, str]] = field(default_factory=list)

    def take(self, entry: Entry) -> str:
        """Take in one event; returns it as a line for people, empty when it says nothing to them."""
        event = entry.value
        kind, task, owner = str(event.get("type")), str(event.get("task")), str(event.get("owner", ""))
        agent = self.agents.get(owner)
        previous = self.agents.get(str(event.get("previous_owner")))
        if previous is not None and previous.task == task:
            previous.task = ""
        if kind in ("claimed", "taken_over", "reclaimed") and agent is not None:
            agent.state, agent.task, agent.since_s = "working", task, time.monotonic()
        elif kind in ("released", "swept", "conflict") and agent is not None and agent.task == task:
            agent.task = ""
            agent.state = agent.state if agent.state == "killed" else "idle"
        line, look = _line_of(event, kind, task, owner.partition("/")[2] or owner)
        if kind == "released" and agent is not None:
            status = event.get("status")
            agent.complete += status == "complete"
            agent.failed += status == "failed"
        exhausted = event.get("status") == "failed" and event.get("retries") == self.retries_max
        if kind == "ignored" or (kind == "released" and (event.get("status") == "complete" or exhausted)):
            self.settled.add(task)
        if line:
            self.recent = [*self.recent, (line, look)][-_EVENTS_SHOWN:]
        return line

    def say(self, line: str, look: str = "bold yellow") -> str:
        """A line of the orchestrator's own."""
        self.recent = [*self.recent, (line, look)][-_EVENTS_SHOWN:]
        return line


class Screen(Protocol):
    """Where the fleet shows itself."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, progress: Progress, lines: Sequence[str]) -> None:
        """Show where things stand; `lines` are new since the last time."""
        ...


def screen_for(console: Console) -> Screen:
    """A live table where a person looks, plain lines elsewhere."""
    return _Table(console) if console.is_terminal and not console.is_dumb_terminal else _Lines()


class _Lines:
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout.flush()

    def show(self, progress: Progress, lines: Sequence[str]) -> None:
        elapsed_s = time.monotonic() - progress.started_s
        for line in lines:
            print(f"{elapsed_s:6.1f} s  {line}", flush=True)


class _Table:
    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=8, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, progress: Progress, lines: Sequence[str]) -> None:
        self._live.update(_drawn(progress))


def _drawn(progress: Progress) -> Group:
    table = Table(expand=True, title_justify="left")
    for heading in ("agent", "pid", "state", "task", "for", "done", "failed"):
        right = heading in ("pid", "for", "done", "failed")
        width = {"agent": 9, "state": 8, "task": None, "for": 7}.get(heading, 6)
        ratio = 1 if heading == "task" else None
        table.add_column(heading, width=width, ratio=ratio, no_wrap=True, justify="right" if right else "left")
    now_s = time.monotonic()
    for agent in progress.agents.values():
        look = {"working": "cyan", "killed": "bold red", "done": "green"}.get(agent.state, "dim")
        busy = f"{now_s - agent.since_s:.1f} s" if agent.task else ""
        cells = (agent.name, str(agent.pid), agent.state, agent.task, busy, str(agent.complete), str(agent.failed))
        table.add_row(*(Text(cell, style=look if index == 2 else "") for index, cell in enumerate(cells)))
    settled = Text(
        f" {len(progress.settled)} of {progress.task_count} tasks settled, {now_s - progress.started_s:.0f} s"
    )
    bar = ProgressBar(total=max(progress.task_count, 1), completed=len(progress.settled))
    events = [Text(line, style=look, no_wrap=True, overflow="ellipsis") for line, look in progress.recent]
    return Group(table, bar, settled, Text(), *events)


def _line_of(event: dict[str, object], kind: str, task: str, owner: str) -> tuple[str, str]:
    status, fence = str(event.get("status", "")), event.get("fence")
    look = _STYLES.get(status if kind == "released" else kind, "")
    if kind == "claimed":
        attempt = event.get("attempt")
        again = f", attempt {attempt}" if attempt != 1 else ""
        return f"{owner} works on {task} (fence {fence}{again})", look
    if kind == "released":
        error = str(event.get("error", "")).strip().splitlines()
        return f"{owner}: {task} {status}" + (f" ({error[-1][:80]})" if error else ""), look
    if kind == "taken_over":
        return (
            f"{owner} takes {task} over from {event.get('previous_owner')}: {event.get('reason')} (fence {fence})",
            look,
        )
    if kind == "swept":
        return f"sweep: {task} of {owner} ended, {event.get('reason')}", look
    if kind in ("ignored", "conflict"):
        return f"{task} {kind}: {event.get('reason')}", look
    return "", ""
