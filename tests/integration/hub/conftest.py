"""A server of the test's own, and files or Redis in turn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.stores.places import Place, new_place
from tests.servers.redis import RedisServer


@pytest.fixture
def server() -> Iterator[RedisServer]:
    made = RedisServer()
    yield made
    made.stop()


@pytest.fixture(params=["files", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty state that several machines can open."""
    folder = tmp_path / f"{request.param}-{uuid4().hex[:12]}"
    folder.mkdir()
    return new_place(request.param, folder)
