"""The orchestrator: starts the agents, kills one in mid-task, sweeps, follows the journal until all is done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from examples.fleet_parts.plan import Plan, Sight, read_diary
from examples.fleet_parts.proof import Death
from examples.fleet_parts.screen import AgentView, Progress, Screen
from sharedstate import SharedState
from sharedstate.store import Entry

_STEP_S = 0.15
_SWEEP_EVERY_S = 1.0
_GRACE_S = 5.0
# Not before so many tasks are settled, so that the picture shows a fleet at work before the death.
_KILL_AFTER_SHARE = 0.2


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the fleet is run: number of agents, whether one of them dies, after how many seconds to give up."""

    agents: int
    kill: bool
    deadline_s: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """All that the report needs, read before the state goes away."""

    plan: Plan
    options: Options
    entries: tuple[Entry, ...]
    sights: tuple[Sight, ...]
    deaths: tuple[Death, ...]
    endings: dict[str, str]
    attempts: dict[str, int]
    errors: dict[str, str]
    exit_codes: dict[str, int]
    processes_left: int
    elapsed_s: float
    in_time: bool


@dataclass
class _Running:
    name: str
    owner: str
    popen: subprocess.Popen[bytes]
    killed: bool = False


@dataclass
class _Watch:
    """What the loop of the orchestrator remembers."""

    progress: Progress
    seen: int = 0
    swept_s: float = 0.0
    deaths: list[Death] = field(default_factory=list)


