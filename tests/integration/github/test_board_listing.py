"""Listing through `GitHubBoard`: by changes, with entity tags, over pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sharedstate.sync.board import Failed, Listing, Parked
from sharedstate.sync.model import Card
from sharedstate.testing.github import Request, Response, World
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.github.comment import render
from sharedstate_adapters.github.keys import Place
from tests.integration.github.boards import Scene, described, item_of, listed, written

HOME = Place(repository="acme/app", number=1)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    made = Scene()
    made.fake.open_issue("Build the thing", labels=("bug",))
    with described(monkeypatch):
        yield made


def tasks(listing: Listing) -> list[str]:
    return [item.task for item in listing.items]


# What an item says


def test_items_carry_card_labels_record_and_lock_and_pull_requests_are_none(scene: Scene) -> None:
    fake = scene.fake
    fake.open_issue("A pull request", pull=True)
    for _ in range(4):
        fake.open_issue("More")
    fake.close(3)
    fake.close(4, reason="not_planned")
    fake.close(5)
    fake.reopen(5)
    fake.label(6, "sharedstate:ignore", "sharedstate:claimed", "ignore")
    fake.lock(6)
    written(scene.board(), item_of(scene.board()), scene.record())
    listing = listed(scene.board())
    found = {item.task: item for item in listing.items}
    assert list(found) == ["GH-1", "GH-3", "GH-4", "GH-5", "GH-6"]
    assert (listing.full, listing.complete) == (True, True)
    assert found["GH-1"].record == scene.record(revision=1)
    assert found["GH-1"].title == "Build the thing"
    assert found["GH-3"].card == Card(open=False, reason="completed")
    assert found["GH-4"].card == Card(open=False, reason="not_planned")
    assert found["GH-5"].card == Card(open=True, reason="reopened")
    assert found["GH-6"].card == Card(ignored=True)
    assert (found["GH-6"].labels, found["GH-6"].locked) == (frozenset(("ignore", "claimed")), True)


# By changes


def test_a_board_without_changes_costs_nothing_of_the_primary_limit(scene: Scene) -> None:
    board = scene.board()
    written(board, item_of(board), scene.record())
    cursor = listed(board).cursor
    scene.host.advance(5)
    cursor = listed(board, cursor).cursor
    cost = scene.fake.requests.cost()
    for _ in range(5):
        listing = listed(board, cursor)
        assert listing.items == ()
        cursor = listing.cursor
        scene.host.advance(90)
    assert scene.fake.requests.cost() == cost


def test_of_250_issues_only_those_that_changed_cost_requests(scene: Scene) -> None:
    for number in range(2, 251):
        scene.fake.open_issue(f"Issue {number}")
    scene.host.advance(600)
    scene.fake.edit_issue(250, title="The latest")
    board = scene.board()
    first = listed(board)
    assert len(first.items) == 250
    scene.host.advance(600)
    for number in (7, 70, 170):
        scene.fake.edit_issue(number, title="Changed")
    before = len(scene.fake.requests)
    second = listed(board, first.cursor)
    assert tasks(second) == ["GH-7", "GH-70", "GH-170", "GH-250"]  # the last lies within the look back
    assert len(scene.fake.requests) - before == 2
    assert not second.full


@pytest.mark.parametrize("spread_s", [0, 1, 2])
@pytest.mark.parametrize("act", ["delete", "change", "transfer"])
def test_what_leaves_the_list_while_it_is_read_hides_no_other_issue(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, act: str, spread_s: int
) -> None:
    fake = scene.fake
    fake.add_repo("acme/lib")
    for number in range(2, 252):
        fake.open_issue(f"Issue {number}")
    board = scene.board()
    cursor = listed(board).cursor
    scene.host.advance(3_600)
    for number in range(1, 252):
        fake.label(number, "bug")
        scene.host.advance(spread_s)
    handle, left = World.handle, [7, 240]

    def meanwhile(world: World, request: Request) -> Response:
        response = handle(world, request)
        if request.path == "/repos/acme/app/issues" and left:
            number = left.pop()
            if act == "delete":
                fake.delete_issue(number)
            elif act == "transfer":
                fake.transfer(number, "acme/lib")
            else:
                fake.label(number, "changed again")
        return response

    monkeypatch.setattr(World, "handle", meanwhile)
    asked = len(fake.requests)
    found = {item.task for item in listed(board, cursor).items}
    assert len(fake.requests) - asked <= 8
    kept = {7, 240} if act == "change" else set()
    wanted = {f"GH-{number}" for number in range(1, 252) if number not in {7, 240} - kept}
    assert wanted - found == set() if spread_s else len(wanted - found) <= 2


def test_a_comment_of_an_issue_that_the_list_does_not_show_brings_its_issue(scene: Scene) -> None:
    one, other = scene.board(), scene.board("friend")
    item = written(one, item_of(one), scene.record())
    cursor = listed(other).cursor
    scene.host.advance(600)
    after = written(one, item, scene.record(fence=2))
    scene.fake.world.state.repos["acme/app"].issues[1].updated_s -= 600  # an edit need not touch its issue
    assert [item.record for item in listed(other, cursor).items] == [after.record]


def test_a_deleted_state_comment_is_noticed(scene: Scene) -> None:
    board = scene.board()
    written(board, item_of(board), scene.record())
    cursor = listed(board).cursor
    scene.host.advance(600)
    scene.fake.delete_comment(scene.states()[0]["id"])
    assert [item.record for item in listed(board, cursor).items] == [None]


def test_a_state_comment_that_stops_being_one_is_noticed(scene: Scene) -> None:
    board = scene.board()
    written(board, item_of(board), scene.record())
    cursor = listed(board).cursor
    scene.host.advance(600)
    scene.fake.edit_comment(scene.states()[0]["id"], "I removed your comment")
    assert [item.record for item in listed(board, cursor).items] == [None]


@pytest.mark.parametrize("nth", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("fault", ["unavailable", "secondary", "truncated", "timeout"])
def test_a_list_that_fails_on_any_page_is_no_list_and_is_repeated_whole(scene: Scene, nth: int, fault: str) -> None:
    for number in range(2, 231):
        scene.fake.open_issue(f"Issue {number}")
        scene.fake.comment(number, "talk", user="eve")
    board = scene.board()
    scene.fake.faults.plan(fault, method="GET", path="/rep*", nth=nth, times=2)
    answer = board.list(cursor=None)
    assert isinstance(answer, Parked | Failed)
    scene.fake.faults.clear()
    scene.host.advance(61)
    assert len(listed(board).items) == 230


def test_what_a_crash_kept_from_the_engine_is_told_again(scene: Scene) -> None:
    board = scene.board(trusted_authors="")
    cursor = listed(board).cursor
    scene.host.advance(600)
    scene.fake.close(1)
    scene.fake.comment(1, render(scene.record(revision=1), place=HOME), user="eve")
    lost, again = listed(board, cursor), listed(board, cursor)
    assert (again.items, again.distrusted) == (lost.items, lost.distrusted)
    assert len(again.distrusted) == 1
    delivered = listed(board, again.cursor)
    assert delivered.distrusted == ()


def test_a_cursor_of_another_configuration_begins_anew(scene: Scene) -> None:
    local = MemoryStore(scene.host)
    cursor = listed(scene.board(local=local)).cursor
    assert listed(scene.board(local=local, label_prefix="other:"), cursor).full
    assert listed(scene.board(local=local), "no cursor of ours").full
    assert not listed(scene.board(local=local), cursor).full


def test_several_repositories_are_one_board(scene: Scene) -> None:
    scene.fake.add_repo("acme/lib")
    scene.fake.grant("bot", "push")
    scene.fake.open_issue("Elsewhere", repo="acme/lib")
    board = scene.board(repository="acme/app,acme/lib")
    listing = listed(board)
    assert tasks(listing) == ["GH-1", "acme/lib#1"]
    written(board, listing.items[1], scene.record(task="acme/lib#1"))
    assert len(scene.fake.comments(1, repo="acme/lib")) == 1
    assert scene.fake.comments(1) == []
    assert listed(board, listing.cursor).items[-1].record is not None


def test_a_repository_that_was_renamed_says_so(scene: Scene) -> None:
    scene.fake.rename_repo("acme/app", "acme/new")
    answer = scene.board().list(cursor=None)
    assert isinstance(answer, Failed)
    assert answer.kind == "moved"
