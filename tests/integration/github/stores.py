"""Stores over FakeGitHub for tests: real PyGithub without sockets, one clock for all, several machines and users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from sharedstate.host import Host
from sharedstate.settings import resolve
from sharedstate.store import DELETE, Decision, Store, Unreadable
from sharedstate.testing.clock import FakeHost, FakeMachine
from sharedstate.testing.github import FakeGitHub
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.github.identity import Identity
from sharedstate_adapters.github.keys import Place
from sharedstate_adapters.github.opening import github_edge
from sharedstate_adapters.github.recall import COLLECTION
from sharedstate_adapters.github.store import GitHubStore, Options
from sharedstate_adapters.github.transition import MARKER
from sharedstate_adapters.github.trust import Rules, read_keys
from sharedstate_adapters.github.wire import Connection
from tests.integration.github.boards import FREE

HOME = Place(repository="acme/app", number=1)
KEY = "k1:hush"


class Ground:
    """A fake GitHub with issues, a clock, and stores on it. `users`: bot and friend may push, eve may read."""

    def __init__(self, *, issues: int = 3, machine: FakeMachine | None = None, **options: Any) -> None:
        self.host = FakeHost(machine=machine or FakeMachine())
        users: Any = {"bot": "push", "friend": "push", "eve": "read"}
        self.fake = FakeGitHub(**{"users": users, **options}, clock=self.host.machine)
        for number in range(issues):
            self.fake.open_issue(f"Task {number + 1}")

    def store(
        self,
        user: str = "bot",
        *,
        local: Store | None = None,
        host: Host | None = None,
        key: str = KEY,
        patience_s: float = 60.0,
        connection: Callable[[], Connection] | None = None,
        **given: Any,
    ) -> GitHubStore:
        """A store of a user on a machine of its own, or on the one whose `local` store is given."""
        mine = local if local is not None else MemoryStore(self.host)
        host = host or FakeHost(machine=self.host.machine)
        resolved = resolve({"github_api_url": self.fake.url}, env={}, folder="/")
        token = {"GITHUB_TOKEN": self.fake.token(user)}
        edge = github_edge(resolved, mine, host, env=token, connection=connection or self.connection, limits=FREE)
        friends = frozenset(self.fake.user_id(name) for name in ("bot", "friend"))
        return GitHubStore(
            edge,
            name="acme/app",
            rules=Rules(authors=friends, keys=read_keys(key, ())),
            local=mine,
            identity=Identity(edge, mine),
            host=host,
            options=Options(patience_s=patience_s, **given),
        )

    def connection(self) -> Connection:
        """A connection to the fake without sockets."""
        parts = urlsplit(self.fake.url)
        return self.fake.connection_class()(parts.hostname or "", parts.port)

    def steps(self, number: int = 1) -> list[dict[str, Any]]:
        """The comments of an issue that begin as transitions do."""
        return [one for one in self.fake.comments(number) if one["body"].startswith(MARKER)]

    def requests(self, since: int = 0) -> list[str]:
        """What was asked of GitHub since the given count: method, with a star where it cost nothing (304)."""
        return [entry.method + ("*" if entry.cost == 0 else "") for entry in list(self.fake.requests)[since:]]


def forget_steps(local: Store) -> None:
    """Let a machine forget what it knows of records, as another one never knew it."""
    for held in list(local.scan(COLLECTION)):
        assert not isinstance(held, Unreadable)
        local.transact(COLLECTION, held.key, lambda _: Decision(result=None, write=DELETE))
