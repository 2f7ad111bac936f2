"""Where the stores under test are: each place gives an empty state of its own, which other processes open by its URL.

To add a store, add a line to `PLACES`: a name and `module:callable`. The callable gets an empty folder and returns a
`Place`; it is imported only when its tests run.
"""

from __future__ import annotations

import atexit
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

from sharedstate import SharedState
from sharedstate.host import Host
from sharedstate.store import Store
from sharedstate.values import Value
from tests.servers.redis import RedisServer, given_url

PLACES: Final[Mapping[str, str]] = {
    "files": "tests.integration.stores.places:files_place",
    "git": "tests.integration.git.ground:git_place",
    "redis": "tests.integration.stores.places:redis_place",
}


class Place(Value):
    """One empty state: the store's `name`, its `url`, and the `folder` where each machine may keep its own root.

    `server_time`: whether ages are told by a server's clock. `pace`: how much slower one transition is than one of
    files, roughly; tests divide their amount of work by it.
    """

    name: str
    url: str
    folder: str
    server_time: bool = False
    pace: int = 1

    def open(self, machine: str = "one", *, host: Host | None = None, **settings: Any) -> SharedState:
        """The state as a process on `machine` opens it, with `settings` by name (`owner`, `lock_timeout_ms` …)."""
        settings.setdefault("owner", f"{machine}/agent")
        return SharedState.open(f"{self.folder}/{machine}", url=self.url, folder=self.folder, host=host, **settings)

    def store(self, **settings: Any) -> Store:
        """A new store object on this state."""
        return self.open(**settings).store


def new_place(name: str, folder: Path) -> Place:
    """An empty place of the store called `name`."""
    module, _, maker = PLACES[name].partition(":")
    return cast("Place", getattr(import_module(module), maker)(folder))


def files_place(folder: Path) -> Place:
    """Files in a folder that all machines share."""
    return Place(name="files", url=f"file://{folder}/shared", folder=str(folder))


def redis_place(folder: Path) -> Place:
    """A prefix of its own on the server that all tests of this process share."""
    return Place(name="redis", url=f"{redis_url()}?prefix={folder.name}", folder=str(folder), server_time=True)


@cache
def redis_url() -> str:
    """The server that the environment names, or one that is started now and ends with this process."""
    given = given_url()
    if given is not None:
        return given
    server = RedisServer()
    atexit.register(server.stop)
    return server.url
