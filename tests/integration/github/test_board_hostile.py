"""Hostile comments through `GitHubBoard`: refused with their reason, reported once; what is broken is mended."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from sharedstate.sync.board import Failed
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.github import trust
from sharedstate_adapters.github.comment import SigningKey, parse, render
from sharedstate_adapters.github.keys import Place
from sharedstate_adapters.github.survey import survey
from tests.integration.github.boards import Scene, described, item_of, listed, written

HOME = Place(repository="acme/app", number=1)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    made = Scene()
    made.fake.open_issue("Build the thing", labels=("bug",))
    with described(monkeypatch):
        yield made


def hostile(scene: Scene) -> list[tuple[str, str, str | None]]:
    """What, its text, and the reason for refusing it; None where it is not even taken for a state comment."""
    now_ms = scene.host.now().at_ms
    body = render(scene.record(fence=50, revision=90), place=HOME)
    return [
        ("a valid record", body, trust.AUTHOR),
        ("a quoted record", "> " + body.replace("\n", "\n> "), None),
        ("a replay", render(scene.record(task="GH-2"), place=HOME.replace(number=2)), trust.AUTHOR),
        ("edited JSON", body.replace('"fence": 50', '"fence": 51'), trust.AUTHOR),
        ("a lower revision", render(scene.record(revision=0), place=HOME), trust.AUTHOR),
        ("a future heartbeat", render(scene.record(heartbeat_ms=now_ms + 10**9), place=HOME), trust.AUTHOR),
        ("an unclosed marker", "<!-- sharedstate-state schema=1 task=GH%2D1", trust.AUTHOR),
        ("65 kB", body + "x" * (65_536 - len(body)), trust.AUTHOR),
        ("a mention storm", "<!-- sharedstate-state -->" + "@everyone " * 1000, trust.AUTHOR),
        ("line ends of Windows", body.replace("\n", "\r\n"), trust.AUTHOR),
        ("a marker in full width", body.replace("<!--", "\uff1c!--"), None),
        ("an invisible beginning", "\u200b" + body, None),
        ("a turned beginning", "\u202e" + body, None),
        ("a marker in capitals", body.replace("sharedstate-state", "SHAREDSTATE-STATE"), None),
        ("a marker in a marker", "<!-- <!-- sharedstate-state" + body[22:], None),
        ("a marker behind another", "<!-- sharedstate-state <!-- x --> " + body[22:], trust.AUTHOR),
        ("a fence in a fence", "````json\n" + body + "\n````", None),
        ("a highest fence", render(scene.record(fence=2**53 - 1, revision=2**53 - 1), place=HOME), trust.AUTHOR),
        ("a script", "<script>document.write('<!-- sharedstate-state')</script>", None),
    ]


def test_a_strangers_comments_change_nothing_and_are_reported_once_with_their_reason(scene: Scene) -> None:
    board = scene.board()
    planted = hostile(scene)
    for _, text, _ in planted[:5]:
        scene.fake.comment(1, text, user="eve")  # before ours: their ids are lower
    item = item_of(board)
    assert item.record is None
    item = written(board, item, scene.record())
    for _, text, _ in planted[5:]:
        scene.fake.comment(1, text, user="eve")
    scene.host.advance(1)
    listing = listed(board)
    assert [one.record for one in listing.items] == [item.record]
    reasons = [reason for _, _, reason in planted if reason is not None]
    assert sorted(one.reason for one in listing.distrusted) == sorted(reasons)
    assert all("eve" in one.author for one in listing.distrusted)
    scene.fake.comment(1, "talk", user="eve")
    assert listed(board, listing.cursor).distrusted == ()
    assert len(scene.fake.comments(1)) == len(planted) + 2
    count = len(scene.fake.comments(1))
    written(board, listing.items[0], scene.record(fence=2))
    assert len(scene.fake.comments(1)) == count


@pytest.mark.parametrize(
    "what,change,reason",
    [
        ("edited JSON", lambda body: body.replace('"fence": 4', '"fence": 9'), trust.DIGEST),
        ("another task", lambda body: body.replace("GH%2D1", "GH%2D2").replace('"GH-1"', '"GH-2"'), trust.OTHER_TASK),
        ("text added", lambda body: body + "\nlgtm", trust.UNREADABLE),
        ("another signature", lambda body: body.replace('"hmac": "', '"hmac": "0'), trust.SIGNATURE),
        ("no signature", lambda body: body.replace('"hmac"', '"hmak"'), trust.UNSIGNED),
        ("another key", lambda body: body.replace('"key": "k1"', '"key": "k2"'), trust.UNKNOWN_KEY),
    ],
)
def test_what_is_changed_in_our_own_comment_does_not_count(
    scene: Scene, what: str, change: Callable[[str], str], reason: str
) -> None:
    board = scene.board(signing_key="k1:hush")
    item = written(board, item_of(board), scene.record(fence=4))
    state = scene.states()[0]
    scene.fake.edit_comment(state["id"], change(state["body"]))
    scene.host.advance(1)
    listing = listed(board)
    assert [one.record for one in listing.items] == [None]
    assert [one.reason for one in listing.distrusted] == [reason]
    assert item.record is not None


def test_an_older_state_of_our_own_comment_is_no_news(scene: Scene) -> None:
    board = scene.board(signing_key="k1:hush")
    item = written(board, item_of(board), scene.record(fence=4))
    old = scene.states()[0]["body"]
    for fence in (4, 5):
        item = written(board, item, scene.record(fence=fence, attempts=fence))
    scene.fake.edit_comment(scene.states()[0]["id"], old)
    scene.host.advance(1)
    listing = listed(board)
    assert [one.record for one in listing.items] == [None]
    assert [one.reason for one in listing.distrusted] == [trust.FENCE]
    item = written(board, listing.items[0], scene.record(fence=5))
    assert item.record == scene.record(fence=5, revision=4)


@pytest.mark.parametrize("fence,reason", [(4, trust.REVISION), (5, trust.FENCE)])
def test_an_older_state_posted_again_after_a_deletion_is_no_news_either(scene: Scene, fence: int, reason: str) -> None:
    board = scene.board(signing_key="k1:hush")
    item = written(board, item_of(board), scene.record(fence=4))
    old = scene.states()[0]["body"]
    item = written(board, item, scene.record(fence=fence, attempts=2))
    scene.fake.delete_comment(scene.states()[0]["id"])
    scene.fake.comment(1, old, user="friend")
    scene.host.advance(121)  # until then the list may merely lag behind our own write
    listing = listed(board)
    assert [one.record for one in listing.items] == [None]
    assert [one.reason for one in listing.distrusted] == [reason]
    item = written(board, listing.items[0], scene.record(fence=fence, attempts=2))
    assert item.record == scene.record(fence=fence, attempts=2, revision=3)
    assert len(scene.states()) == 1


def test_a_summary_that_somebody_edited_is_written_anew_in_place(scene: Scene) -> None:
    board = scene.board()
    item = written(board, item_of(board), scene.record())
    state = scene.states()[0]
    scene.fake.edit_comment(state["id"], state["body"].replace("`ws/a`", "`eve` @acme/team fixes #1"))
    scene.host.advance(1)
    listing = listed(board)
    assert [one.record for one in listing.items] == [None]
    assert [one.reason for one in listing.distrusted] == [trust.DIGEST]
    written(board, listing.items[0], scene.record())
    assert "eve" not in scene.states()[0]["body"]
    assert [one["id"] for one in scene.states()] == [state["id"]]
    assert item.record is not None


def test_a_key_that_is_no_longer_believed_is_replaced_by_the_next_write(scene: Scene) -> None:
    old = scene.board(signing_key="k1:stolen")
    written(old, item_of(old), scene.record())
    scene.host.advance(1)
    local = MemoryStore(scene.host)
    new = scene.board(signing_key="k2:fresh", local=local)
    item = item_of(new)
    assert item.record is None
    written(new, item, scene.record())
    forged = scene.states()[0]["body"]
    assert parse(forged).key_id == "k2"
    back = scene.board(signing_key="k1:stolen")
    assert item_of(back).record is None


def test_keys_rotate_without_a_break(scene: Scene) -> None:
    old = scene.board(signing_key="k1:first")
    written(old, item_of(old), scene.record())
    scene.host.advance(1)
    new = scene.board("friend", signing_key="k2:second", signing_keys_old="k1:first")
    item = item_of(new)
    assert item.record is not None
    written(new, item, scene.record(fence=2))
    assert parse(scene.states()[0]["body"]).key_id == "k2"


def test_a_future_clock_of_our_own_does_not_make_a_write_fail(scene: Scene) -> None:
    board = scene.board()
    ahead = scene.record(heartbeat_ms=scene.host.now().at_ms + 10**6)
    assert written(board, item_of(board), ahead).record == ahead.replace(revision=1)
    assert item_of(board).record is None


# The trust report


def test_the_trust_report_shows_every_state_comment_and_why_it_counts_or_not(scene: Scene) -> None:
    board = scene.board(signing_key="k1:hush")
    written(board, item_of(board), scene.record())
    forged = render(scene.record(revision=9), place=HOME, key=SigningKey(key_id="k1", secret="guess"))
    scene.fake.comment(1, forged, user="friend")
    scene.fake.comment(1, render(scene.record(), place=HOME), user="eve")
    scene.fake.comment(1, '<!-- codex-monitor-state\n{"ownerId": "old/agent"}\n-->', user="eve")
    writes = len(scene.fake.requests.writes())
    rows = survey(board)
    assert isinstance(rows, tuple)
    assert [(row.author, row.counts, row.reason) for row in rows] == [
        ("bot", True, None),
        ("friend", False, trust.SIGNATURE),
        ("eve", False, trust.AUTHOR),
        ("eve", False, "older_tool"),
    ]
    assert rows[3].legacy is not None
    assert rows[3].legacy.owner == "old/agent"
    assert survey(board, task="GH-1") == rows
    assert survey(board, task="no issue") == ()
    assert survey(board, task="GH-99") == Failed(kind="gone", detail="404 Not Found")
    assert len(scene.fake.requests.writes()) == writes
