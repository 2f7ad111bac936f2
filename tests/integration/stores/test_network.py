"""Every fault of the network on the way to every server: calls end in time, tell the truth, and work afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

from sharedstate.testing.proxy import FAULTS, Fault
from sharedstate.testing.versions import violations_in_versions
from tests.integration.stores.grounds import SERVED, Ground
from tests.integration.stores.race import lines_of, steps_of
from tests.integration.stores.racer import StoreRacer

Recorded = Callable[[str, object], None]
SETTINGS: Final[dict[str, Any]] = {"lock_timeout_ms": 1_000, "git_deadline_ms": 2_000}
LIMIT_S: Final = {"git": 2.0, "postgres": 3.0, "redis": 1.0}  # libpq tries to connect for two seconds at least
SLACK_S: Final = 3.0  # a busy machine
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(params=SERVED)
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    folder = tmp_path / uuid4().hex
    folder.mkdir()
    with Ground(request.param, folder) as made:
        yield made


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "pass"])
def test_a_fault_of_the_network_costs_time_and_never_a_change(
    ground: Ground, fault: Fault, tmp_path: Path, record_property: Recorded
) -> None:
    history = tmp_path / "history"
    name = ground.straight.name
    with ground.place.open("one", **SETTINGS) as state, ground.straight.open("judge") as judge:
        racer = StoreRacer(state, str(history), 1, name="one")
        for act in (racer.write, racer.append, racer.look):
            act("")
        longest_s = 0.0
        for act in (racer.write, racer.append, racer.look):  # a connection breaks, the next one is sound
            ground.proxy.then(fault)
            ground.proxy.drop_connections()
            begun_s = time.monotonic()
            act("")
            longest_s = max(longest_s, time.monotonic() - begun_s)
        ground.proxy.default = fault  # and now all of them
        ground.proxy.drop_connections()
        begun_s = time.monotonic()
        racer.write("")
        longest_s = max(longest_s, time.monotonic() - begun_s)
        ground.proxy.calm()
        ground.proxy.drop_connections()
        racer.write("")
        steps = steps_of([history])
        assert longest_s < LIMIT_S[name] + SLACK_S, f"no deadline: {longest_s:.1f} s"
        assert violations_in_versions(steps, lines_of(judge, list(judge.events()))) == []
        assert steps[-1].fate == "told", "it works again"
        if fault == "slow":
            assert [step.fate for step in steps] == ["told"] * len(steps)
        elif fault != "trickle":  # which may be over in time
            assert steps[-2].fate != "told", "nobody is reached"
    record_property("operations", (name, len(steps)))
