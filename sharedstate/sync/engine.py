"""The sync engine: pull what people changed on the board, push what the fleet did, verify by reading back.

It never sleeps: what cannot be done now is parked with a not-before time, in a queue that survives a crash. A failing
list changes nothing, a partial one cancels nothing, one bad item does not stop the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from sharedstate import logs
from sharedstate.errors import SharedStateError
from sharedstate.events import event
from sharedstate.store import Store, Unreadable
from sharedstate.sync import policy
from sharedstate.sync.board import Board, Conflict, Failed, Item, Listing, Parked, Written
from sharedstate.sync.ledger import Cycle
from sharedstate.sync.memory import Known, Memory, SyncStatus
from sharedstate.sync.merge import is_fresher, merge
from sharedstate.sync.model import BOARD_PRIMARY, Loser, RemoteRecord, Side
from sharedstate.sync.report import SyncReport
from sharedstate.sync.statuses import same
from sharedstate.tasks.model import ABANDONED, COMPLETE
from sharedstate.tasks.service import Tasks, TaskView
from sharedstate.values import Value

Answer = Written | Conflict | Parked | Failed
JOURNAL: Final = "events"
RETRY_MS_MIN: Final = 5_000
RETRY_MS_MAX: Final = 3_600_000
HOPELESS_RETRY_MS: Final = 3_600_000
BACKOFF_AFTER: Final = 5
BACKOFF_MS: Final = 60_000


class SyncRules(Value):
    """How to sync: the policy, how many retries a task has, how often a mere heartbeat is worth an edit (ms)."""

    policy: str = BOARD_PRIMARY
    retries_max: int = 3
    heartbeat_window_ms: int = 600_000


class Engine:
    """Mirrors one store to one board. One at a time per machine: the command holds a lock around it."""

    def __init__(self, *, tasks: Tasks, board: Board, local: Store, rules: SyncRules) -> None:
        self._tasks = tasks
        self._board = board
        self._rules = rules
        self._memory = Memory(local, board=board.name)

    def sync(self, *, dry_run: bool = False) -> SyncReport:
        """One cycle: pull, merge, push, verify. With `dry_run` the board is read and nothing is written anywhere."""
        now_ms = self._tasks.store.now().at_ms
        before = self._memory.status()
        cycle = Cycle(now_ms=now_ms, status=before, dry_run=dry_run)
        if now_ms < before.resume_ms:
            return cycle.report(board=self._board.name, skipped_until_ms=before.resume_ms)
        fresh = self._pull(cycle)
        if fresh is not None:
            self._push(cycle, fresh)
        if not dry_run:
            self._memory.keep_status(_settled(cycle.finished()))
        return cycle.report(board=self._board.name)

    def status(self) -> SyncStatus:
        """Where syncing stands: counters, the last errors, when it resumes."""
        return self._memory.status()

    # Pull

    def _pull(self, cycle: Cycle) -> dict[str, Item] | None:
        """Bring the board's changes home; the items seen, or None when the board could not be listed."""
        listing = self._board.list(cursor=cycle.status.cursor)
        if isinstance(listing, Parked):
            cycle.rate_limited(listing)
            return None
        if isinstance(listing, Failed):
            cycle.failed("(list)", f"{listing.kind}: {listing.detail}")
            return None
        fresh: dict[str, Item] = {}
        for item in listing.items:
            try:
                self._absorb(cycle, item)
            except SharedStateError as error:
                cycle.failed(item.task, str(error))
                self._park(cycle, item.task, RETRY_MS_MIN, "not absorbed")
                continue
            fresh[item.task] = item
        self._report_gone(cycle, listing)
        if not cycle.dry_run:
            cycle.listed(listing)
        return fresh

    def _absorb(self, cycle: Cycle, item: Item) -> None:
        """Merge one item with what the fleet knows; carry a person's change out; remember what the board shows."""
        known = self._memory.known(item.task) or Known()
        view = self._tasks.get(item.task)
        theirs = Side(record=item.record, card=item.card)
        mine = self._mine(view, known.base)
        merged = merge(base=known.base, mine=mine, theirs=theirs, policy=self._rules.policy)
        state = None if view is None else view.state
        actions = policy.decide_actions(base=known.base.card, merged=merged.side.card, state=state)
        cycle.pulled(item.task, [action.kind for action in actions])
        if cycle.dry_run:
            return
        self._journal_losers(item.task, merged.losers)
        for action in actions:
            self._carry_out(item.task, action)
        self._memory.remember(item.task, _seen(known, item))

    def _carry_out(self, task: str, action: policy.Action) -> None:
        by = f"board {self._board.name}"
        if action.kind == policy.IGNORE:
            self._tasks.ignore(task, reason=action.reason, by=by)
        elif action.kind == policy.UNIGNORE:
            self._tasks.unignore(task, by=by)
        elif action.kind == policy.COMPLETE_IT:
            self._tasks.override(task, status=COMPLETE, by=by, reason=action.reason)
        elif action.kind == policy.REOPEN:
            self._tasks.unignore(task, by=by)
            self._tasks.reopen(task, by=by)
        else:
            self._tasks.override(task, status=ABANDONED, by=by, reason=action.reason)
            self._tasks.ignore(task, reason=action.reason, by=by)
        logs.info("%s of %r: %s", action.kind, task, action.reason)

    def _report_gone(self, cycle: Cycle, listing: Listing) -> None:
        """A deleted issue is reported, never destroyed; only a complete listing may say so."""
        for task in listing.gone if listing.complete else ():
            cycle.gone(task)
        for distrust in listing.distrusted:
            cycle.distrusted(distrust)

    # Push

    def _push(self, cycle: Cycle, fresh: dict[str, Item]) -> None:
        waiting = {one.task: one for one in self._memory.waiting()}
        due = [task for task, one in waiting.items() if one.not_before_ms <= cycle.now_ms]
        last, changed = self._changed_since(cycle.status.journal_after)
        for task in sorted({*fresh, *due, *changed, *self._restless(cycle)}):
            if cycle.parked_board:
                self._park(cycle, task, cycle.parked_board - cycle.now_ms, "rate limit")
                continue
            try:
                self._push_one(cycle, task, fresh.get(task), tries=waiting[task].tries if task in waiting else 0)
            except SharedStateError as error:
                cycle.failed(task, str(error))
                self._park(cycle, task, RETRY_MS_MIN, "failed here")
        cycle.journal_read(last)

    def _changed_since(self, after: int) -> tuple[int, set[str]]:
        """Tasks of which the journal says something new, and how far it was read."""
        changed: set[str] = set()
        for entry in self._tasks.store.read(JOURNAL, after=after):
            after = entry.sequence
            task = entry.value.get("task")
            if isinstance(task, str):
                changed.add(task)
        return after, changed

    def _restless(self, cycle: Cycle) -> Iterable[str]:
        """Live tasks whose last publication is older than the heartbeat window."""
        for view in self._tasks.list(status="claimed"):
            if isinstance(view, Unreadable):
                continue
            known = self._memory.known(view.state.task)
            shown = None if known is None else known.base.record
            wanted = self._record(view)
            window_ms = self._rules.heartbeat_window_ms
            if shown is not None and policy.needs_write(shown, wanted, now_ms=cycle.now_ms, window_ms=window_ms):
                yield view.state.task

    def _push_one(self, cycle: Cycle, task: str, item: Item | None, *, tries: int) -> None:
        view = self._tasks.get(task)
        if view is None:
            self._memory.unpark(task)
            return
        found = item or self._find(cycle, task, tries)
        if found is None:
            return
        known = self._memory.known(task) or Known()
        wanted = self._record(view)
        if found.record is not None and is_fresher(found.record, wanted):
            self._skip(cycle, found, wanted.owner)
            return
        written = self._write(cycle, view, found, known, tries)
        if written is not None and not cycle.dry_run:
            item_now, wanted_status = written
            self._memory.remember(task, _seen(known, item_now).replace(wanted=wanted_status))
            self._memory.unpark(task)

    def _write(
        self, cycle: Cycle, view: TaskView, item: Item, known: Known, tries: int
    ) -> tuple[Item, str | None] | None:
        """Record, labels, card, in this order; None when something has to wait (and is parked)."""
        wanted = self._record(view)
        if policy.needs_write(item.record, wanted, now_ms=cycle.now_ms, window_ms=self._rules.heartbeat_window_ms):
            after = self._settle(cycle, item, lambda: self._board.write(item, wanted), tries, "record")
            if after is None:
                return None
            if not cycle.dry_run and (
                after.record is None or after.record != wanted.replace(revision=after.record.revision)
            ):
                cycle.failed(item.task, "the record read back is not the one written")
                self._park(cycle, item.task, _delay_ms(tries), "not verified")
                return None
            item = after
        labels = policy.labels_of(view.state, stale=view.stale)
        if labels != item.labels:
            after = self._settle(cycle, item, lambda: self._board.label(item, labels), tries, "labels")
            if after is None:
                return None
            item = after
        wants = policy.card_of(view.state, retries_max=self._rules.retries_max, shown=item.card).status
        # Only a change of mind of the fleet moves a card: where a person put it since, it stays.
        if wants is not None and not same(wants, known.wanted) and not same(wants, item.card.status):
            status = wants
            after = self._settle(cycle, item, lambda: self._board.move(item, status), tries, "card")
            if after is None:
                return None
            item = after
        return item, wants

    def _find(self, cycle: Cycle, task: str, tries: int) -> Item | None:
        known = self._memory.known(task)
        if known is not None:
            return known.item(task)
        answer = self._board.get(task)
        if isinstance(answer, Item):
            self._absorb(cycle, answer)
            return answer
        if isinstance(answer, Failed) and answer.kind == "gone":
            self._memory.unpark(task)  # not on this board: nothing to mirror
            return None
        self._handle(cycle, task, answer, tries, "look")
        return None

    def _skip(self, cycle: Cycle, item: Item, owner: str | None) -> None:
        """Somebody else's fresher attempt is on the board: ours is not published over it."""
        assert item.record is not None
        cycle.conflict(item.task)
        if cycle.dry_run:
            return
        fact = {"reason": "fresher_on_board", "owner": owner, "winner": item.record.owner, "fence": item.record.fence}
        self._tasks.store.append(JOURNAL, event("conflict", task=item.task, **fact))
        self._memory.unpark(item.task)

    # Results

    def _settle(self, cycle: Cycle, item: Item, call: Callable[[], Answer], tries: int, what: str) -> Item | None:
        """Do one write; the item as it is now, or None when it must wait."""
        cycle.pushed(item.task, what)
        if cycle.dry_run:
            return item
        answer = call()
        if isinstance(answer, Written):
            return answer.item
        self._handle(cycle, item.task, answer, tries, what)
        return None

    def _handle(self, cycle: Cycle, task: str, answer: Answer | Item, tries: int, what: str) -> None:
        if isinstance(answer, Parked):
            cycle.rate_limited(answer)
            self._park(cycle, task, answer.until_ms - cycle.now_ms, answer.reason)
        elif isinstance(answer, Conflict):
            cycle.conflict(task)
            self._absorb(cycle, answer.item)
            self._park(cycle, task, _delay_ms(tries), "the board has moved on")
        elif isinstance(answer, Failed):
            cycle.failed(task, f"{what}: {answer.kind}: {answer.detail}")
            hopeless = answer.kind in ("forbidden", "gone", "moved", "locked")
            self._park(cycle, task, HOPELESS_RETRY_MS if hopeless else _delay_ms(tries), answer.kind)

    def _park(self, cycle: Cycle, task: str, delay_ms: int, reason: str) -> None:
        if not cycle.dry_run:
            self._memory.park(task, not_before_ms=cycle.now_ms + max(0, delay_ms), reason=reason)

    def _journal_losers(self, task: str, losers: Iterable[Loser]) -> None:
        for lost in losers:
            fact = {"reason": f"{lost.side}_{lost.field}", "detail": {"lost": lost.value, "won": lost.winner}}
            self._tasks.store.append(JOURNAL, event("conflict", task=task, **fact))

    def _record(self, view: TaskView) -> RemoteRecord:
        seen_ms = None if view.beat is None else view.beat.seen.at_ms
        return policy.record_of(view.state, heartbeat_ms=seen_ms, retries_max=self._rules.retries_max)

    def _mine(self, view: TaskView | None, base: Side) -> Side:
        if view is None:
            return base.replace(record=None)
        card = policy.card_of(view.state, retries_max=self._rules.retries_max, shown=base.card)
        return Side(record=self._record(view), card=card)


def _seen(known: Known, item: Item) -> Known:
    return known.replace(
        base=Side(record=item.record, card=item.card),
        title=item.title,
        url=item.url,
        handle=item.handle,
        labels=item.labels,
    )


def _delay_ms(tries: int) -> int:
    """Doubling from 5 s to one hour; no jitter: engines are few, and their items differ in time already."""
    return min(RETRY_MS_MIN << min(tries, 12), RETRY_MS_MAX)


def _settled(status: SyncStatus) -> SyncStatus:
    """After five failed cycles in a row each further one waits longer, up to an hour; the first clean one restores."""
    over = status.failed_in_row - BACKOFF_AFTER
    if over < 0:
        return status
    pause_ms = min(BACKOFF_MS * 2 ** min(over, 10), RETRY_MS_MAX)
    return status.replace(resume_ms=max(status.resume_ms, status.last_ms + pause_ms))
