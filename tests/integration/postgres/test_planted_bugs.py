"""Bugs planted in the statements and around them: each must be found by the test that stands for its promise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from sharedstate.clock import Instant
from sharedstate.errors import StoreError
from sharedstate.store import Decision, Snapshot
from sharedstate.testing.contracts.steps import in_threads, increments, writes
from sharedstate_adapters.postgres.statements import Statements
from sharedstate_adapters.postgres.store import PostgresStore
from sharedstate_adapters.postgres.wire import Patience
from sharedstate_adapters.postgres.writing import Writer
from tests.integration.postgres.conftest import Lane
from tests.integration.postgres.stores import postgres_store, rows
from tests.integration.postgres.test_lost_answers import (
    test_a_hint_wakes_at_once as hint_wakes,
)
from tests.integration.postgres.test_lost_answers import (
    test_a_transition_that_is_cut_anywhere_happens_once_and_is_told as is_cut,
)
from tests.integration.postgres.test_lost_answers import (
    test_an_append_that_arrives_after_its_retry_has_no_effect as append_is_late,
)
from tests.integration.postgres.test_server import (
    test_a_client_that_stands_still_in_its_decision_blocks_nobody_for_long as stands_still,
)
from tests.integration.stores.places import new_place
from tests.integration.stores.test_clocks import (
    test_a_host_clock_that_is_off_by_an_hour_neither_kills_nor_immortalises_a_claim as clocks_are_off,
)

Check = Callable[[Lane, Path], None]
Plant = Callable[[pytest.MonkeyPatch], None]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def uncounted(count: int) -> None:
    """A planted bug's operations prove nothing."""


def no_update_is_lost(lane: Lane, folder: Path) -> None:
    """Four stores count on one record."""
    del folder
    lane.judge.transact("counters", "c", writes({"count": 0}))
    stores = [postgres_store(lane.straight) for _ in range(4)]

    def counts(mine: PostgresStore) -> None:
        for _ in range(40):
            mine.transact("counters", "c", increments)

    in_threads([partial(counts, mine) for mine in stores])
    held = lane.judge.get("counters", "c")
    assert held is not None
    assert (held.value, held.revision) == ({"count": 160}, 161)


def failed_transitions_leave_no_gap(lane: Lane, folder: Path) -> None:
    """A transaction that fails after it has taken a sequence gives it back."""
    del folder
    schema = lane.judge.address.schema
    rows(lane.straight, "CREATE SEQUENCE IF NOT EXISTS {}.planted", schema=schema)
    text = "ALTER TABLE {}.entries ADD CONSTRAINT poison CHECK (value NOT LIKE '%poison%')"
    rows(lane.straight, text, schema=schema)
    for number in range(4):
        lane.judge.transact("tasks", f"T-{number}", writes({}, events=[{"n": number}]))
        with pytest.raises(StoreError):
            lane.judge.transact("tasks", f"T-{number}", writes({}, events=[{"poison": number}]))
    assert [entry.sequence for entry in lane.judge.read("events")] == [1, 2, 3, 4]


def cut_transitions_happen_once(lane: Lane, folder: Path) -> None:
    """Lost answers of transitions."""
    del folder
    is_cut(lane, "down", 3, uncounted)


def late_appends_happen_once(lane: Lane, folder: Path) -> None:
    """Appends of which two copies reach the server."""
    del folder
    append_is_late(lane, uncounted)


def hints_come(lane: Lane, folder: Path) -> None:
    """NOTIFY."""
    del folder
    hint_wakes(lane)


def the_stopped_block_nobody(lane: Lane, folder: Path) -> None:
    """A client that stands still."""
    del folder
    stands_still(lane)


def clocks_may_be_off(lane: Lane, folder: Path) -> None:
    """Hosts whose clocks are off by an hour."""
    del lane
    clocks_are_off(new_place("postgres", folder), uncounted)


def sql(**texts: Callable[[str], str]) -> Plant:
    """Other texts in place of some statements."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        made = Statements.__init__

        def init(self: Statements, schema: str, channel: str) -> None:
            made(self, schema, channel)
            for name, change in texts.items():
                changed = change(getattr(self, name))
                assert changed != getattr(self, name), "planted nothing"
                setattr(self, name, changed.replace("$", f'"{schema}".'))

        patch.setattr(Statements, "__init__", init)

    return plant


def host_clock(patch: pytest.MonkeyPatch) -> None:
    """Decisions by the clock of the machine."""
    decided = PostgresStore._decided

    def by_host(
        self: PostgresStore, decide: Callable[[Snapshot], Decision[object]], snapshot: Snapshot
    ) -> Decision[object]:
        now = Instant(at_ms=self._host.now().at_ms, boot_ms=0, boot_id="")
        return decided(self, decide, snapshot.replace(now=now))

    patch.setattr(PostgresStore, "_decided", by_host)


def endless_idleness(patch: pytest.MonkeyPatch) -> None:
    """No bound for those who fall silent in a transaction."""

    def unbound(self: Writer, patience: Patience) -> str:
        del self, patience
        return "SELECT 1"

    patch.setattr(Writer, "_idleness", unbound)


def _locked_too_late(text: str) -> str:
    lock = "CROSS JOIN LATERAL (SELECT pg_advisory_xact_lock(hashtext(p.key))) l"
    return text.replace("LEFT JOIN", f"{lock}\nLEFT JOIN", 1)


def _from_a_sequence(text: str) -> str:
    _, _, rest = text.partition("RETURNING last)")
    return f"WITH head AS (SELECT nextval('$planted') + 0 * length(%s) * %s AS last){rest}"


def _no_lock(text: str) -> str:
    del text
    return "SELECT %s::bigint"


def _no_row(text: str) -> str:
    del text
    return "SELECT %s"


def _another_nonce(text: str) -> str:
    return text.replace("SELECT %s, last FROM head", "SELECT gen_random_uuid(), last FROM head WHERE %s <> ''")


PLANTED: dict[str, tuple[Plant, Check]] = {
    "no lock": (sql(lock=_no_lock), no_update_is_lost),
    "look and lock in one statement, of one snapshot": (
        sql(lock=_no_lock, look=_locked_too_late),
        no_update_is_lost,
    ),
    "a sequence object": (sql(log=_from_a_sequence), failed_transitions_leave_no_gap),
    "no nonce written": (sql(mark=_no_row), cut_transitions_happen_once),
    "nonce not looked for": (sql(applied=lambda text: f"{text} AND false"), cut_transitions_happen_once),
    "nonces of appends may be doubled": (sql(mark_result=_another_nonce), late_appends_happen_once),
    "no hint": (sql(notify=_no_row), hints_come),
    "host clock": (host_clock, clocks_may_be_off),
    "no end of idleness": (endless_idleness, the_stopped_block_nobody),
}


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_planted_bug_is_found(name: str, lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, check = PLANTED[name]
    plant(monkeypatch)
    planted = lane.replace(store=postgres_store(lane.url, lock_timeout_ms=4_000), judge=postgres_store(lane.straight))
    with pytest.raises((AssertionError, StoreError)):
        check(planted, tmp_path)


CHECKS: list[Check] = list(dict.fromkeys(check for _, check in PLANTED.values()))


@pytest.mark.parametrize("check", CHECKS)
def test_without_a_bug_none_is_found(check: Check, lane: Lane, tmp_path: Path) -> None:
    check(lane, tmp_path)
