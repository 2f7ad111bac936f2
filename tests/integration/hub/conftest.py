"""Every store in turn, and those that can be away in turn, each on a server of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.hub.remotes import REMOTES, Remote
from tests.integration.stores.places import PLACES, Place, new_place


@pytest.fixture(params=sorted(REMOTES))
def absent(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Remote]:
    """A shared store that is not there yet."""
    made = REMOTES[request.param](tmp_path)
    yield made
    made.stop()


@pytest.fixture
def remote(absent: Remote) -> Remote:
    """A shared store that can be killed and comes back."""
    absent.start()
    return absent


@pytest.fixture(params=sorted(PLACES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty state that several machines can open."""
    folder = tmp_path / f"{request.param}-{uuid4().hex[:12]}"
    folder.mkdir()
    return new_place(request.param, folder)
