"""Pull: bring home what people changed on the board. A failing list changes nothing, a partial one cancels nothing."""

from __future__ import annotations

from typing import Final

from sharedstate import logs
from sharedstate.errors import SharedStateError
from sharedstate.sync import policy
from sharedstate.sync.board import Failed, Item, Listing, Parked
from sharedstate.sync.cycle import Cycle
from sharedstate.sync.ends import LOST_CARD, RETRY_MS_MIN, Ends
from sharedstate.sync.memory import Known
from sharedstate.sync.merge import merge_cards
from sharedstate.sync.model import BOARD_PRIMARY
from sharedstate.sync.statuses import same
from sharedstate.tasks.model import ABANDONED, COMPLETE
from sharedstate.tasks.service import TaskView

MISSING_MAX: Final = 50


class Pull:
    """One pull of one cycle."""

    def __init__(self, ends: Ends, cycle: Cycle) -> None:
        self._ends = ends
        self._cycle = cycle

    def run(self) -> dict[str, Item] | None:
        """The items that are new or changed, absorbed; None when the board could not be listed, or all shall stop."""
        listing = self._ends.board.list(cursor=self._cursor())
        if isinstance(listing, Parked):
            self._cycle.rate_limited(listing)
            return None
        if isinstance(listing, Failed):
            self._cycle.unlisted(listing)
            return None
        fresh: dict[str, Item] = {}
        for item in listing.items:
            if self._cycle.is_stopping():
                return None
            if self._try_absorb(item):
                fresh[item.task] = item
        for distrust in listing.distrusted:
            self._cycle.distrusted(distrust)
        looked = not listing.complete or self._look_for_missing(listing)
        self._cycle.listed(listing, looked=looked)
        return fresh

    def absorb(self, item: Item) -> bool:
        """Carry a person's change out, and remember what the board shows; False when the item is a late answer.

        Done again it changes nothing: what a crash cuts off, the next listing repeats.
        """
        ends, cycle = self._ends, self._cycle
        view = ends.tasks.get(item.task)
        known = ends.memory.known(item.task) or ends.recalled(item, view)
        before = known or Known()
        if _is_late(item, before):
            cycle.late()
            return False
        wish = None if view is None else ends.wish(view)
        state = None if view is None else view.state
        base = before.base.card
        mine = policy.card_of(state, base=base, wanted=before.wanted, wish=wish)
        card, losers = merge_cards(base=base, mine=mine, theirs=item.card, policy=ends.rules.policy)
        losers = (*losers, *policy.held_back(base, item.card, wish=wish))
        actions = policy.decide_actions(base=base, merged=card, state=state)
        cycle.pulled(item.task, [action.kind for action in actions])
        if cycle.dry_run:
            return True
        if known is not None:  # at the first look nothing was agreed that could be lost
            ends.tell(item.task, LOST_CARD, losers)
        for action in actions:
            self._carry_out(item.task, action, view)
        after = before.after(item)
        board_wins = ends.rules.policy == BOARD_PRIMARY or same(card.status, item.card.status)
        if known is not None and board_wins and _stays(before, item):
            after = after.replace(wanted=self._wish_now(item.task), moving=None)
        ends.memory.remember(item.task, after)
        return True

    def _try_absorb(self, item: Item) -> bool:
        """One bad item does not stop the rest: it is looked at again later, though the listing goes on."""
        try:
            is_fresh = self.absorb(item)
            self._cycle.went_well()
            return is_fresh
        except SharedStateError as error:
            self._cycle.failed_here(item.task, error)
            self._ends.park(self._cycle, item.task, RETRY_MS_MIN, "not absorbed", look=True, seen_ms=item.updated_ms)
            return False

    def _cursor(self) -> str | None:
        """None, for the whole board, at first and every few hours: only so it shows what was deleted."""
        status = self._cycle.status
        is_due = self._cycle.now_ms - status.full_ms >= self._ends.rules.full_every_ms
        return None if is_due else status.cursor

    def _look_for_missing(self, listing: Listing) -> bool:
        """Report what is deleted, destroy nothing. A list may lag, so what it does not show is asked for by name.

        False when some of it is still to be asked for.
        """
        missing = set(listing.gone)
        if listing.full:
            listed = {item.task for item in listing.items}
            missing |= {task for task, known in self._ends.memory.all_known() if not known.absent_ms} - listed
        for task in sorted(missing)[:MISSING_MAX]:
            if self._cycle.is_stopping():
                return False
            answer = self._ends.board.get(task)
            if isinstance(answer, Item):
                self._try_absorb(answer)
            elif isinstance(answer, Failed) and answer.kind == "gone":
                self._cycle.gone(task)
                self._ends.miss(self._cycle, task)
            else:
                self._ends.trouble(self._cycle, task, answer, tries=0, what="look")
                return False
        return len(missing) <= MISSING_MAX

    def _carry_out(self, task: str, action: policy.Action, view: TaskView | None) -> None:
        tasks, by = self._ends.tasks, f"board {self._ends.board.name}"
        if action.kind == policy.IGNORE:
            tasks.ignore(task, reason=action.reason, by=by)
        elif action.kind == policy.UNIGNORE:
            tasks.unignore(task, by=by)
        elif action.kind == policy.COMPLETE_IT:
            tasks.override(task, status=COMPLETE, by=by, reason=action.reason)
        elif action.kind == policy.REOPEN:
            tasks.reopen(task, by=by)
        else:
            tasks.override(task, status=ABANDONED, by=by, reason=action.reason)
            if view is not None and view.state.ignored is not None:
                tasks.unignore(task, by=by)  # ignored for another reason; now it is cancelled
            tasks.ignore(task, reason=action.reason, by=by)
        logs.info("%s of %r: %s", action.kind, task, action.reason)

    def _wish_now(self, task: str) -> str | None:
        view = self._ends.tasks.get(task)
        return None if view is None else self._ends.wish(view)


def _stays(known: Known, item: Item) -> bool:
    """Whether the card stays where it is: a person put it there, or may have put it back there.

    The second when our own move may have been carried out, its answer was lost, and the item has changed since.
    """
    if not same(item.card.status, known.base.card.status):
        return True
    return known.moving is not None and item.updated_ms > known.updated_ms


def _is_late(item: Item, known: Known) -> bool:
    """Whether the item is older than what is known already: lists and replicas lag behind writes."""
    if item.updated_ms and item.updated_ms != known.updated_ms:
        return item.updated_ms < known.updated_ms
    seen = 0 if known.base.record is None else known.base.record.revision
    return item.record is not None and item.record.revision < seen
