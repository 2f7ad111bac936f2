"""The fixture `place`: every store in turn, each with an empty state that several processes can open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.stores.places import PLACES, Place, new_place

pytest.register_assert_rewrite("tests.integration.stores.race", "tests.integration.race")  # they say what is wrong
Counted = Callable[[int], None]


@pytest.fixture(params=sorted(PLACES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty state of one store; the name of its folder is no other's, also on a server that lives longer."""
    folder = tmp_path / f"{request.param}-{uuid4().hex[:12]}"
    folder.mkdir()
    return new_place(request.param, folder)


@pytest.fixture
def counted(place: Place, record_property: Callable[[str, object], None]) -> Counted:
    """Say how many operations a test has done on its store; the run prints their sums."""
    return lambda count: record_property("operations", (place.name, count))
