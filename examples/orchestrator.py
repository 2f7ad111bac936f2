"""An orchestrator in one process: threads take the next task that can be had, until none is left.

    python examples/orchestrator.py [TASK …]

Every thread is an owner of its own. A task that fails is tried again by whoever is free, at most `MAX_RETRIES` times.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from sharedstate import Claimed, SharedState

WORKERS = 4
OVER = ("task_ignored", "task_already_complete", "max_retries_exceeded")


def handle(task: str, attempt: int) -> None:
    """The work itself; this one fails at its first attempt if the task's name says so."""
    if "flaky" in task and attempt == 1:
        raise RuntimeError("the first attempt of a flaky task")


def worker(state: SharedState, owner: str, tasks: Sequence[str]) -> list[str]:
    """Take tasks until each is complete, ignored or out of retries; returns what was done."""
    done: list[str] = []
    while True:
        answer = state.claims.claim_next(tasks, owner=owner, bind=True)
        if not isinstance(answer, Claimed):
            if all(refused.reason in OVER for refused in answer.refused):
                return done
            state.store.watch("events", after=last_event(state), timeout_s=0.2)  # somebody has the rest: wait for news
            continue
        try:
            with state.claims.hold(answer.task, owner=owner):
                handle(answer.task, answer.attempts)
                done.append(f"{answer.task} (attempt {answer.attempts})")
        except RuntimeError as error:
            print(f"{owner}: {answer.task} failed: {error}")


def last_event(state: SharedState) -> int:
    """The sequence of the newest entry of the journal."""
    return max((entry.sequence for entry in state.events()), default=0)


def main() -> None:
    """Run the workers and print what each has done."""
    tasks = sys.argv[1:] or [f"page-{number}" for number in range(1, 9)] + ["flaky-1", "flaky-2"]
    with SharedState.open() as state, ThreadPoolExecutor(WORKERS) as pool:
        owners = [f"worker-{number}" for number in range(1, WORKERS + 1)]
        for owner, done in zip(owners, pool.map(lambda owner: worker(state, owner, tasks), owners), strict=True):
            print(f"{owner}: {', '.join(done) or 'nothing left to do'}")
        counts = state.tasks.statistics()
        print(f"{counts.by_status.get('complete', 0)} complete, {counts.attempts} attempts, {counts.retries} retries")


if __name__ == "__main__":
    main()
