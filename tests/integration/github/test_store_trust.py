"""Strangers, vandals and tidy people: what they write counts for nothing, and what they remove is not forgotten."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from sharedstate.errors import BadSettings, Corrupt, InvalidInput, StoreError, StoreUnavailable
from sharedstate.host import Host
from sharedstate.settings import resolve
from sharedstate.store import Beat, Versioned
from sharedstate.testing.contracts.steps import beats, got, increments, removes, writes
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.github.issue_log import NoIssue
from sharedstate_adapters.github.keys import Place
from sharedstate_adapters.github.store import GitHubStore
from sharedstate_adapters.github.transition import mark_in, read, render
from sharedstate_adapters.github.trust import read_keys
from tests.integration.github.boards import described
from tests.integration.github.stores import HOME, KEY, Ground, forget_steps


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    made = Ground()
    with described(monkeypatch):
        yield made


@pytest.fixture
def held(ground: Ground) -> Versioned:
    """A record on issue 1, twice written: one comment carries it, an older one is its mirror."""
    store = ground.store()
    store.transact("tasks", "GH-1", writes({"owner": "ws/a", "n": 1}, live=1))
    store.transact("tasks", "GH-1", writes({"owner": "ws/a", "n": 2}, live=2))
    return got(store, "tasks", "GH-1")


def forged(ground: Ground, *, key: str = KEY, base: int = 99, number: int = 1) -> str:
    """A transition that would free the task, as a holder of the given key would write it for the given issue."""
    place = Place(repository="acme/app", number=number)
    step = read(ground.steps(1)[-1]["body"], place=HOME, keys=()).transition
    step = step.replace(mark=step.mark.replace(base=base, nonce="f" * 16), value={"owner": "eve"}, live=None)
    return render(step, place=place, key=read_keys(key, ())[0] if key else None)


def hostile(ground: Ground) -> list[str]:
    body = ground.steps(1)[-1]["body"]
    return [
        forged(ground),  # signed with a stolen key, even
        forged(ground, key="", base=2),
        body,  # copied as it is
        "> " + body.replace("\n", "\n> "),
        re.sub(r"base=[0-9]+", "base=99", body),
        body.partition(" -->")[0],
        body.split("\n")[0],
        body.split("\n")[0] + "\n" + "x" * 65_000,
        body + "\n@octocat @everyone fixes #1 <script>alert(1)</script>",
    ]


def test_what_a_stranger_writes_counts_for_nothing(ground: Ground, held: Versioned) -> None:
    for body in hostile(ground):
        ground.fake.comment(1, body, user="eve")
    for store in (ground.store(), ground.store("friend")):
        assert got(store, "tasks", "GH-1") == held
        assert list(store.scan("tasks")) == [held]
    assert ground.store("friend").transact("tasks", "GH-1", writes({"n": 3}, live=3)) == 2
    assert len(ground.fake.comments(1)) == 2 + len(hostile(ground)), "and nothing of theirs is removed"


def test_not_even_on_an_issue_without_a_record(ground: Ground, held: Versioned) -> None:
    for body in [*hostile(ground), forged(ground, number=2)]:
        ground.fake.comment(2, body.replace("GH%2D1", "GH%2D2"), user="eve")
    assert ground.store().get("tasks", "GH-2") is None
    assert ground.store().transact("tasks", "GH-2", increments) == 0


def test_a_trusted_comment_that_was_moved_to_another_issue_counts_for_nothing(ground: Ground, held: Versioned) -> None:
    for body in (ground.steps(1)[-1]["body"], forged(ground, number=1)):
        ground.fake.comment(2, body, user="bot")
    assert got(ground.store(), "tasks", "GH-1") == held
    assert ground.store().get("tasks", "GH-2") is None
    assert [item.key for item in ground.store().scan("tasks") if isinstance(item, Versioned)] == ["GH-1"]


@pytest.mark.parametrize(
    "edit",
    [
        lambda body: body.replace('"n": 2', '"n": 7'),
        lambda body: body.replace('"live": 2', '"live": null'),
        lambda body: "",
        lambda body: "Sorry, tidied up.",
        lambda body: body.replace("-->", "", 1),
        lambda body: body + "y" * (65_536 - len(body)),
    ],
    ids=["value", "live", "empty", "other-text", "marker", "65-kB"],
)
def test_a_person_who_edits_or_removes_the_newest_comment_changes_nothing(
    ground: Ground, held: Versioned, edit: Any
) -> None:
    newest = ground.steps(1)[-1]
    ground.fake.edit_comment(newest["id"], edit(newest["body"]))
    assert got(ground.store("friend"), "tasks", "GH-1") == held
    if newest["id"] in {one["id"] for one in ground.fake.comments(1)}:
        ground.fake.delete_comment(newest["id"])
    assert got(ground.store("friend"), "tasks", "GH-1") == held
    assert ground.store("friend").transact("tasks", "GH-1", beats(2)) is None
    assert ground.store().transact("tasks", "GH-1", increments_n) == 2


def increments_n(snapshot: Any) -> Any:
    return increments(snapshot.replace(value={"count": snapshot.value["n"]}))


def test_removing_the_mirror_changes_nothing_either(ground: Ground, held: Versioned) -> None:
    ground.fake.delete_comment(ground.steps(1)[0]["id"])
    assert got(ground.store("friend"), "tasks", "GH-1") == held


@pytest.mark.parametrize("by_hand", ["removed", "edited"])
def test_who_has_seen_a_record_restores_it_whatever_is_done_to_its_comments(ground: Ground, by_hand: str) -> None:
    local = MemoryStore(ground.host)
    store = ground.store(local=local)
    store.transact("tasks", "GH-1", writes({"n": 1}, live=7))
    (comment,) = ground.steps(1)
    if by_hand == "removed":
        ground.fake.delete_comment(comment["id"])
    else:
        ground.fake.edit_comment(comment["id"], comment["body"].replace('"n": 1', '"n": 8'))
    assert got(ground.store(local=local), "tasks", "GH-1").value == {"n": 1}, "readers of this machine know it too"
    store.transact("tasks", "GH-1", beats(7))
    stranger = ground.store("friend")
    back = got(stranger, "tasks", "GH-1")
    assert (back.value, back.revision) == ({"n": 1}, 1)
    assert back.beat is not None
    assert back.beat.fence == 7


def test_a_record_whose_only_comment_was_edited_is_blocked_for_those_who_never_saw_it(ground: Ground) -> None:
    local = MemoryStore(ground.host)
    ground.store(local=local).transact("tasks", "GH-1", writes({"n": 1}, live=7))
    ground.store().transact("tasks", "GH-2", writes({"n": 1}))
    (comment,) = ground.steps(1)
    ground.fake.edit_comment(comment["id"], comment["body"].replace('"n": 1', '"n": 8'))
    other = ground.store("friend")
    for act in (lambda: other.get("tasks", "GH-1"), lambda: other.transact("tasks", "GH-1", writes({"n": 9}))):
        with pytest.raises(Corrupt, match="digest") as caught:
            act()
        assert "delete" not in caught.value.hint
    assert got(other, "tasks", "GH-2").value == {"n": 1}, "others go on"
    ground.store(local=local).transact("tasks", "GH-1", beats(7))
    assert got(other, "tasks", "GH-1").value == {"n": 1}, "the holder's machine has restored it"


def test_the_limit_of_what_can_be_known(ground: Ground) -> None:
    """The only comment of a first claim is removed, and somebody claims who never saw it: the holder hears of it."""
    local = MemoryStore(ground.host)
    ground.store(local=local).transact("tasks", "GH-1", writes({"owner": "a"}, live=1))
    ground.fake.delete_comment(ground.steps(1)[0]["id"])
    ground.store("friend").transact("tasks", "GH-1", writes({"owner": "b"}, live=1))
    assert got(ground.store(local=local), "tasks", "GH-1").value == {"owner": "b"}, "one truth for all, from then on"


def test_losing_the_newest_comment_loses_beats_at_most(ground: Ground, held: Versioned) -> None:
    ground.host.advance(60)
    ground.store().transact("tasks", "GH-1", beats(2))
    later = got(ground.store(), "tasks", "GH-1").beat
    assert isinstance(held.beat, Beat)
    assert later is not None
    assert later.seen.at_ms >= held.beat.seen.at_ms + 60_000
    ground.fake.delete_comment(ground.steps(1)[-1]["id"])
    assert got(ground.store("friend"), "tasks", "GH-1") == held


# Keys


def test_a_machine_with_another_key_is_refused_and_told_why(ground: Ground, held: Versioned) -> None:
    for key in ("k1:other", "k2:hush"):
        with pytest.raises(Corrupt, match=r"signature is wrong|known key"):
            ground.store("friend", key=key).transact("tasks", "GH-1", increments)
    assert got(ground.store(), "tasks", "GH-1") == held


def test_an_unsigned_comment_of_our_own_account_blocks_instead_of_doubling_the_task(ground: Ground) -> None:
    ground.store(key="").transact("tasks", "GH-1", writes({"n": 1}, live=1))
    with pytest.raises(Corrupt, match="SHARED_STATE_SIGNING_KEY"):
        ground.store().transact("tasks", "GH-1", increments)


def test_an_account_that_is_not_trusted_is_passed_over_even_with_the_key(ground: Ground) -> None:
    ground.store("eve").transact("tasks", "GH-1", writes({"n": 1}, live=1))
    assert ground.store().get("tasks", "GH-1") is None


def test_no_secret_is_in_any_comment_or_error(ground: Ground, held: Versioned) -> None:
    texts = [one["body"] for one in ground.fake.comments(1)]
    ground.fake.faults.plan("unavailable", times=9)
    with pytest.raises(StoreUnavailable) as caught:
        ground.store().get("tasks", "GH-1")
    for text in (*texts, str(caught.value), repr(ground.store()), repr(ground.store().__dict__)):
        assert "hush" not in text
        assert "token-bot" not in text


# Issues, sizes, URLs


def test_a_task_whose_issue_does_not_exist_is_refused(ground: Ground) -> None:
    store = ground.store()
    assert store.get("tasks", "GH-99") is None
    with pytest.raises(NoIssue, match="no issue #99"):
        store.transact("tasks", "GH-99", writes({"n": 1}))
    ground.fake.delete_issue(2)
    with pytest.raises(NoIssue):
        store.transact("tasks", "GH-2", writes({"n": 1}))


def test_a_locked_issue_is_unavailable(ground: Ground) -> None:
    ground.fake.lock(1)
    ground.fake.grant("friend", "triage")
    with pytest.raises(StoreUnavailable, match="locked"):
        ground.store("friend").transact("tasks", "GH-1", writes({"n": 1}))


def test_a_record_that_fits_no_comment_is_refused_before_anything_is_posted(ground: Ground) -> None:
    store = ground.store()
    for key in ("GH-1", "free-name"):
        with pytest.raises(InvalidInput, match="60000"):
            store.transact("tasks", key, writes({"text": random.Random(1).randbytes(40_000).hex()}))
    assert not ground.fake.requests.writes()


def test_a_deleted_record_leaves_a_tombstone_that_slow_writers_cannot_pass(ground: Ground) -> None:
    store = ground.store()
    store.transact("tasks", "GH-1", writes({"n": 1}))
    assert store.transact("tasks", "GH-1", removes) is True
    marks = [mark_in(one["body"]) for one in ground.steps(1)]
    assert [mark.base for mark in marks if mark is not None] == [1, 1]
    assert ground.store("friend").get("tasks", "GH-1") is None


def test_a_store_refuses_a_child_and_a_decision_that_writes(ground: Ground) -> None:
    store = ground.store()

    def writes_inside(_: Any) -> Any:
        store.transact("tasks", "GH-2", increments)

    with pytest.raises(InvalidInput, match="must not write"):
        store.transact("tasks", "GH-1", writes_inside)
    assert store.transact("tasks", "GH-1", increments) == 0, "and goes on"


@pytest.mark.parametrize(
    "url",
    [
        "github://acme",
        "github://acme/app/x",
        "github://acme/app?settle=x",
        "github://acme/app?settle=2m",
        "github://a/b?c=1",
    ],
)
def test_a_url_that_means_nothing_is_refused(url: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "token-bot")
    settings = resolve({"dir": str(tmp_path)}, env={}, folder="/")
    with pytest.raises((BadSettings, StoreError)):
        GitHubStore.from_url(url, settings=settings, host=Host())


def test_forgetting_is_possible_in_tests(ground: Ground) -> None:
    local = MemoryStore(ground.host)
    store = ground.store(local=local)
    store.transact("tasks", "GH-1", writes({"n": 1}))
    forget_steps(local)
    ground.fake.delete_comment(ground.steps(1)[0]["id"])
    assert store.get("tasks", "GH-1") is None
