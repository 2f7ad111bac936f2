"""The bookkeeping of one sync cycle: counted as it goes, turned into a report and into the engine's next status."""

from __future__ import annotations

from typing import Final

from sharedstate.clock import iso_of_ms
from sharedstate.store import Document
from sharedstate.sync.board import Distrust, Listing, Parked
from sharedstate.sync.memory import ERRORS_MAX, SyncStatus
from sharedstate.sync.report import SyncReport

BACKOFF_AFTER: Final = 5
BACKOFF_MS: Final = 60_000
BACKOFF_MS_MAX: Final = 3_600_000
ERROR_CHARACTERS_MAX: Final = 500


class Cycle:
    """One cycle under way. Everything that counts is told to it; nothing is written here."""

    def __init__(self, *, now_ms: int, status: SyncStatus, dry_run: bool) -> None:
        self.now_ms = now_ms
        self.status = status
        self.dry_run = dry_run
        self.parked_board = 0
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

    def failed(self, task: str, detail: str) -> None:
        """Something failed; the cycle goes on with the rest."""
        self._errors.append({"at": iso_of_ms(self.now_ms), "task": task, "detail": detail[:ERROR_CHARACTERS_MAX]})
        self._count("failures")

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
        """The engine's status after this cycle.

        After five failed cycles in a row each further one makes the next wait longer, up to an hour; the first clean
        one restores the pace.
        """
        clean = not self._errors and not self.parked_board
        failed_in_row = 0 if clean else self.status.failed_in_row + bool(self._errors)
        pause_ms = _pause_ms(failed_in_row)
        counters = dict(self.status.counters)
        for name, count in self._counts.items():
            counters[name] = counters.get(name, 0) + count
        return self.status.replace(
            cursor=self._cursor,
            journal_after=self._journal_after,
            full_ms=self._full_ms,
            resume_ms=max(self.parked_board, pause_ms and self.now_ms + pause_ms),
            failed_in_row=failed_in_row,
            cycles=self.status.cycles + 1,
            last_ms=self.now_ms,
            last_clean_ms=self.now_ms if clean else self.status.last_clean_ms,
            counters=counters,
            errors=(*self.status.errors, *self._errors)[-ERRORS_MAX:],
        )

    def report(self, *, board: str, skipped_until_ms: int = 0) -> SyncReport:
        """What happened, for people."""
        return SyncReport(
            board=board,
            dry_run=self.dry_run,
            pulled=tuple(self._pulled),
            actions=self._actions,
            pushed=self._pushed,
            conflicts=tuple(self._conflicts),
            errors=tuple(self._errors),
            gone=tuple(self._gone),
            distrusted=tuple(self._distrusted),
            skipped_until_ms=skipped_until_ms,
            parked_until_ms=max(self.parked_board, self._paced_ms),
        )

    def _count(self, name: str) -> None:
        self._counts[name] = self._counts.get(name, 0) + 1


def _pause_ms(failed_in_row: int) -> int:
    over = failed_in_row - BACKOFF_AFTER
    return 0 if over < 0 else min(BACKOFF_MS << min(over, 10), BACKOFF_MS_MAX)
