"""Where the board may write at all: the configured repositories, under one name for each issue; and as whom."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sharedstate.errors import BadSettings
from sharedstate.sync.board import Failed, Item
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.github.survey import survey
from tests.integration.github.boards import Scene, described, item_of, written


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    made = Scene(repos=("acme/app", "acme/lib", "strange/place"))
    for repository in ("acme/app", "acme/lib", "strange/place"):
        made.fake.open_issue("Build the thing", repo=repository)
    with described(monkeypatch):
        yield made


@pytest.mark.parametrize("task", ["strange/place#1", "acme/app#1", "Acme/Lib#1", "acme/LIB#1", "GH-01", "gh-1"])
def test_a_task_that_only_looks_like_an_issue_of_ours_is_looked_for_nowhere_and_written_nowhere(
    scene: Scene, task: str
) -> None:
    board = scene.board(repository="acme/app,acme/lib")
    answer = board.get(task)
    assert isinstance(answer, Failed)
    assert answer.kind == "gone"
    stolen = item_of(board).replace(task=task)  # as if remembered from another configuration
    assert isinstance(board.write(stolen, scene.record(task=task)), Failed)
    assert isinstance(board.label(stolen, frozenset(("claimed",))), Failed)
    assert isinstance(board.move(stolen, "done"), Failed)
    assert survey(board, task=task) == ()
    assert not scene.fake.requests.writes()
    assert not [entry for entry in scene.fake.requests if "strange" in entry.path]


def test_the_same_issue_under_its_right_name_is_found(scene: Scene) -> None:
    board = scene.board(repository="acme/app,acme/lib")
    for task in ("GH-1", "acme/lib#1"):
        assert isinstance(board.get(task), Item)


def test_one_token_at_two_githubs_is_two_accounts() -> None:
    local = MemoryStore()
    for users in ({"bot": "push", "friend": "push"}, {"friend": "push", "bot": "push"}):
        scene = Scene(users=users)
        scene.fake.open_issue("Build the thing")
        url = f"http://127.0.0.1:{80 + len(next(iter(users)))}"  # another port, another GitHub
        board = scene.board(local=local, trusted_authors="", github_api_url=url)
        assert scene.fake.token("bot") == "token-bot"
        account = board.identity.account()
        assert not isinstance(account, Failed)
        assert account == board.identity.account()
        assert getattr(account, "id", None) == scene.fake.user_id("bot")


@pytest.mark.parametrize("prefix", ["x" * 44, " sharedstate:", "line\nbreak:", "bell\a", "\u200b:"])
def test_a_label_prefix_that_github_would_not_keep_is_refused(scene: Scene, prefix: str) -> None:
    with pytest.raises(BadSettings):
        scene.board(label_prefix=prefix)


@pytest.mark.parametrize("prefix", ["x" * 43, "a/b?c#d&e ", "Ärger % : ", "🦊/"])
def test_any_other_prefix_is_put_found_again_and_removed(scene: Scene, prefix: str) -> None:
    board = scene.board(label_prefix=prefix)
    item = item_of(board)
    shown = board.label(item, frozenset(("claimed",)))
    assert not isinstance(shown, Failed)
    again = item_of(board)
    assert again.labels == {"claimed"}
    assert scene.fake.issue(1)["labels"][0]["name"] == f"{prefix}claimed"
    board.label(again, frozenset())
    assert item_of(board).labels == frozenset()


def test_the_page_that_a_comment_links_to_holds_the_task_as_one_part(scene: Scene) -> None:
    board = scene.board(repository="acme/app,acme/lib", details_url="https://ci.example/#/tasks/{task}?by=(sync)&x=<y>")
    written(board, item_of(board, "acme/lib#1"), scene.record(task="acme/lib#1"))
    body = scene.fake.comments(1, repo="acme/lib")[0]["body"]
    assert "[Details](https://ci.example/#/tasks/acme%2Flib%231?by=%28sync%29&x=%3Cy%3E)" in body
