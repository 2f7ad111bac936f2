"""The board in memory keeps the contract of the port: revisions, fences, own labels, cards, late and lost answers."""

from __future__ import annotations

import pytest

from sharedstate.sync.board import Board, Conflict, Failed, Listing, Parked, Written
from sharedstate.sync.model import RemoteRecord
from sharedstate.testing.board import MemoryBoard, Seat, Trouble

TASK = "GH-1"
RECORD = RemoteRecord(task=TASK, status="claimed", owner="a/1", fence=2, attempts=1)


@pytest.fixture
def board() -> MemoryBoard:
    board = MemoryBoard()
    board.open_issue(TASK)
    return board


@pytest.fixture
def seat(board: MemoryBoard) -> Seat:
    return board.seat("one")


def listed(seat: Seat, cursor: str | None) -> Listing:
    listing = seat.list(cursor=cursor)
    assert isinstance(listing, Listing)
    return listing


def test_a_seat_is_a_board(seat: Seat) -> None:
    port: Board = seat
    assert port.name == "acme/app"


def test_a_list_holds_what_changed_since_its_cursor(board: MemoryBoard, seat: Seat) -> None:
    first = listed(seat, None)
    assert first.full
    assert [item.task for item in first.items] == [TASK]
    board.open_issue("GH-2")
    second = listed(seat, first.cursor)
    assert not second.full
    assert [item.task for item in second.items] == ["GH-2"]
    assert listed(seat, second.cursor).items == ()


def test_a_write_counts_the_revision_up_and_says_what_is_there(board: MemoryBoard, seat: Seat) -> None:
    answer = seat.write(board.item(TASK), RECORD)
    assert isinstance(answer, Written)
    assert answer.item.record == RECORD.replace(revision=1)
    again = seat.write(answer.item, RECORD)
    assert isinstance(again, Written)
    assert not again.changed
    assert board.writes("record") == 1


def test_a_write_over_another_revision_is_a_conflict_and_changes_nothing(board: MemoryBoard, seat: Seat) -> None:
    before = board.item(TASK)
    seat.write(before, RECORD)
    answer = board.seat("two").write(before, RECORD.replace(owner="b/2"))
    assert isinstance(answer, Conflict)
    assert answer.item == board.item(TASK)
    assert board.record(TASK).owner == "a/1"


def test_a_write_of_a_lower_fence_is_a_conflict(board: MemoryBoard, seat: Seat) -> None:
    seat.write(board.item(TASK), RECORD)
    assert isinstance(seat.write(board.item(TASK), RECORD.replace(fence=1)), Conflict)


def test_only_the_difference_of_labels_is_sent_and_ignore_is_never_removed(board: MemoryBoard, seat: Seat) -> None:
    seen = board.item(TASK)
    board.set_ignore(TASK, ignored=True)
    seat.label(seen, frozenset(("claimed",)))
    assert board.item(TASK).labels == {"claimed", "ignore"}
    seat.label(board.item(TASK), frozenset())
    assert board.item(TASK).labels == {"ignore"}
    seen = board.item(TASK)
    board.set_ignore(TASK, ignored=False)
    seat.label(seen, frozenset(("ignore", "stale")))
    assert board.item(TASK).labels == {"stale"}


def test_a_card_that_somebody_moved_since_is_a_conflict(board: MemoryBoard, seat: Seat) -> None:
    seen = board.item(TASK)
    board.place_card(TASK, "Blocked")
    assert isinstance(seat.move(seen, "done"), Conflict)
    assert isinstance(seat.move(board.item(TASK), "done"), Written)
    assert board.item(TASK).card.status == "done"


def test_without_a_status_field_nothing_moves() -> None:
    board = MemoryBoard(statuses=False)
    board.open_issue(TASK)
    answer = board.seat("one").move(board.item(TASK), "done")
    assert isinstance(answer, Written)
    assert not answer.changed


def test_a_deleted_issue_is_gone(board: MemoryBoard, seat: Seat) -> None:
    seen = board.item(TASK)
    board.delete(TASK)
    for answer in (seat.get(TASK), seat.write(seen, RECORD), seat.move(seen, "done")):
        assert isinstance(answer, Failed)
        assert answer.kind == "gone"


def test_a_locked_issue_takes_no_record(board: MemoryBoard, seat: Seat) -> None:
    board.lock(TASK)
    answer = seat.write(board.item(TASK), RECORD)
    assert isinstance(answer, Failed)
    assert answer.kind == "locked"


def test_a_lagging_read_shows_the_board_as_it_was(board: MemoryBoard, seat: Seat) -> None:
    old = board.item(TASK)
    cursor = listed(seat, None).cursor
    board.close(TASK)
    seat.plan = lambda call: Trouble(lag=1)
    assert seat.get(TASK) == old
    late = listed(seat, cursor)
    assert late.items == ()
    seat.plan = None
    assert [item.card.open for item in listed(seat, late.cursor).items] == [False]


def test_a_list_with_lost_pages_says_so(board: MemoryBoard, seat: Seat) -> None:
    board.open_issue("GH-2")
    seat.plan = lambda call: Trouble(lost=True)
    listing = listed(seat, None)
    assert (len(listing.items), listing.complete, listing.full) == (1, False, False)


def test_planned_answers_come_instead_of_the_right_ones(board: MemoryBoard, seat: Seat) -> None:
    parked, lost = Parked(until_ms=5, reason="limit"), Failed(kind="transient", detail="502", applied=True)
    seat.plan = lambda call: Trouble(answer=parked)
    assert seat.write(board.item(TASK), RECORD) == parked
    assert board.item(TASK).record is None
    seat.plan = lambda call: Trouble(answer=lost, applied=True)
    assert seat.write(board.item(TASK), RECORD) == lost
    assert board.record(TASK).owner == "a/1"


@pytest.mark.parametrize("applied", [False, True])
def test_a_planned_death_comes_before_or_after_the_write(board: MemoryBoard, seat: Seat, applied: bool) -> None:
    seat.plan = lambda call: Trouble(death=KeyboardInterrupt(), applied=applied)
    with pytest.raises(KeyboardInterrupt):
        seat.write(board.item(TASK), RECORD)
    assert (board.item(TASK).record is not None) is applied


def test_every_change_and_every_call_is_written_down(board: MemoryBoard, seat: Seat) -> None:
    seat.write(board.item(TASK), RECORD)
    board.plant(TASK, None)
    assert [(change.by, change.what) for change in board.changes] == [
        ("human", "open"),
        ("one", "record"),
        ("human", "record"),
    ]
    assert [(call.seat, call.verb, call.task) for call in board.calls] == [("one", "write", TASK)]
    moments = [change.after.updated_ms for change in board.changes if change.after is not None]
    assert moments == sorted(set(moments))
