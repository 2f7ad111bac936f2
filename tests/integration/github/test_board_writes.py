"""Writing through `GitHubBoard`: one state comment per issue, whatever goes wrong; labels; assignees; refusals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sharedstate.sync.board import Conflict, Failed, Item, Parked, Written
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.github.budget import Limits
from sharedstate_adapters.github.comment import parse, render
from sharedstate_adapters.github.keys import Place
from tests.integration.github.boards import Scene, described, item_of, listed, written

HOME = Place(repository="acme/app", number=1)
LOST = ("bad-gateway-applied", "timeout-applied", "reset-applied", "truncated")
NEVER_ARRIVED = ("bad-gateway", "unavailable", "timeout", "reset")


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    made = Scene()
    made.fake.open_issue("Build the thing", labels=("bug",))
    with described(monkeypatch):
        yield made


# The comment


def test_the_first_write_creates_the_comment_and_later_ones_edit_it(scene: Scene) -> None:
    board = scene.board()
    item = written(board, item_of(board), scene.record())
    assert item.record == scene.record(revision=1)
    for fence in (2, 3):
        item = written(board, item, scene.record(fence=fence))
        assert item.record == scene.record(fence=fence, revision=fence)
    assert len(scene.fake.comments(1)) == 1
    assert parse(scene.states()[0]["body"]).record.fence == 3
    assert [entry.method for entry in scene.fake.requests.writes()] == ["POST", "PATCH", "PATCH"]


def test_writing_the_same_again_sends_no_write(scene: Scene) -> None:
    board = scene.board()
    item = written(board, item_of(board), scene.record())
    count = len(scene.fake.requests.writes())
    assert written(board, item, scene.record()) == item
    assert len(scene.fake.requests.writes()) == count


def test_a_new_machine_finds_the_comment_by_its_marker(scene: Scene) -> None:
    written(scene.board(), item_of(scene.board()), scene.record())
    other = scene.board()
    item = item_of(other).replace(handle="")
    written(other, item, scene.record(fence=2))
    assert len(scene.states()) == 1


def test_a_writer_that_knows_less_meets_a_conflict(scene: Scene) -> None:
    one, other = scene.board(), scene.board("friend")
    stale = item_of(other)
    item = written(one, item_of(one), scene.record())
    answer = other.write(stale, scene.record(owner="ws/b", fence=2))
    assert isinstance(answer, Conflict)
    assert answer.item.record == item.record
    assert written(other, answer.item, scene.record(owner="ws/b", fence=2)).record == scene.record(
        owner="ws/b", fence=2, revision=2
    )


def test_a_lower_fence_never_goes_over_a_higher_one(scene: Scene) -> None:
    board = scene.board()
    item = written(board, item_of(board), scene.record(fence=5))
    answer = board.write(item, scene.record(fence=4))
    assert isinstance(answer, Conflict)
    assert parse(scene.states()[0]["body"]).record.fence == 5


def test_a_deleted_comment_is_a_conflict_and_then_written_anew_with_its_count_kept(scene: Scene) -> None:
    board = scene.board()
    item = written(board, item_of(board), scene.record())
    item = written(board, item, scene.record(fence=2))
    scene.fake.delete_comment(scene.states()[0]["id"])
    answer = board.write(item, scene.record(fence=3))
    assert isinstance(answer, Conflict)
    assert answer.item.record is None
    assert written(board, answer.item, scene.record(fence=3)).record == scene.record(fence=3, revision=3)


def test_what_a_person_broke_is_repaired_in_place(scene: Scene) -> None:
    board = scene.board()
    written(board, item_of(board), scene.record())
    state = scene.states()[0]
    scene.fake.edit_comment(state["id"], state["body"].replace('"fence": 1', '"fence": 9'))
    scene.host.advance(1)
    item = item_of(board)
    assert item.record is None
    assert written(board, item, scene.record()).record == scene.record(revision=2)
    assert [one["id"] for one in scene.states()] == [state["id"]]


# Two at once


@pytest.mark.parametrize("lags", [0, 1, 2, 3])
def test_two_creators_at_once_leave_one_comment_the_lowest(scene: Scene, lags: int) -> None:
    one, other = scene.board(), scene.board("friend")
    mine = item_of(one)
    body = render(scene.record(owner="ws/b", revision=1), place=HOME)
    first = scene.fake.comment(1, body, user="friend", lags=lags)
    assert isinstance(one.write(mine, scene.record()), Written | Conflict)
    scene.host.advance(90)
    for _ in range(2):
        listed(one)
        listed(other)
    assert [state["id"] for state in scene.states()] == [first]


def test_the_loser_of_a_race_withdraws_and_meets_the_winner(scene: Scene) -> None:
    one = scene.board()
    mine = item_of(one)
    body = render(scene.record(owner="ws/b", revision=1), place=HOME)
    winner = scene.fake.comment(1, body, user="friend", lags=1)
    answer = one.write(mine, scene.record())
    assert isinstance(answer, Conflict)
    assert answer.item.record == scene.record(owner="ws/b", revision=1)
    assert [state["id"] for state in scene.states()] == [winner]


# Lost answers


@pytest.mark.parametrize("fault", LOST)
def test_a_post_whose_answer_is_lost_leaves_exactly_one_comment(scene: Scene, fault: str) -> None:
    board = scene.board()
    scene.fake.faults.plan(fault, method="POST", path="*/comments")
    item = written(board, item_of(board), scene.record())
    assert item.record == scene.record(revision=1)
    assert len(scene.fake.comments(1)) == 1
    assert sum(entry.method == "POST" for entry in scene.fake.requests) == 1


@pytest.mark.parametrize("fault", NEVER_ARRIVED)
def test_a_post_that_may_have_arrived_is_not_sent_again_on_a_guess(scene: Scene, fault: str) -> None:
    board = scene.board()
    scene.fake.faults.plan(fault, method="POST", path="*/comments")
    item = item_of(board)
    for _ in range(3):
        answer = board.write(item, scene.record())
        assert isinstance(answer, Failed)
        assert (answer.kind, answer.applied) == ("transient", True)
        scene.host.advance(10)
    assert sum(entry.method == "POST" for entry in scene.fake.requests) == 1
    scene.host.advance(60)
    written(board, item, scene.record())
    assert len(scene.fake.comments(1)) == 1


@pytest.mark.parametrize("fault", [*LOST, *NEVER_ARRIVED])
def test_an_edit_that_fails_in_passing_is_tried_once_more_at_once(scene: Scene, fault: str) -> None:
    board = scene.board()
    item = written(board, item_of(board), scene.record())
    scene.fake.faults.plan(fault, method="PATCH")
    assert written(board, item, scene.record(fence=2)).record == scene.record(fence=2, revision=2)
    assert len(scene.fake.comments(1)) == 1
    scene.fake.faults.clear()
    scene.fake.faults.plan("unavailable", method="PATCH", times=9)
    before = len(scene.fake.requests)
    answer = board.write(item_of(board), scene.record(fence=3))
    assert isinstance(answer, Failed)
    assert answer.applied
    assert sum(entry.method == "PATCH" for entry in list(scene.fake.requests)[before:]) == 2


# Limits: parked, not slept


@pytest.mark.parametrize(
    "fault,wait_s",
    [("secondary", 60), ("secondary-bare", 60), ("too-many", 60), ("too-many-bare", 60), ("primary", 61)],
)
def test_a_limit_parks_every_process_of_the_machine_and_nobody_asks_early(
    scene: Scene, fault: str, wait_s: int
) -> None:
    local = MemoryStore(scene.host)
    one, other = scene.board(local=local), scene.board(local=local)
    item = item_of(one)
    before = scene.host.now().at_ms
    scene.fake.faults.plan(fault, method="POST")
    answer = one.write(item, scene.record())
    assert isinstance(answer, Parked)
    assert (answer.until_ms - before) == wait_s * 1000
    assert scene.host.now().at_ms == before
    asked = len(scene.fake.requests)
    assert isinstance(other.list(cursor=None), Parked)
    assert isinstance(other.write(item, scene.record()), Parked)
    assert len(scene.fake.requests) == asked
    scene.host.advance(wait_s)
    written(other, item, scene.record())
    assert not scene.fake.requests.early()


def test_new_comments_keep_their_distance_and_edits_need_not(scene: Scene) -> None:
    scene.fake.open_issue("Another")
    board = scene.board(limits=Limits())
    first = written(board, item_of(board), scene.record())
    second = item_of(board, "GH-2")
    answer = board.write(second, scene.record(task="GH-2"))
    assert isinstance(answer, Parked)
    assert (answer.until_ms, answer.alone) == (scene.host.now().at_ms + 3_000, True)
    asked = len(scene.fake.requests)
    assert board.write(second, scene.record(task="GH-2")) == answer
    assert len(scene.fake.requests) == asked
    written(board, first, scene.record(fence=2))
    scene.host.advance(3)
    written(board, second, scene.record(task="GH-2"))


# Refusals


def test_a_locked_issue_is_locked(scene: Scene) -> None:
    board = scene.board("eve", trusted_authors=str(scene.fake.user_id("eve")))
    scene.fake.lock(1)
    item = item_of(board)
    assert item.locked
    answer = board.write(item, scene.record())
    assert isinstance(answer, Failed)
    assert answer.kind == "locked"


def test_a_deleted_issue_is_gone_and_a_transferred_one_has_moved(scene: Scene) -> None:
    board = scene.board()
    scene.fake.open_issue("Another")
    first, second = item_of(board), item_of(board, "GH-2")
    scene.fake.delete_issue(1)
    scene.fake.transfer(2, "acme/lib")
    for item, kinds in ((first, ("gone",)), (second, ("gone", "moved"))):
        for answer in (board.write(item, scene.record(task=item.task)), board.get(item.task)):
            assert isinstance(answer, Failed)
            assert answer.kind in kinds
    moved = board.get("GH-2")
    assert isinstance(moved, Failed)
    assert moved.kind == "moved"


def test_a_token_that_may_only_read_is_forbidden_what_needs_more(scene: Scene) -> None:
    board = scene.board("eve")
    item = item_of(board)
    answer = board.label(item, frozenset(("claimed",)))
    assert isinstance(answer, Failed)
    assert answer.kind == "forbidden"
    assert scene.fake.labels(1) == ("bug",)


def test_a_wrong_token_is_forbidden_and_shown_nowhere(scene: Scene) -> None:
    board = scene.board(token="ghp_wrong_and_secret")
    answer = board.list(cursor=None)
    assert isinstance(answer, Failed)
    assert answer.kind == "forbidden"
    assert "ghp_wrong" not in repr(answer) + repr(board.edge) + repr(board.edge.credential)


def test_a_board_opened_for_reading_writes_nothing(scene: Scene) -> None:
    board = scene.board(read_only=True)
    item = item_of(board)
    labels = frozenset(("claimed",))
    for answer in (board.write(item, scene.record()), board.label(item, labels), board.move(item, "done")):
        assert isinstance(answer, Failed)
    assert not scene.fake.requests.writes()


# Labels and assignees


def test_only_our_own_labels_are_touched_and_ignore_stays(scene: Scene) -> None:
    board = scene.board()
    scene.fake.label(1, "sharedstate:ignore", "sharedstate:stale", "claimed")
    item = item_of(board)
    assert item.labels == {"ignore", "stale"}
    assert item.card.ignored
    answer = board.label(item, frozenset(("claimed", "working")))
    assert isinstance(answer, Written)
    assert answer.item.labels == {"claimed", "working", "ignore"}
    names = {"bug", "claimed", "sharedstate:claimed", "sharedstate:ignore", "sharedstate:working"}
    assert set(scene.fake.labels(1)) == names


def test_a_label_that_is_gone_already_counts_as_removed(scene: Scene) -> None:
    board = scene.board(label_prefix="fleet/")
    scene.fake.label(1, "Fleet/Claimed")
    item = item_of(board)
    assert item.labels == {"claimed"}
    scene.fake.unlabel(1, "Fleet/Claimed")
    answer = board.label(item, frozenset())
    assert isinstance(answer, Written)
    assert answer.item.labels == frozenset()


def test_labels_are_made_in_colour_once(scene: Scene) -> None:
    local = MemoryStore(scene.host)
    board = scene.board(local=local)
    item = item_of(board)
    for labels in (frozenset(("claimed",)), frozenset[str](), frozenset(("claimed",))):
        answer = board.label(item, labels)
        assert isinstance(answer, Written)
        item = answer.item
    made = [entry for entry in scene.fake.requests if entry.method == "POST" and entry.path.endswith("/app/labels")]
    assert [entry.status for entry in made] == [201]
    assert scene.fake.issue(1)["labels"][-1]["color"] == "1d76db"


def test_our_own_account_is_assigned_while_a_task_is_claimed_if_that_is_wanted(scene: Scene) -> None:
    scene.fake.assign(1, "friend")
    board = scene.board(assign=True)
    answer = board.label(item_of(board), frozenset(("claimed",)))
    assert isinstance(answer, Written)
    assert [one["login"] for one in scene.fake.issue(1)["assignees"]] == ["friend", "bot"]
    board.label(answer.item, frozenset())
    assert [one["login"] for one in scene.fake.issue(1)["assignees"]] == ["friend"]


def test_a_task_without_an_issue_is_gone(scene: Scene) -> None:
    board = scene.board()
    nothing = Item(task="T-1", title="", url="", card=item_of(board).card)
    for answer in (board.get("T-1"), board.write(nothing, scene.record(task="T-1")), board.move(nothing, "done")):
        assert isinstance(answer, Failed)
        assert answer.kind == "gone"
