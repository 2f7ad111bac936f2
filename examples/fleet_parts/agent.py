"""One agent of the fleet, a process of its own: claims a task, works on it in a worktree, releases it by the result."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from examples.fleet_parts.plan import Diary, Plan, Sight
from examples.fleet_parts.tasklist import Command, Task
from examples.fleet_parts.worktrees import GitError, Worktrees, clean_environment
from sharedstate import Claimed, ClaimLost, Hold, SharedState
from sharedstate.errors import StoreBusy

# Whoever is refused a task for one of these reasons need not ask for it again.
OVER = frozenset(("task_ignored", "task_already_complete", "max_retries_exceeded", "corrupt"))
_LOOK_AGAIN_S = 0.25
_COMMAND_SECONDS_MAX = 90
_ERROR_CHARACTERS = 400


class CommandFailed(RuntimeError):
    """A command of the task ended badly; the message is the end of what it printed."""


def work(plan: Plan, name: str) -> int:
    """Work until no task is left; returns the exit code."""
    signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with_the_orchestrator, daemon=True).start()
    trees = Worktrees(repository=Path(plan.repository), commit=plan.commit, folder=Path(plan.folder, "worktrees"))
    with SharedState.open(
        plan.root,
        owner=name,
        max_retries=plan.retries_max,
        stale_threshold_ms=plan.ttl_ms,
        heartbeat_interval_ms=plan.ttl_ms // 3,
    ) as state:
        agent = Agent(state, trees, Diary(plan.folder, name), name)
        try:
            agent.run(plan.tasks)
        except KeyboardInterrupt:
            return 130
    return 0


class Agent:
    """What one agent needs at hand."""

    def __init__(self, state: SharedState, trees: Worktrees, diary: Diary, name: str) -> None:
        self._state = state
        self._trees = trees
        self._diary = diary
        self._name = name
        self._seen = 0

    def run(self, tasks: Sequence[Task]) -> None:
        """Take tasks until each is complete, ignored or out of retries."""
        while True:
            claimed, left = self._claim_one(tasks)
            if claimed is not None:
                task = next(task for task in tasks if task.id == claimed.task)
                self._work_on(task, claimed)
            elif not left:
                return
            else:
                # Somebody has them; the journal tells when something happens. A lost hint costs the time-out only.
                for entry in self._state.events(after=self._seen):
                    self._seen = entry.sequence
                self._state.store.watch("events", after=self._seen, timeout_s=_LOOK_AGAIN_S)

    def _claim_one(self, tasks: Sequence[Task]) -> tuple[Claimed | None, list[Task]]:
        """The first task to be had, and those that may still be had later. One at a time: each has its own scope."""
        left: list[Task] = []
        for task in tasks:
            start_ns = time.monotonic_ns()
            try:
                answer = self._state.claims.claim_next([task.id], scope=task.scope, bind=True)
            except StoreBusy:
                left.append(task)
                continue
            if isinstance(answer, Claimed):
                self._note("claim", answer, start_ns, answer.outcome)
                return answer, left
            if not all(refused.reason in OVER for refused in answer.refused):
                left.append(task)
        return None, left

    def _work_on(self, task: Task, claimed: Claimed) -> None:
        """The claim is ours already; `hold` keeps it alive meanwhile and ends it with the outcome of the block."""
        start_ns = 0
        try:
            with self._state.claims.hold(task.id) as claim:
                status = self._attempt(task, claimed, claim)
                start_ns = time.monotonic_ns()
        except ClaimLost:
            return  # somebody else has it, and our fence: nothing more may be written on its behalf
        self._note("release", claimed, start_ns, status)

    def _attempt(self, task: Task, claimed: Claimed, claim: Hold) -> str:
        place = None
        try:
            place = self._trees.add(f"{task.id}-{claimed.fence}")
            self._note("work", claimed, time.monotonic_ns(), "")
            for command in task.commands:
                _run(command, place)
                claim.check()
        except (CommandFailed, GitError) as error:
            claim.fail(str(error))
            return "failed"
        finally:
            if place is not None:
                self._trees.remove(place)
        return "complete"

    def _note(self, kind: str, claimed: Claimed, start_ns: int, word: str) -> None:
        sight = Sight(
            kind=kind,
            agent=self._name,
            owner=claimed.owner,
            task=claimed.task,
            fence=claimed.fence,
            start_ns=start_ns,
            end_ns=0 if kind == "work" else time.monotonic_ns(),
            word=word,
        )
        self._diary.note(sight)


def _run(command: Command, place: Path) -> None:
    """Run one command in the worktree, in our own group of processes: who kills the agent kills it too."""
    environment = clean_environment() | {"PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}
    try:
        child = subprocess.Popen(
            command,
            cwd=place,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except OSError as error:
        raise CommandFailed(f"{command[0]}: {error.strerror}") from None
    with child:
        try:
            printed, _ = child.communicate(timeout=_COMMAND_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            child.kill()
            raise CommandFailed(f"{command[0]}: not done after {_COMMAND_SECONDS_MAX} s") from None
        except BaseException:
            child.kill()
            raise
    if child.returncode:
        words = printed.decode(errors="replace").strip()[-_ERROR_CHARACTERS:]
        raise CommandFailed(f"{Path(command[0]).name} ended with {child.returncode}: {words}")


def _stop(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not interrupt the release of what is held
    raise KeyboardInterrupt


def _end_with_the_orchestrator() -> None:
    """Our stdin is a pipe that the orchestrator holds open: its end is the orchestrator's end."""
    while os.read(0, 1):  # not through `sys.stdin`: a thread that waits in there cannot be left behind at the exit
        pass
    os.kill(os.getpid(), signal.SIGTERM)
