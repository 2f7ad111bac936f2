"""Bugs planted in the sync engine, or in the adapter below it, one at a time: each must be caught by some history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sharedstate.sync import ends, merge, pull
from sharedstate.sync.board import Item, Listing
from sharedstate.sync.cycle import Cycle
from sharedstate.sync.memory import Memory
from sharedstate.sync.pull import Pull
from sharedstate.sync.push import Push
from sharedstate.testing.board import MemoryBoard, Seat

Patch = pytest.MonkeyPatch
Mutant = Callable[[Patch], None]


def written_without_a_conflict_check(patch: Patch) -> None:
    """The engine publishes its own record over whatever stands there."""
    patch.setattr(merge, "_goes_first", lambda mine, shown, **rest: True)


def adapter_writes_over_newer_revisions(patch: Patch) -> None:
    """The adapter does not compare what it replaces with what the engine has seen."""
    whole = Seat.write

    def careless(self: Seat, item: Item, record: Any) -> Any:
        return whole(self, self.board.find(item.task) or item, record)

    patch.setattr(Seat, "write", careless)


def adapter_moves_cards_unseen(patch: Patch) -> None:
    """The adapter moves a card wherever it stands."""
    whole = Seat.move

    def careless(self: Seat, item: Item, status: str) -> Any:
        return whole(self, self.board.find(item.task) or item, status)

    patch.setattr(Seat, "move", careless)


def cursor_moved_before_absorbing(patch: Patch) -> None:
    """A crash between the two loses what the list had shown."""
    whole = Pull.run

    def hasty(self: Pull) -> Any:
        side: Any = vars(self)["_ends"]
        listing = side.board.list(cursor=vars(self)["_cycle"].status.cursor)
        if isinstance(listing, Listing) and listing.complete:
            side.memory.keep_status(side.memory.status().replace(cursor=listing.cursor))
        return whole(self)

    patch.setattr(Pull, "run", hasty)


def cursor_taken_from_a_partial_list(patch: Patch) -> None:
    """Lost pages are never read."""
    whole = Cycle.listed
    patch.setattr(
        Cycle,
        "listed",
        lambda self, listing, *, looked: whole(self, listing.replace(complete=True), looked=looked),
    )


def failed_pull_forgotten(patch: Patch) -> None:
    """What could not be absorbed does not wait for its second turn."""
    whole = ends.Ends.park

    def forgetful(self: Any, cycle: Cycle, task: str, wait_ms: int, reason: str, **rest: Any) -> None:
        if reason != "not absorbed":
            whole(self, cycle, task, wait_ms, reason, **rest)

    patch.setattr(ends.Ends, "park", forgetful)


def queue_not_kept(patch: Patch) -> None:
    """What could not be pushed is not written down."""
    patch.setattr(Memory, "park", lambda self, task, **rest: None)


def card_of_a_person_moved_back(patch: Patch) -> None:
    """The engine insists on where it wanted the card."""
    patch.setattr(pull, "_stays", lambda known, item: False)


def change_of_a_person_taken_for_agreed(patch: Patch) -> None:
    """What a write reads back becomes the base of the next merge, unmerged."""
    whole = vars(Push)["_write"]

    def blind(self: Push, view: Any, item: Item, agreement: Any) -> Any:
        answer = whole(self, view, item, agreement)
        side: Any = vars(self)["_ends"]
        now = side.board.board.find(item.task)
        if isinstance(answer, Item) and now is not None:
            answer = answer.replace(card=now.card, labels=now.labels)
            side.memory.remember(item.task, side.memory.known(item.task).after(answer))
        return answer

    patch.setattr(Push, "_write", blind)


def late_answers_believed(patch: Patch) -> None:
    """A lagging replica undoes what was agreed."""
    patch.setattr(pull, "_is_late", lambda item, known: False)


def losers_not_told(patch: Patch) -> None:
    """A record is replaced without a word."""
    patch.setattr(Push, "_tell", lambda self, task, agreement, **rest: True)


def fences_not_lifted(patch: Patch) -> None:
    """An attempt is published under a fence below the one shown."""
    patch.setattr(merge, "_public_fence", lambda mine, shown: mine.fence)


def silent_rivals_block_for_ever(patch: Patch) -> None:
    """A dead machine's claim stays on the board."""
    patch.setattr(merge, "is_silent", lambda record, **rest: False)


def ignore_label_removed_by_a_state_write(patch: Patch) -> None:
    """The adapter makes the labels what the engine says, and the engine forgets the one that is a person's."""
    whole = Seat.label

    def careless(self: Seat, item: Item, labels: frozenset[str]) -> Any:
        now = self.board.find(item.task)
        if now is not None and now.card.ignored and "ignore" not in item.labels:
            self.board.set_ignore(item.task, ignored=False, by="m0")
        return whole(self, item, labels)

    patch.setattr(Seat, "label", careless)


def comment_created_twice(patch: Patch) -> None:
    """A record is written anew though its revision is counted already."""
    whole = MemoryBoard.carry_out

    def twice(self: MemoryBoard, by: str, what: str, item: Item) -> Item:
        if what == "record" and item.record is not None and item.record.revision == 2:
            item = item.replace(record=item.record.replace(revision=3))
        return whole(self, by, what, item)

    patch.setattr(MemoryBoard, "carry_out", twice)


def nothing_is_recalled(patch: Patch) -> None:
    """Without what it remembered an engine takes its own earlier words, and people's, for news."""
    patch.setattr(ends.Ends, "recalled", lambda self, item, view: None)


MUTANTS: tuple[Mutant, ...] = (
    written_without_a_conflict_check,
    adapter_writes_over_newer_revisions,
    adapter_moves_cards_unseen,
    cursor_moved_before_absorbing,
    cursor_taken_from_a_partial_list,
    failed_pull_forgotten,
    queue_not_kept,
    card_of_a_person_moved_back,
    change_of_a_person_taken_for_agreed,
    late_answers_believed,
    losers_not_told,
    fences_not_lifted,
    silent_rivals_block_for_ever,
    ignore_label_removed_by_a_state_write,
    comment_created_twice,
)
FORGETFUL_MUTANTS: tuple[Mutant, ...] = (nothing_is_recalled,)
