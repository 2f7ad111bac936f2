"""The sync engine: pull what people changed on the board, push what the fleet did, verify by reading back.

It never sleeps: what cannot be done now is parked with a not-before time, in a queue that survives a crash. A failing
list changes nothing, a partial one cancels nothing, one bad item does not stop the rest.
"""

from __future__ import annotations

from collections.abc import Callable

from sharedstate.errors import SharedStateError
from sharedstate.store import Store
from sharedstate.sync.board import Board
from sharedstate.sync.cycle import MEMORY, Cycle
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

    def sync(self, *, dry_run: bool = False, stop: Callable[[], bool] = lambda: False) -> SyncReport:
        """One cycle: pull, merge, push, verify. With `dry_run` the board is read and nothing is written anywhere.

        `stop` is asked before each item; once it says yes the cycle ends, and the next one begins where this one began.
        Raises no fault of the board or a store: all of them are in the report. A store that fails altogether (`broken`)
        ends the cycle in the same way.
        """
        memory = self._memory.frozen() if dry_run else self._memory
        try:
            status = memory.status()
        except SharedStateError as error:
            cycle = Cycle(now=memory.now(), status=SyncStatus(), dry_run=dry_run)
            cycle.broken(error)
            return cycle.report(board=self._board.name, waiting=0)
        cycle = Cycle(now=memory.now(), status=status, dry_run=dry_run, stop=stop)
        pause_ms = status.pause_ms(cycle.now)
        if pause_ms:
            return cycle.report(
                board=self._board.name, waiting=self._waiting_count(), skipped_until_ms=cycle.now.at_ms + pause_ms
            )
        try:
            self._turn(cycle, memory)
        except SharedStateError as error:
            cycle.broken(error)
        return self._finished(cycle, memory)

    def _turn(self, cycle: Cycle, memory: Memory) -> None:
        if cycle.status.damage:
            cycle.failed(MEMORY, cycle.status.damage)
        cycle.now_ms = self._tasks.store.now().at_ms
        ends = Ends(tasks=self._tasks, board=self._board, memory=memory, rules=self._rules)
        pull = Pull(ends, cycle)
        fresh = pull.run()
        if fresh is not None:
            Push(ends, cycle, pull).run(fresh)

    def _finished(self, cycle: Cycle, memory: Memory) -> SyncReport:
        try:
            memory.keep_status(cycle.finished())
        except SharedStateError as error:
            cycle.broken(error)
        return cycle.report(board=self._board.name, waiting=self._waiting_count())

    def _waiting_count(self) -> int:
        try:
            return len(self.waiting())
        except SharedStateError:
            return 0  # the store that fails is in the report already, or will be in the next

    def status(self) -> SyncStatus:
        """Where syncing stands: counters, the last errors, when it resumes. Raises what the local store raises."""
        return self._memory.status()

    def waiting(self) -> tuple[Waiting, ...]:
        """What waits to be pushed or read again, soonest first."""
        return tuple(sorted(self._memory.waiting(), key=lambda one: (one.not_before_ms, one.task)))


__all__ = ["Engine", "SyncRules"]
