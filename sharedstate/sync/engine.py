"""The sync engine: pull what people changed on the board, push what the fleet did, verify by reading back.

It never sleeps: what cannot be done now is parked with a not-before time, in a queue that survives a crash. A failing
list changes nothing, a partial one cancels nothing, one bad item does not stop the rest.
"""

from __future__ import annotations

from sharedstate.store import Store
from sharedstate.sync.board import Board
from sharedstate.sync.cycle import Cycle
from sharedstate.sync.ends import Ends, SyncRules
from sharedstate.sync.memory import Memory, SyncStatus, Waiting
from sharedstate.sync.pull import Pull
from sharedstate.sync.push import Push
from sharedstate.sync.report import SyncReport
from sharedstate.tasks.service import Tasks


class Engine:
    """Mirrors one store to one board. One at a time per machine: the command holds a lock around it.

    Any number of engines may share a board; they come to rest once their fleets do.
    """

    def __init__(self, *, tasks: Tasks, board: Board, local: Store, rules: SyncRules) -> None:
        self._tasks = tasks
        self._board = board
        self._rules = rules
        self._memory = Memory(local, board=board.name)

    def sync(self, *, dry_run: bool = False) -> SyncReport:
        """One cycle: pull, merge, push, verify. With `dry_run` the board is read and nothing is written anywhere.

        Raises what the machine-local store raises when its own state is unreadable; everything else is in the report.
        """
        now_ms = self._tasks.store.now().at_ms
        before = self._memory.status()
        cycle = Cycle(now_ms=now_ms, status=before, dry_run=dry_run)
        if now_ms < before.resume_ms:
            return cycle.report(board=self._board.name, skipped_until_ms=before.resume_ms)
        memory = self._memory.frozen() if dry_run else self._memory
        ends = Ends(tasks=self._tasks, board=self._board, memory=memory, rules=self._rules)
        pull = Pull(ends, cycle)
        fresh = pull.run()
        if fresh is not None:
            Push(ends, cycle, pull).run(fresh)
        if not dry_run:
            self._memory.keep_status(cycle.finished())
        return cycle.report(board=self._board.name)

    def status(self) -> SyncStatus:
        """Where syncing stands: counters, the last errors, when it resumes."""
        return self._memory.status()

    def waiting(self) -> tuple[Waiting, ...]:
        """What waits to be pushed or read again, soonest first."""
        return tuple(sorted(self._memory.waiting(), key=lambda one: (one.not_before_ms, one.task)))


__all__ = ["Engine", "SyncRules"]
