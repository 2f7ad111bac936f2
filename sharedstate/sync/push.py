"""Push: show on the board what the fleet did, one item at a time. What cannot be done now waits; nothing sleeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from sharedstate.errors import SharedStateError
from sharedstate.store import Unreadable
from sharedstate.sync import policy
from sharedstate.sync.board import Conflict, Failed, Item, Parked, Written
from sharedstate.sync.cycle import Cycle
from sharedstate.sync.ends import (
    JOURNAL,
    LOST_RECORD,
    RETRY_MS_MAX,
    RETRY_MS_MIN,
    Ends,
    delay_ms,
    is_own_note,
    is_shown,
)
from sharedstate.sync.memory import Known, Waiting
from sharedstate.sync.merge import Agreement
from sharedstate.sync.model import RemoteRecord
from sharedstate.sync.pull import Pull
from sharedstate.sync.statuses import same
from sharedstate.tasks.model import CLAIMED
from sharedstate.tasks.service import TaskView

Answer = Written | Conflict | Parked | Failed
ROUNDS_MAX: Final = 2
LOOKS_MAX: Final = 3
NOBODY_WAITS: Final = Waiting(task="", not_before_ms=0)


class Push:
    """One push of one cycle: what was listed, what has changed here, what waited long enough."""

    def __init__(self, ends: Ends, cycle: Cycle, pull: Pull) -> None:
        self._ends = ends
        self._cycle = cycle
        self._pull = pull

    def run(self, fresh: dict[str, Item]) -> None:
        """Push every candidate; `fresh` are the items that the pull has just read."""
        waiting = {one.task: one for one in self._ends.memory.waiting()}
        due = {task for task, one in waiting.items() if one.not_before_ms <= self._cycle.now_ms}
        last, changed = self._changed()
        for task in sorted({*fresh, *due, *changed, *self._restless()}):
            if task in waiting and task not in due and task not in fresh:
                continue
            if self._cycle.is_stopping():
                return
            try:
                self._push(task, fresh.get(task), waiting.get(task, NOBODY_WAITS))
                self._cycle.went_well()
            except SharedStateError as error:
                self._cycle.failed_here(task, error)
                self._ends.park(self._cycle, task, RETRY_MS_MIN, "failed here")
        self._cycle.journal_read(last)

    # Candidates

    def _changed(self) -> tuple[int, set[str]]:
        """Tasks of which the journal says something new, and how far it was read: a bounded piece, then the next."""
        last, changed = self._cycle.status.journal_after, set[str]()
        for entry in self._ends.tasks.store.read(JOURNAL, after=last, limit=self._ends.rules.changes_max):
            last, task = entry.sequence, entry.value.get("task")
            if isinstance(task, str) and not is_own_note(entry):
                changed.add(task)
        return last, changed

    def _restless(self) -> Iterator[str]:
        """Live tasks of which time alone makes the board say something else: heartbeat, staleness, a silent rival."""
        for view in self._ends.tasks.list(status=CLAIMED):
            if isinstance(view, Unreadable):
                continue
            known = self._ends.memory.known(view.state.task)
            if known is None:
                yield view.state.task  # what was remembered is lost: a look brings it back
                continue
            if known.absent_ms:
                continue
            agreement = self._agreement(view, known.base.record, known)
            shows_other = agreement.ours and self._ends.labels(view, known.labels) != known.labels
            if shows_other or self._needs_write(agreement, known.base.record):
                yield view.state.task

    # One item

    def _push(self, task: str, item: Item | None, wait: Waiting) -> None:
        if wait.tries:
            self._cycle.retried()
        if self._ends.tasks.get(task) is None and not wait.look:
            self._ends.memory.unpark(task)
            return
        if self._cycle.parked_board:
            wait_ms = self._cycle.parked_board - self._cycle.now.at_ms
            self._ends.park(self._cycle, task, wait_ms, "rate limit", counts=False)
            return
        found = item if item is not None and item.updated_ms >= wait.seen_ms else self._find(task, wait)
        if found is not None:
            self._show_until_settled(task, found, wait)

    def _show_until_settled(self, task: str, item: Item, wait: Waiting) -> None:
        """Show the task; when the board has moved on, merge what it shows now and try once more."""
        answer: Conflict | Parked | Failed | None = Conflict(item=item)
        for _ in range(ROUNDS_MAX):
            view = self._ends.tasks.get(task)
            answer = None if view is None else self._show(view, item)
            if not isinstance(answer, Conflict) or not self._pull.absorb(answer.item):
                break
            item = answer.item
        if answer is None:
            self._ends.memory.unpark(task)
        else:
            self._ends.trouble(self._cycle, task, answer, tries=wait.tries, what="push")

    def _find(self, task: str, wait: Waiting) -> Item | None:
        """The item to write to: as last seen, or read afresh where that is unknown or in doubt."""
        known = self._ends.memory.known(task)
        if known is not None and not known.absent_ms and known.moving is None and not wait.look:
            return known.item(task)
        if known is not None and 0 <= self._cycle.now_ms - known.absent_ms < self._ends.rules.absent_ms:
            return None
        answer = self._ends.board.get(task)
        if isinstance(answer, Item):
            if answer.updated_ms >= wait.seen_ms and self._pull.absorb(answer):
                return answer
            self._ends.park(
                self._cycle,
                task,
                delay_ms(wait.tries, task=task, now_ms=self._cycle.now_ms),
                "a late answer",
                look=True,
            )
        elif isinstance(answer, Failed) and answer.kind == "gone" and wait.seen_ms and wait.tries < LOOKS_MAX:
            self._ends.park(self._cycle, task, RETRY_MS_MAX, "listed, but not to be found", look=True)
        elif isinstance(answer, Failed) and answer.kind == "gone":
            if known is not None and not known.absent_ms:
                self._cycle.gone(task)
            self._ends.miss(self._cycle, task)
        else:
            self._ends.trouble(self._cycle, task, answer, tries=wait.tries, what="look")
        return None

    def _show(self, view: TaskView, item: Item) -> Conflict | Parked | Failed | None:
        """Record, labels, card, in this order; None when the board shows what it shall."""
        known = self._ends.memory.known(item.task) or Known().after(item)
        agreement = self._agreement(view, item.record, known)
        if not agreement.ours:
            self._skip(view, agreement, known)
            ignore = item.labels | (self._ends.labels(view, item.labels) & {policy.IGNORE_LABEL})
            answer = self._label(item, ignore)
            return None if isinstance(answer, Item) else answer
        for step in (self._write, self._mark, self._move):
            answer = step(view, item, agreement)
            if not isinstance(answer, Item):
                return answer
            item = answer
        return None

    def _write(self, view: TaskView, item: Item, agreement: Agreement) -> Item | Conflict | Parked | Failed:
        wanted = agreement.record
        if self._needs_write(agreement, item.record):
            self._tell(item.task, agreement, winner=wanted, loser=item.record)
            answer = self._call(
                item, "record", lambda: self._ends.board.write(item, wanted), lambda now: is_shown(wanted, now)
            )
            if not isinstance(answer, Item):
                return answer
            item = item.replace(record=answer.record, handle=answer.handle, updated_ms=answer.updated_ms)
        self._remember(item, retries=view.state.retries)
        return item

    def _mark(self, view: TaskView, item: Item, agreement: Agreement) -> Item | Conflict | Parked | Failed:
        return self._label(item, self._ends.labels(view, item.labels))

    def _label(self, item: Item, labels: frozenset[str]) -> Item | Conflict | Parked | Failed:
        if labels == item.labels:
            return item
        ours = labels - {policy.IGNORE_LABEL}  # a person may have removed that one meanwhile
        answer = self._call(
            item,
            "labels",
            lambda: self._ends.board.label(item, labels),
            lambda now: ours == now.labels - {policy.IGNORE_LABEL},
        )
        if not isinstance(answer, Item):
            return answer
        card = item.card.replace(ignored=item.card.ignored or policy.IGNORE_LABEL in labels)
        item = item.replace(labels=labels, card=card, updated_ms=answer.updated_ms)
        self._remember(item)
        return item

    def _move(self, view: TaskView, item: Item, agreement: Agreement) -> Item | Conflict | Parked | Failed:
        """Only a change of mind of the fleet moves a card: where a person has put it since, it stays."""
        known = self._ends.memory.known(item.task) or Known()
        wish, shown = self._ends.wish(view), item.card.status
        if known.wanted == wish:
            return item
        silent = known.wanted is None and policy.is_unspoken(view.state)
        if shown is not None and not silent and not policy.is_as_good(shown, wish=wish):
            self._remember(item, moving=wish)  # before the move: a lost answer must not lead to a second one
            answer = self._call(
                item, "card", lambda: self._ends.board.move(item, wish), lambda now: same(now.card.status, wish)
            )
            if not isinstance(answer, Item):
                in_doubt = isinstance(answer, Failed) and answer.applied
                self._remember(item, moving=wish if in_doubt else None)
                return answer
            item = item.replace(card=item.card.replace(status=wish), updated_ms=answer.updated_ms)
        self._remember(item, wanted=wish, moving=None)
        return item

    # Parts of it

    def _call(
        self, item: Item, what: str, call: Callable[[], Answer], holds: Callable[[Item], bool]
    ) -> Item | Conflict | Parked | Failed:
        """Do one write and verify it; what the board shows then. A dry run only counts it.

        A conflict with what we ourselves wrote before a crash, or before an answer was lost, is none.
        """
        if self._cycle.dry_run:
            self._cycle.pushed(item.task, what)
            return item
        answer = call()
        if isinstance(answer, Conflict) and not holds(answer.item):
            self._cycle.conflict(item.task)
        if not isinstance(answer, Written):
            return answer
        self._cycle.pushed(item.task, what)
        if not holds(answer.item):
            return Failed(kind="transient", detail=f"the {what} read back is not what was written", applied=True)
        return answer.item

    def _agreement(self, view: TaskView, shown: RemoteRecord | None, known: Known) -> Agreement:
        return self._ends.agreement(view, shown, known, now_ms=self._cycle.now_ms)

    def _needs_write(self, agreement: Agreement, shown: RemoteRecord | None) -> bool:
        window_ms = self._ends.rules.heartbeat_window_ms
        return agreement.ours and policy.needs_write(shown, agreement.record, window_ms=window_ms)

    def _skip(self, view: TaskView, agreement: Agreement, known: Known) -> None:
        """Another ledger's fresher attempt is on the board: ours is not published over it. Said once per such pair."""
        mine = self._ends.record(view)
        if mine.owner is None or not self._tell(view.state.task, agreement, winner=agreement.record, loser=mine):
            return
        if agreement.record.status == CLAIMED:
            self._cycle.conflict(view.state.task)

    def _tell(self, task: str, agreement: Agreement, *, winner: RemoteRecord, loser: RemoteRecord | None) -> bool:
        known = self._ends.memory.known(task)
        if loser is None or known is None or not agreement.losers:
            return False
        told = f"{winner.owner}@{winner.fence} over {loser.owner}@{loser.fence}"
        if known.told == told:
            return False
        if not self._cycle.dry_run:
            facts = {"owner": loser.owner, "winner": winner.owner, "fence": winner.fence}
            self._ends.tell(task, LOST_RECORD, agreement.losers, **facts)
            self._ends.memory.remember(task, known.replace(told=told))
        return True

    def _remember(self, item: Item, **facts: Any) -> None:
        known = self._ends.memory.known(item.task) or Known()
        self._ends.memory.remember(item.task, known.after(item).replace(**facts))
