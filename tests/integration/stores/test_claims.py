"""Claims of several machines on one store: owners killed and stopped, clocks that are off; checked by histories."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sharedstate.clock import Instant
from sharedstate.host import Host
from sharedstate.tasks.outcomes import Claimed, Kept, Refused, Released
from sharedstate.testing.history import violations_in_journal, violations_in_operations
from tests.integration.race import Race
from tests.integration.racer import TASKS
from tests.integration.stores.conftest import Counted
from tests.integration.stores.places import Place
from tests.integration.stores.racer import TTL_MS

RACER = Path(__file__).with_name("racer.py")
HOUR_MS = 3_600_000
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


class StoreRace(Race):
    """Racers that share nothing but the store."""

    ttl_ms = TTL_MS

    def __init__(self, place: Place) -> None:
        super().__init__(Path(place.folder), seed=11)
        self.place = place

    def words(self, history: str, owner: str, seconds: str) -> list[str]:
        """Each owner is a machine of its own."""
        root = self.folder / owner.replace("/", "-")
        root.mkdir(exist_ok=True)
        return [str(RACER), str(root), history, owner, str(len(self.histories)), seconds, self.place.url]


@pytest.fixture
def race(place: Place) -> Iterator[StoreRace]:
    made = StoreRace(place)
    yield made
    made.end()


def test_killed_and_stopped_machines_never_make_two_owners(race: StoreRace, counted: Counted) -> None:
    race.run()
    operations = race.operations()
    assert violations_in_operations(operations) == []
    with race.place.open("judge", max_retries=1_000) as state:
        assert violations_in_journal(list(state.events())) == []
        time.sleep(2 * TTL_MS / 1000)
        state.claims.sweep()
        for task in TASKS:  # whatever the dead have left, the living go on
            assert isinstance(state.claims.claim(task, reopen=True), Claimed)
    kinds = Counter(operation.kind for operation in operations if operation.ok)
    # Only a race in which all of this happened proves anything.
    assert race.done["killed"] >= 2, race.done
    assert race.done["stopped"] >= 3, race.done
    assert min(kinds["claim"], kinds["renew"], kinds["release"]) >= 5, kinds
    counted(len(operations))


class OffHost(Host):
    """A machine of its own whose wall clock is off."""

    def __init__(self, off_ms: int) -> None:
        super().__init__()
        self._off_ms = off_ms

    def boot_id(self) -> str:
        """Another boot than any other machine's."""
        return f"boot-{self._off_ms}"

    def now(self) -> Instant:
        """The true moment, shifted."""
        true = super().now()
        return Instant(at_ms=true.at_ms + self._off_ms, boot_ms=true.boot_ms, boot_id=self.boot_id())


def test_a_host_clock_that_is_off_by_an_hour_neither_kills_nor_immortalises_a_claim(
    place: Place, counted: Counted
) -> None:
    if not place.server_time:
        pytest.skip("ages of this store are told by the clocks of the hosts")
    ttl = {"stale_threshold_ms": 1_500, "heartbeat_interval_ms": 300}
    for round_, (held_off_ms, other_off_ms) in enumerate(((HOUR_MS, 0), (-HOUR_MS, 0), (0, HOUR_MS), (0, -HOUR_MS))):
        task = f"T-{round_}"
        holder = place.open(f"holder-{round_}", host=OffHost(held_off_ms), **ttl)
        other = place.open(f"other-{round_}", host=OffHost(other_off_ms), **ttl)
        with holder, other:
            assert isinstance(holder.claims.claim(task), Claimed)
            assert isinstance(other.claims.claim(task), Refused), "an early takeover"
            assert isinstance(holder.claims.renew(task), Kept)
            assert other.claims.sweep().swept == ()
            time.sleep(1.8)
            taken = other.claims.claim(task)
            assert isinstance(taken, Claimed), "an immortal claim"
            assert taken.outcome == "taken_over"
            assert isinstance(other.claims.release(task), Released)
    counted(24)
