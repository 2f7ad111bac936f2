"""Answers that are good JSON and yet not what GitHub sends (a proxy, another version): values, never exceptions."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from sharedstate.settings import resolve
from sharedstate.sync.board import Conflict, Failed, Item, Listing, Parked, Written
from sharedstate.sync.model import Card
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.github.board import GitHubBoard
from sharedstate_adapters.github.opening import github_board
from sharedstate_adapters.github.survey import survey
from sharedstate_adapters.github.wire import Answered
from tests.integration.github.boards import FREE, Scene

ODD: tuple[Any, ...] = (None, True, 0, -1, 10**400, "", "x", [], {}, [None], [[]], {"id": "1"}, "\ud800", "2026-13-99")
KEYS = [
    "id",
    "number",
    "user",
    "login",
    "author_association",
    "body",
    "updated_at",
    "issue_url",
    "html_url",
    "state",
    "state_reason",
    "labels",
    "locked",
    "comments",
    "pull_request",
    "name",
    "data_type",
    "options",
    "fields",
    "value",
    "content",
    "content_type",
    "repository_url",
    "archived_at",
    "raw",
    "token",
    "slug",
    "message",
    "errors",
]


class Odd:
    """A connection whose every answer was made up."""

    host = "127.0.0.1"

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def request(self, verb: str, url: str, body: Any, headers: dict[str, str], /) -> None:
        self._url = url

    def getresponse(self) -> Answered:
        made = self._made(3)
        if "projectsV2" in self._url and self._random.random() < 0.5:
            options = [{"id": "1", "name": self._made(1)}, self._made(1)]
            made = [{"id": self._made(0), "name": "Status", "data_type": "single_select", "options": options}]
        headers = {"etag": '"x"'} if self._random.random() < 0.5 else {"link": '<http://127.0.0.1/x>; rel="next"'}
        return Answered(status=self._random.choice((200, 200, 200, 201, 304)), headers=headers, body=json.dumps(made))

    def close(self) -> None:
        """Nothing."""

    def _made(self, depth: int) -> Any:
        drawn = self._random.random()
        if depth == 0 or drawn < 0.15:
            return self._random.choice((*ODD, 1, "open", "Status", "Issue", "http://127.0.0.1/repos/acme/app/issues/1"))
        if drawn < 0.5:
            return [self._made(depth - 1) for _ in range(self._random.randrange(4))]
        return {key: self._made(depth - 1) for key in self._random.sample(KEYS, self._random.randrange(len(KEYS)))}


def board_of(seed: int) -> GitHubBoard:
    host = FakeHost()
    settings = {
        "repository": "acme/app",
        "github_api_url": "http://127.0.0.1",
        "project": "acme/1" if seed % 2 else "",
        "assign": seed % 3 == 0,
    }
    odd = Odd(seed)
    return github_board(
        resolve(settings, env={}, folder="/"),
        MemoryStore(host),
        host,
        env={"GITHUB_TOKEN": "token"},
        connection=lambda: odd,
        limits=FREE,
    )


@pytest.mark.parametrize("part", range(4))
def test_no_answer_of_any_shape_makes_the_board_raise(part: int) -> None:
    for seed in range(part * 150, part * 150 + 150):
        board, record = board_of(seed), Scene().record()
        item = Item(task="GH-1", title="", url="", card=Card(status="todo"), handle="acme/app#1 c7 p7")
        assert isinstance(board.list(cursor=None), Listing | Parked | Failed)
        assert isinstance(board.get("GH-1"), Item | Parked | Failed)
        assert isinstance(board.write(item, record), Written | Conflict | Parked | Failed)
        assert isinstance(board.write(item.replace(handle=""), record), Written | Conflict | Parked | Failed)
        assert isinstance(board.label(item, frozenset(("claimed",))), Written | Parked | Failed)
        assert isinstance(board.move(item, "done"), Written | Conflict | Parked | Failed)
        assert isinstance(survey(board), tuple | Parked | Failed)