class Fleet:
    """One run over one plan."""

    def __init__(self, plan: Plan, options: Options, *, program: Path) -> None:
        self._plan = plan
        self._options = options
        self._program = program
        self._agents: list[_Running] = []

    def run(self, screen: Screen) -> Outcome:
        """Run until every agent has ended or the deadline has passed; no agent outlives this call."""
        begun_s = time.monotonic()
        self._plan.save()
        with SharedState.open(self._plan.root, owner="orchestrator", max_retries=self._plan.retries_max) as state:
            first = max((entry.sequence for entry in state.events()), default=0)
            try:
                for task in self._plan.tasks:
                    if task.expect == "ignored":  # what a person does with `claims ignore TASK --reason …`
                        state.tasks.ignore(task.id, reason="a person wants to look at it first", by="human/reviewer")
                self._start()
                watch = self._follow(state, screen, first, begun_s + self._options.deadline_s)
            finally:
                with undisturbed():
                    self._end_all()
                    state.claims.sweep()  # an agent that could not release any more is dead, and its claim bound to it
            return self._outcome(state, watch, time.monotonic() - begun_s)

    # While it runs

    def _start(self) -> None:
        station = os.uname().nodename
        for index in range(self._options.agents):
            name = f"agent-{index + 1}"
            words = [
                sys.executable,
                str(self._program),
                "--agent",
                name,
                "--plan",
                str(Path(self._plan.folder, "plan.json")),
            ]
            # A group of its own for each: killed together with the commands it runs, and left alone by our Ctrl-C.
            popen = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)
            self._agents.append(_Running(name=name, owner=f"{station}/{name}", popen=popen))

    def _follow(self, state: SharedState, screen: Screen, first: int, deadline_s: float) -> _Watch:
        views = {agent.owner: AgentView(agent.name, agent.popen.pid) for agent in self._agents}
        progress = Progress(agents=views, task_count=len(self._plan.tasks), retries_max=self._plan.retries_max)
        watch = _Watch(progress=progress, seen=first)
        while any(agent.popen.poll() is None for agent in self._agents) and time.monotonic() < deadline_s:
            state.store.watch("events", after=watch.seen, timeout_s=_STEP_S)
            self._look(state, screen, watch)
            if self._options.kill and not watch.deaths and self._is_time_to_kill(watch.progress):
                self._kill_one(state, watch, screen)
            if time.monotonic() - watch.swept_s > _SWEEP_EVERY_S:
                state.claims.sweep()
                watch.swept_s = time.monotonic()
        self._look(state, screen, watch)
        return watch

    def _look(self, state: SharedState, screen: Screen, watch: _Watch) -> None:
        lines: list[str] = []
        for entry in state.events(after=watch.seen):
            watch.seen = entry.sequence
            lines.append(watch.progress.take(entry))
        for agent in self._agents:
            if agent.popen.poll() is not None:
                watch.progress.agents[agent.owner].state = "killed" if agent.killed else "done"
        screen.show(watch.progress, [line for line in lines if line])

    # The death of one

    def _is_time_to_kill(self, progress: Progress) -> bool:
        return len(progress.settled) >= _KILL_AFTER_SHARE * len(self._plan.tasks)

    def _kill_one(self, state: SharedState, watch: _Watch, screen: Screen) -> None:
        """Stop an agent, look whether it is in the middle of a task, and only then kill it: no race can miss."""
        for agent in self._agents:
            if agent.popen.poll() is not None:
                continue
            _signal_group(agent.popen.pid, signal.SIGSTOP)
            held = self._in_the_middle_of(state, agent)
            if held is None:
                _signal_group(agent.popen.pid, signal.SIGCONT)
                continue
            at_ns = time.monotonic_ns()
            agent.killed = True
            _signal_group(agent.popen.pid, signal.SIGKILL)
            agent.popen.wait()
            watch.deaths.append(Death(owner=agent.owner, task=held.task, fence=held.fence, at_ns=at_ns))
            watch.progress.agents[agent.owner].state = "killed"
            line = watch.progress.say(f"SIGKILL to {agent.name} in the middle of {held.task}")
            screen.show(watch.progress, [line])
            state.claims.sweep()  # what a scheduler does every so often
            watch.swept_s = time.monotonic()
            return

    def _in_the_middle_of(self, state: SharedState, agent: _Running) -> Sight | None:
        """The task whose commands the stopped agent is running: begun by its diary, not ended, held in the state."""
        begun: dict[tuple[str, int], Sight] = {}
        for sight in read_diary(self._plan.folder, agent.name):
            if sight.kind == "work":
                begun[sight.task, sight.fence] = sight
            elif sight.kind == "release":
                begun.pop((sight.task, sight.fence), None)
        planted = {task.id for task in self._plan.tasks if task.expect != "complete"}
        for sight in begun.values():
            view = state.tasks.get(sight.task)
            if (
                sight.task not in planted
                and view is not None
                and view.state.live == sight.fence
                and view.state.owner == agent.owner
            ):
                return sight
        return None

    # The end

    def _end_all(self) -> None:
        """Ask the agents to stop, wait, and kill what is left of their groups."""
        for agent in self._agents:
            if agent.popen.stdin is not None:
                agent.popen.stdin.close()  # its end is what tells an agent that we are gone
            if agent.popen.poll() is None:
                agent.popen.terminate()
        deadline_s = time.monotonic() + _GRACE_S
        for agent in self._agents:
            try:
                agent.popen.wait(max(0.01, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass
            _signal_group(agent.popen.pid, signal.SIGKILL)
            agent.popen.wait()

    def _outcome(self, state: SharedState, watch: _Watch, elapsed_s: float) -> Outcome:
        endings: dict[str, str] = {}
        attempts: dict[str, int] = {}
        errors: dict[str, str] = {}
        for task in self._plan.tasks:
            view = state.tasks.get(task.id)
            endings[task.id] = "not begun" if view is None else "ignored" if view.state.ignored else view.state.status
            attempts[task.id] = 0 if view is None else view.state.attempts
            errors[task.id] = "" if view is None else view.state.last_error or ""
        return Outcome(
            plan=self._plan,
            options=self._options,
            entries=tuple(state.events()),
            sights=tuple(self._sights()),
            deaths=tuple(watch.deaths),
            endings=endings,
            attempts=attempts,
            errors=errors,
            exit_codes={agent.name: agent.popen.returncode for agent in self._agents if not agent.killed},
            processes_left=sum(_group_lives(agent.popen.pid) for agent in self._agents),
            elapsed_s=elapsed_s,
            in_time=elapsed_s < self._options.deadline_s,
        )

    def _sights(self) -> Iterator[Sight]:
        for agent in self._agents:
            yield from read_diary(self._plan.folder, agent.name)


@contextmanager
def undisturbed() -> Generator[None]:
    """A second Ctrl-C must not interrupt the clearing up that the first one began."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass  # all of it has ended


def _group_lives(group: int) -> bool:
    """Whether a process of the group still runs after a moment; one that has ended does not, reaped or not."""
    deadline_s = time.monotonic() + _GRACE_S
    while time.monotonic() < deadline_s:
        if not any(_runs_in(entry, group) for entry in os.listdir("/proc") if entry.isdecimal()):
            return False
        time.sleep(0.05)
    return True


def _runs_in(pid: str, group: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            state, _, of_group = file.read().rpartition(")")[2].split()[:3]
    except OSError:
        return False
    return int(of_group) == group and state not in "ZX"
