"""The status field of a project: read with the issues, moved by the fleet, never away from where a person put it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sharedstate.sync.board import Conflict, Failed, Written
from sharedstate.testing.memory import MemoryStore
from tests.integration.github.boards import Scene, described, item_of, listed


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    made = Scene(projects=("acme/1",))
    made.fake.open_issue("On the board")
    made.fake.open_issue("Not on the board")
    made.fake.move_card(1, "Todo")
    with described(monkeypatch):
        yield made


def test_items_show_the_status_of_their_card(scene: Scene) -> None:
    board = scene.board(project="acme/1")
    assert [item.card.status for item in listed(board).items] == ["Todo", None]
    assert item_of(board).card.status == "Todo"
    assert [item.card.status for item in listed(scene.board()).items] == [None, None]


def test_the_card_moves_to_the_option_that_means_the_status(scene: Scene) -> None:
    board = scene.board(project="acme/1")
    answer = board.move(item_of(board), "inprogress")
    assert isinstance(answer, Written)
    assert (answer.changed, answer.item.card.status, scene.fake.card(1)) == (True, "In Progress", "In Progress")
    writes = len(scene.fake.requests.writes())
    again = board.move(answer.item, "in_progress")
    assert isinstance(again, Written)
    assert not again.changed
    assert len(scene.fake.requests.writes()) == writes


def test_nothing_moves_where_there_is_no_card_no_option_or_no_project(scene: Scene) -> None:
    board = scene.board(project="acme/1")
    for answer in (
        board.move(item_of(board, "GH-2"), "done"),
        board.move(item_of(board), "triaged by the moon"),
        scene.board().move(item_of(scene.board()), "done"),
    ):
        assert isinstance(answer, Written)
        assert not answer.changed
    assert not scene.fake.requests.writes()


def test_a_card_that_a_person_has_just_moved_is_not_moved_back(scene: Scene) -> None:
    board = scene.board(project="acme/1")
    item = item_of(board)
    scene.fake.move_card(1, "Blocked")
    answer = board.move(item, "inprogress")
    assert isinstance(answer, Conflict)
    assert (answer.item.card.status, scene.fake.card(1)) == ("Blocked", "Blocked")


def test_a_moved_card_brings_its_issue_though_the_issue_has_not_changed(scene: Scene) -> None:
    board = scene.board(project="acme/1")
    cursor = listed(board).cursor
    scene.host.advance(600)
    cursor = listed(board, cursor).cursor
    scene.host.advance(600)
    scene.fake.move_card(1, "Done")
    lost, again = listed(board, cursor), listed(board, cursor)
    assert [item.card.status for item in again.items] == ["Done"]
    assert lost.items == again.items
    assert listed(board, again.cursor).items == ()


def test_cards_that_have_not_moved_cost_nothing_of_the_primary_limit(scene: Scene) -> None:
    local = MemoryStore(scene.host)
    cursor = listed(scene.board(local=local, project="acme/1")).cursor
    scene.host.advance(120)
    cursor = listed(scene.board(local=local, project="acme/1"), cursor).cursor
    cost = scene.fake.requests.cost()
    listed(scene.board(local=local, project="acme/1"), cursor)
    assert scene.fake.requests.cost() == cost


def test_cards_are_read_over_pages(scene: Scene) -> None:
    for number in range(3, 231):
        scene.fake.open_issue("More")
        scene.fake.move_card(number, "Blocked")
    statuses = [item.card.status for item in listed(scene.board(project="acme/1")).items]
    assert statuses.count("Blocked") == 228


def test_a_project_that_is_not_there_fails_the_list_and_changes_nothing(scene: Scene) -> None:
    answer = scene.board(project="acme/9").list(cursor=None)
    assert isinstance(answer, Failed)
    assert answer.kind == "gone"


def test_a_reader_may_not_move_cards(scene: Scene) -> None:
    board = scene.board("eve", project="acme/1")
    answer = board.move(item_of(board), "done")
    assert isinstance(answer, Failed)
    assert answer.kind == "forbidden"
