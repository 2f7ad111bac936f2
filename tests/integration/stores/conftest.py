"""The fixture `place`: every store in turn, each with an empty state that several processes can open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.stores.places import PLACES, Place, new_place

Counted = Callable[[int], None]


@pytest.fixture(params=sorted(PLACES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty state of one store; the folder's name is told apart by the store and the run."""
    folder = tmp_path / f"{request.param}-{tmp_path.parent.parent.name}-{tmp_path.parent.name}-{tmp_path.name}"
    folder.mkdir()
    return new_place(request.param, folder)


@pytest.fixture
def counted(place: Place, record_property: Callable[[str, object], None]) -> Counted:
    """Say how many operations a test has done on its store; the run prints their sums."""
    return lambda count: record_property("operations", (place.name, count))
