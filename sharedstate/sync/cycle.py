"""The bookkeeping of one sync cycle: counted as it goes, turned into a report and into the engine's next status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sharedstate.clock import Instant, iso_of_ms
from sharedstate.errors import SharedStateError, StoreUnavailable
from sharedstate.store import Document
from sharedstate.sync.board import Distrust, Failed, Fault, Listing, Parked
from sharedstate.sync.memory import ERRORS_MAX, SyncStatus
from sharedstate.sync.report import SyncReport

BACKOFF_AFTER: Final = 5
BACKOFF_MS: Final = 60_000
BACKOFF_MS_MAX: Final = 3_600_000
ERROR_CHARACTERS_MAX: Final = 500
STORE_FAILURES_MAX: Final = 3
# What an error is about that is about no task, as people read it in the status.
LIST: Final = "(list)"
STORE: Final = "(store)"
MEMORY: Final = "(memory)"


class Cycle:
    """One cycle under way. Everything that counts is told to it; nothing is written here.

    `stop` is asked between items. `now` is this machine's own clock, by which it pauses and by which a board names
    moments; `now_ms`, in a cycle that got so far, that of the shared store. They may differ by any amount.
    """

    def __init__(
        self, *, now: Instant, status: SyncStatus, dry_run: bool, stop: Callable[[], bool] = lambda: False
    ) -> None:
        self.now = now
        self.now_ms = now.at_ms
        self.status = status
        self.dry_run = dry_run
        self.parked_board = 0
        self._stop = stop
        self._stopped = False
        self._unlisted: Failed | None = None
        self._broken: SharedStateError | None = None
        self._store_failures = 0
        self._paced_ms = 0
        self._counts: dict[str, int] = {}
        self._errors: list[Document] = []
        self._pulled: list[str] = []
        self._actions: dict[str, list[str]] = {}
        self._pushed: dict[str, list[str]] = {}
        self._conflicts: list[str] = []
        self._gone: list[str] = []
        self._distrusted: list[Distrust] = []
        self._cursor = status.cursor
        self._full_ms = status.full_ms
        self._journal_after = status.journal_after

    def pulled(self, task: str, actions: list[str]) -> None:
        """An item of the board was looked at; `actions` is what the fleet does about it."""
        self._pulled.append(task)
        self._count("pulled")
        if actions:
            self._actions[task] = actions

    def pushed(self, task: str, part: str) -> None:
        """A part of an item (record, labels, card) was written."""
        self._pushed.setdefault(task, []).append(part)
        self._count("pushed")

    def conflict(self, task: str) -> None:
        """A push was skipped, or the board had moved on."""
        self._conflicts.append(task)
        self._count("conflicts")

    def failed(self, task: str, detail: str, *, kind: Fault | None = None) -> None:
        """Something failed, on the board if of a `kind`; the cycle goes on with the rest."""
        error = {"at": iso_of_ms(self.now_ms), "task": task, "detail": detail[:ERROR_CHARACTERS_MAX]}
        self._errors.append(error if kind is None else {**error, "kind": kind})
        self._count("failures")

    def failed_here(self, task: str, error: SharedStateError) -> None:
        """One task failed on this side. Where it is the third in a row whose store is away, that is raised again."""
        self._store_failures = self._store_failures + 1 if isinstance(error, StoreUnavailable) else 0
        if self._store_failures >= STORE_FAILURES_MAX:
            raise error
        self.failed(task, str(error))

    def went_well(self) -> None:
        """One task was done: the stores answer."""
        self._store_failures = 0

    def unlisted(self, answer: Failed) -> None:
        """The board could not be listed."""
        self._unlisted = answer
        self.failed(LIST, f"{answer.kind}: {answer.detail}", kind=answer.kind)

    def broken(self, error: SharedStateError) -> None:
        """A store on this side failed, and with it the cycle."""
        self._broken = error
        self.failed(STORE, str(error))

    def is_stopping(self) -> bool:
        """Whether the cycle shall end here, before the next item."""
        self._stopped = self._stopped or self._stop()
        return self._stopped

    def rate_limited(self, parked: Parked) -> None:
        """The board asked us to wait: nothing more is sent in this cycle."""
        self.parked_board = max(self.parked_board, parked.until_ms)
        self._count("rate_limited")

    def paced(self, parked: Parked) -> None:
        """One item has to wait for its turn; the others go on. Counted once in a cycle, as a pace is no alarm."""
        if not self._paced_ms:
            self._count("rate_limited")
        self._paced_ms = min(self._paced_ms or parked.until_ms, parked.until_ms)

    def retried(self) -> None:
        """Something that had failed or waited is tried again."""
        self._count("retries")

    def late(self) -> None:
        """An item was older than what is known of it already: left alone."""
        self._count("late")

    def gone(self, task: str) -> None:
        """The board does not have the task any more."""
        self._gone.append(task)
        self._count("gone")

    def distrusted(self, distrust: Distrust) -> None:
        """A state record on the board does not count."""
        self._distrusted.append(distrust)
        self._count("distrusted")

    def listed(self, listing: Listing, *, looked: bool) -> None:
        """The listing is absorbed: the next one starts after it, unless pages of it are missing.

        `looked`: what a full one did not show has been asked for.
        """
        if not listing.complete:
            return
        self._cursor = listing.cursor
        if listing.full and looked:
            self._full_ms = self.now_ms

    def journal_read(self, sequence: int) -> None:
        """Everything up to this journal entry is pushed or parked."""
        self._journal_after = sequence

    def finished(self) -> SyncStatus:
        """The engine's status after this cycle. One that was cut off leaves the next one to begin where it began.

        After five failed cycles in a row each further one makes the next wait longer, up to an hour; the first clean
        one restores the pace.
        """
        is_whole = self._broken is None and not self._stopped
        clean = is_whole and not self._errors and not self.parked_board
        failed_in_row = 0 if clean else self.status.failed_in_row + bool(self._errors)
        pause_ms = _pause_ms(failed_in_row)
        resume_ms = max(self.parked_board, pause_ms and self.now.at_ms + pause_ms)
        counters = dict(self.status.counters)
        for name, count in self._counts.items():
            counters[name] = counters.get(name, 0) + count
        place: dict[str, Any] = {"cursor": self._cursor, "journal_after": self._journal_after, "full_ms": self._full_ms}
        return self.status.replace(
            **(place if is_whole else {}),
            damage="",
            resume_ms=resume_ms,
            resume_from=self.now if resume_ms else None,
            failed_in_row=failed_in_row,
            cycles=self.status.cycles + 1,
            last_ms=self.now_ms,
            last_clean_ms=self.now_ms if clean else self.status.last_clean_ms,
            counters=counters,
            errors=(*self.status.errors, *self._errors)[-ERRORS_MAX:],
        )

    def report(self, *, board: str, waiting: int, skipped_until_ms: int = 0) -> SyncReport:
        """What happened, for people."""
        return SyncReport(
            board=board,
            dry_run=self.dry_run,
            pulled=tuple(self._pulled),
            actions=self._actions,
            pushed=self._pushed,
            conflicts=tuple(self._conflicts),
            errors=tuple(error for error in self._errors if error["task"] not in (LIST, STORE)),
            gone=tuple(self._gone),
            distrusted=tuple(self._distrusted),
            skipped_until_ms=skipped_until_ms,
            parked_until_ms=max(self.parked_board, self._paced_ms),
            unlisted=self._unlisted,
            broken=self._broken,
            stopped=self._stopped,
            waiting=waiting,
        )

    def _count(self, name: str) -> None:
        self._counts[name] = self._counts.get(name, 0) + 1


def _pause_ms(failed_in_row: int) -> int:
    over = failed_in_row - BACKOFF_AFTER
    return 0 if over < 0 else min(BACKOFF_MS << min(over, 10), BACKOFF_MS_MAX)
