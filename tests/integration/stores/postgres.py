"""The place of the PostgreSQL store: a schema of its own on one server that all tests of this process share."""

from __future__ import annotations

import atexit
from functools import cache
from hashlib import sha256
from pathlib import Path

from tests.integration.stores.places import Place
from tests.servers.postgres import PostgresServer, given_url


@cache
def postgres_url() -> str:
    """The server that the environment names, or one that is started now and ends with this process."""
    given = given_url()
    if given is not None:
        return given
    server = PostgresServer(fsync=False)  # no test here cuts the power; with it, every test waits for the disk
    atexit.register(server.stop)
    return server.url


def schema_url(name: str, *, url: str | None = None) -> str:
    """The URL of a schema that is named by a hash of `name`."""
    base = url or postgres_url()
    return f"{base}{'&' if '?' in base else '?'}schema=t_{sha256(name.encode()).hexdigest()[:20]}"


def postgres_place(folder: Path) -> Place:
    """A schema of its own."""
    return Place(name="postgres", url=schema_url(folder.name), folder=str(folder), server_time=True)
