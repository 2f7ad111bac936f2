"""Boards over FakeGitHub for tests: real PyGithub, one clock for all, requests held against GitHub's description."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

from sharedstate.settings import resolve
from sharedstate.store import Store
from sharedstate.sync.board import Item, Listing, Written
from sharedstate.sync.model import RemoteRecord
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.github import FakeGitHub, Request, Response, World
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.github.board import GitHubBoard
from sharedstate_adapters.github.budget import Limits
from sharedstate_adapters.github.opening import github_board
from tests.integration.github.description import description

FREE = Limits(points_per_minute=10**6, creations_per_minute=10**6, creations_per_hour=10**6, spacing_ms=0)


class Scene:
    """A fake GitHub, a clock, and boards of several users, each with a machine of its own."""

    def __init__(self, *, sockets: bool = False, **options: Any) -> None:
        self.host = FakeHost()
        users: Any = {"bot": "push", "friend": "push", "eve": "read"}
        self.fake = FakeGitHub(**{"users": users, **options}, clock=self.host.machine)
        self._sockets = sockets

    def board(
        self,
        user: str = "bot",
        *,
        local: Store | None = None,
        limits: Limits = FREE,
        token: str | None = None,
        read_only: bool = False,
        **given: Any,
    ) -> GitHubBoard:
        """The board of a user; `given` are settings."""
        friends = ",".join(str(self.fake.user_id(name)) for name in ("bot", "friend"))
        known = {"repository": "acme/app", "github_api_url": self.fake.url, "trusted_authors": friends}
        parts = urlsplit(self.fake.url)
        return github_board(
            resolve({**known, **given}, env={}, folder="/"),
            local or MemoryStore(self.host),
            self.host,
            env={"GITHUB_TOKEN": self.fake.token(user) if token is None else token},
            connection=None
            if self._sockets
            else lambda: self.fake.connection_class()(parts.hostname or "", parts.port),
            limits=limits,
            read_only=read_only,
        )

    def states(self, number: int = 1) -> list[dict[str, Any]]:
        """The comments of an issue that begin as state comments do."""
        return [one for one in self.fake.comments(number) if one["body"].startswith("<!-- sharedstate-state")]

    def record(self, **changes: Any) -> RemoteRecord:
        """A claim of the task of issue 1, a minute old."""
        now_ms = self.host.now().at_ms
        known = RemoteRecord(task="GH-1", status="claimed", owner="ws/a", fence=1, attempts=1, retries_max=3)
        return known.replace(since_ms=now_ms - 60_000, heartbeat_ms=now_ms - 1_000).replace(**changes)


def listed(board: GitHubBoard, cursor: str | None = None) -> Listing:
    """What the board lists; a failure fails the test."""
    listing = board.list(cursor=cursor)
    assert isinstance(listing, Listing), listing
    return listing


def item_of(board: GitHubBoard, task: str = "GH-1") -> Item:
    """One item, read afresh."""
    item = board.get(task)
    assert isinstance(item, Item), item
    return item


def written(board: GitHubBoard, item: Item, record: RemoteRecord) -> Item:
    """The item after a write that must succeed."""
    result = board.write(item, record)
    assert isinstance(result, Written), result
    return result.item


@contextmanager
def described(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Fails when a request or a response of the scene is not as GitHub describes its API."""
    seen: list[str] = []
    handle = World.handle

    def watched(world: World, request: Request) -> Response:
        response = handle(world, request)
        if response.status < 500 and response.how == "whole":
            seen.extend(description().complaints(request, response))
        return response

    monkeypatch.setattr(World, "handle", watched)
    yield
    assert not seen, "\n".join(seen)
