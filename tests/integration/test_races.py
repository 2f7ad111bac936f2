"""Real processes hammer a few tasks on a real disk; some are killed, some stand still for longer than the ttl.

Each writes its own history. Together with the journal the histories must show: never two owners, fences that only grow,
zombies refused, and nothing that blocks those who come after.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sharedstate import SharedState
from sharedstate.tasks.outcomes import Claimed
from sharedstate.testing.history import violations_in_journal, violations_in_operations
from tests.integration.race import Race
from tests.integration.racer import TASKS, TTL_MS


@pytest.fixture
def race(tmp_path: Path) -> Iterator[Race]:
    made = Race(tmp_path, seed=7)
    yield made
    made.end()


@pytest.mark.slow
def test_killed_and_stopped_processes_never_make_two_owners(race: Race) -> None:
    race.run()
    operations = race.operations()
    assert violations_in_operations(operations) == []
    with SharedState.open(race.root, owner="ws/judge", max_retries=1_000) as state:
        assert violations_in_journal(list(state.events())) == []
        state.claims.sweep()
        began_s = time.monotonic()
        for task in TASKS:  # whatever the dead have left, the living go on
            time.sleep(2 * TTL_MS / 1000)
            assert isinstance(state.claims.claim(task, reopen=True), Claimed)
        assert time.monotonic() - began_s < 5
    kinds = Counter(operation.kind for operation in operations if operation.ok)
    # Only a race in which all of this happened proves anything.
    assert race.done["killed"] >= 5, race.done
    assert race.done["stopped"] >= 5, race.done
    assert min(kinds["claim"], kinds["takeover"], kinds["renew"], kinds["release"]) >= 10, kinds
    assert race.done["owner_mismatch"] + race.done["attempt_token_mismatch"] + race.done["task_abandoned"] >= 5, (
        race.done
    )
    assert any(operation.end is None for operation in operations), "somebody died in the middle"
