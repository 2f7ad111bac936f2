"""Stores behind servers of a test's own: the server can be killed, and the way there broken in every way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol, Self
from urllib.parse import quote

from sharedstate.testing.proxy import FaultProxy
from tests.integration.stores.places import Place
from tests.servers.git import GitDaemon
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer


class Server(Protocol):
    """What a test does to a server."""

    port: int
    folder: Path

    def kill(self) -> None:
        """SIGKILL."""
        ...

    def halt(self) -> None:
        """An orderly end."""
        ...

    def start(self) -> None:
        """Start it again, with what it has on disk."""
        ...

    def stop(self) -> None:
        """End it, and remove all of it."""
        ...


class Ground:
    """An empty state on a server of its own. `place` leads there through `proxy`, `straight` does not."""

    def __init__(self, name: str, folder: Path) -> None:
        make, url, pace = _SERVERS[name]
        self.server = make()
        self.proxy = FaultProxy(("127.0.0.1", self.server.port), pause_s=0.02)
        self.straight = Place(
            name=name, url=url(self.server.port), folder=str(folder), server_time=name != "git", pace=pace
        )
        self.place = self.straight.replace(url=url(self.proxy.port))

    def url(self, port: int, *, host: str = "127.0.0.1") -> str:
        """The state as it is reached at another address."""
        return _SERVERS[self.straight.name][1](port).replace("127.0.0.1", host)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.proxy.close()
        self.server.stop()


def _git_url(port: int) -> str:
    return f"git+ref:///state?remote={quote(f'git://127.0.0.1:{port}/remote.git', safe='.:')}"


def _redis_url(port: int) -> str:
    return f"redis://127.0.0.1:{port}/0"


def _postgres_url(port: int) -> str:
    return f"postgresql://postgres@127.0.0.1:{port}/postgres"


def _redis() -> RedisServer:
    return RedisServer(fsync="always")


def _postgres() -> PostgresServer:
    return PostgresServer(fsync=False)  # what a kill leaves is with the kernel


_SERVERS: Final[Mapping[str, tuple[Callable[[], Server], Callable[[int], str], int]]] = {
    "git": (GitDaemon, _git_url, 8),
    "postgres": (_postgres, _postgres_url, 1),
    "redis": (_redis, _redis_url, 1),
}
SERVED: Final = tuple(_SERVERS)
