"""Shared stores that die and come back: Redis and PostgreSQL by SIGKILL, a git remote by going away."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

from tests.integration.stores.places import Place
from tests.integration.stores.postgres import schema_url
from tests.servers.lifetime import free_port
from tests.servers.postgres import PostgresServer
from tests.servers.redis import RedisServer

_AGAIN_S = 20.0


class Remote(Protocol):
    """A shared store of one test, away at first. `name` and `url` as in `Place`."""

    name: str
    url: str

    def start(self) -> None:
        """Be there (again), with everything that was acknowledged."""
        ...

    def kill(self) -> None:
        """Be away, from one moment to the next."""
        ...

    def changes(self) -> object:
        """Something that any write changes."""
        ...

    def place(self) -> Path:
        """The folder that holds all of it, while it is away."""
        ...

    def stop(self) -> None:
        """End for good, and leave nothing behind."""
        ...


class RedisRemote:
    """A server of its own."""

    name = "redis"

    def __init__(self, folder: Path) -> None:
        del folder
        self._port = free_port()
        self._server: RedisServer | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """The first start makes it."""
        if self._server is None:
            self._server = RedisServer(port=self._port)
        else:
            self._server.start()

    def kill(self) -> None:
        """SIGKILL."""
        assert self._server is not None
        self._server.kill()

    def place(self) -> Path:
        """Its append-only file."""
        assert self._server is not None
        return self._server.folder

    def changes(self) -> object:
        """As the server counts them."""
        import redis

        client: Any = redis.Redis(port=self._port)
        return int(client.info("persistence")["rdb_changes_since_last_save"])

    def stop(self) -> None:
        """Also when it is away."""
        if self._server is not None:
            self._server.stop()


class PostgresRemote:
    """A server of its own: it waits for no disk, for none of these tests cuts the power."""

    name = "postgres"

    def __init__(self, folder: Path) -> None:
        self._server = PostgresServer(fsync=False)
        self._server.kill()
        self.url = schema_url(str(folder), url=self._server.url)

    def start(self) -> None:
        """Its children hold its memory for a moment after it was killed; a start before that is refused."""
        deadline_s = time.monotonic() + _AGAIN_S
        while True:
            try:
                return self._server.start()
            except RuntimeError:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL."""
        self._server.kill()

    def place(self) -> Path:
        """The cluster."""
        return self._server.folder / "data"

    def changes(self) -> object:
        """The next transaction's number: only those that write are given one."""
        import psycopg

        with psycopg.connect(self._server.url) as connection:
            [found] = connection.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text").fetchall()
            return found

    def stop(self) -> None:
        """Also when it is away."""
        self._server.stop()


class GitRemote:
    """A bare repository that is moved aside and back; a push that is under way meanwhile fails."""

    name = "git"

    def __init__(self, folder: Path) -> None:
        self._path, self._aside = folder / "remote.git", folder / "aside.git"
        subprocess.run(["git", "init", "--quiet", "--bare", str(self._aside)], check=True, timeout=60)
        self.url = f"git+ref:///state?remote={quote(str(self._path), safe='')}"

    def start(self) -> None:
        """Move it to its place."""
        self._aside.rename(self._path)

    def kill(self) -> None:
        """Move it aside."""
        self._path.rename(self._aside)

    def place(self) -> Path:
        """The repository."""
        return self._aside

    def changes(self) -> object:
        """Every file of the repository."""
        return sorted((str(path), path.stat().st_mtime_ns) for path in self._path.rglob("*"))

    def stop(self) -> None:
        """The folder goes with the test's."""


REMOTES: Final[Mapping[str, Callable[[Path], Remote]]] = {
    "git": GitRemote,
    "postgres": PostgresRemote,
    "redis": RedisRemote,
}


def save(remote: Remote, to: Path) -> None:
    """A backup, as of now. It is away for a moment."""
    remote.kill()
    subprocess.run(["cp", "-a", str(remote.place()), str(to)], check=True, timeout=60)
    remote.start()


def restore(remote: Remote, backup: Path) -> None:
    """As it was then: what was acknowledged since is lost, as in a failover to a replica that lags behind."""
    remote.kill()
    shutil.rmtree(remote.place())
    subprocess.run(["cp", "-a", str(backup), str(remote.place())], check=True, timeout=60)
    remote.start()


def place_of(remote: Remote, folder: Path) -> Place:
    """Where its machines have their roots."""
    return Place(name=remote.name, url=remote.url, folder=str(folder), pace=8 if remote.name == "git" else 1)
