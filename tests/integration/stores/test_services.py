"""Services whose owner stands in a store of each kind: seen from elsewhere, started once, stopped by the owner."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.integration.claims.arena import is_running, wait_for
from tests.integration.services.yard import OTHER, OWNER, Yard
from tests.integration.stores.places import Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def yards(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Yard, Yard]]:
    """Two state roots of one machine on one store."""
    monkeypatch.setenv("SHARED_STATE_URL", place.url)
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made.append(Yard(tmp_path / name))
        made[-1].environment["SHARED_STATE_URL"] = place.url
    yield made[0], made[1]
    for yard in made:
        for pid in yard.processes():
            if pid != os.getpid():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def test_a_service_is_seen_and_guarded_from_another_state_root(yards: tuple[Yard, Yard]) -> None:
    one, two = yards
    pid = one.up()
    wait_for(lambda: two.json("status", "web")["state"] == "running" or None, what="state seen from elsewhere")
    seen = two.json("status", "web")
    assert (seen["owner"], seen["pid"]) == (OWNER, pid)
    denied = two.service("stop", "web", by=OTHER)
    assert (denied.returncode, denied.stdout) == (3, ""), denied.stderr
    assert is_running(pid)
    again = two.json("start", "web", by=OTHER)
    assert again["outcome"] in ("already_running", "denied"), again
    assert two.begun() == [], "started only once"
    assert [entry[:2] for entry in one.trail()][-1:] == [("service_denied", OTHER)], "the trail is shared, too"
    assert one.service("stop", "web").returncode == 0
    assert not is_running(pid)
    assert two.json("status", "web")["state"] != "running"
