"""Bugs planted in the statements and around them: each must be found by the test that stands for its promise."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sharedstate.clock import Instant
from sharedstate.errors import StoreError
from sharedstate.store import Decision, Snapshot
from sharedstate.testing.contracts.steps import in_threads, increments, writes
from sharedstate_adapters.postgres import transitions
from sharedstate_adapters.postgres.line import Line
from sharedstate_adapters.postgres.migrator import shipped
from sharedstate_adapters.postgres.statements import Statements
from sharedstate_adapters.postgres.store import PostgresStore
from sharedstate_adapters.postgres.transitions import USED_UP, Transition
from sharedstate_adapters.postgres.wire import Patience
from sharedstate_adapters.postgres.writing import Writer
from tests.integration.postgres.conftest import Lane
from tests.integration.postgres.stores import postgres_store, rows
from tests.integration.postgres.test_lost_answers import (
    test_a_hint_wakes_at_once as hint_wakes,
)
from tests.integration.postgres.test_lost_answers import (
    test_a_request_that_arrives_after_its_sender_gave_up_is_refused as gives_up,
)
from tests.integration.postgres.test_lost_answers import (
    test_a_request_that_arrives_between_the_question_for_it_and_the_next_try_changes_nothing as between,
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
from tests.integration.stores import comparing
from tests.integration.stores.places import new_place
from tests.integration.stores.test_clocks import check_common_clock, pairs_on

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
    is_cut(lane, "", "down", 3, uncounted)


def the_late_are_refused(lane: Lane, folder: Path) -> None:
    """Requests that arrive after their sender has given up."""
    del folder
    gives_up(lane, "at once", uncounted)


def both_ways_know_of_each_other(lane: Lane, folder: Path) -> None:
    """Who holds the lock of a record while he decides, and who compares, count on one record."""
    del folder
    lane.judge.transact("counters", "c", writes({"count": 0}))
    slow, quick = postgres_store(lane.straight), postgres_store(lane.straight)
    slow._writer.at_once_max = 0
    inside, done = threading.Event(), threading.Event()

    def stands(snapshot: Snapshot) -> Decision[int]:
        inside.set()
        done.wait(0.5)
        return increments(snapshot)

    def counts() -> None:
        assert inside.wait(10)
        quick.transact("counters", "c", increments)
        done.set()

    in_threads([partial(slow.transact, "counters", "c", stands), counts])
    held = lane.judge.get("counters", "c")
    assert held is not None
    assert held.value == {"count": 2}


def a_renewal_is_noticed(lane: Lane, folder: Path) -> None:
    """A beat."""
    del folder
    comparing.renewal_is_noticed(lane.store, lane.judge)


def a_deletion_is_noticed(lane: Lane, folder: Path) -> None:
    """Another record of the same revision."""
    del folder
    comparing.deletion_is_noticed(lane.store, lane.judge)


def another_record_is_noticed(lane: Lane, folder: Path) -> None:
    """What a decision read beside its record."""
    del folder
    comparing.change_of_another_record_is_noticed(lane.store, lane.judge)


def late_appends_happen_once(lane: Lane, folder: Path) -> None:
    """Appends of which two copies reach the server."""
    del folder
    append_is_late(lane, uncounted)


def hints_come(lane: Lane, folder: Path) -> None:
    """NOTIFY."""
    del folder
    hint_wakes(lane)


def hints_of_transitions_come(lane: Lane, folder: Path) -> None:
    """NOTIFY of a transition's events."""
    del folder
    lane.judge.append("events", {"n": 1})
    took_s: list[float] = []
    for number in range(1, 6):
        timer = threading.Timer(0.1, lambda: lane.judge.transact("tasks", "T", writes({}, events=[{"n": 1}])))
        timer.start()
        began_s = time.monotonic()
        assert lane.store.watch("events", after=number, timeout_s=30) is True
        took_s.append(time.monotonic() - began_s)
        timer.join()
    assert sorted(took_s)[2] < 0.6, "hints come sooner than the look of each second"


def the_stopped_block_nobody(lane: Lane, folder: Path) -> None:
    """A client that stands still."""
    del folder
    stands_still(lane)


def clocks_may_be_off(lane: Lane, folder: Path) -> None:
    """Hosts whose clocks are off by an hour."""
    del lane
    with pairs_on(new_place("postgres", folder)) as pairs:
        check_common_clock(pairs)


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
    transact = PostgresStore.transact

    def by_host(
        self: PostgresStore, collection: str, key: str, decide: Callable[[Snapshot], Decision[Any]], **options: Any
    ) -> Any:
        def decides(snapshot: Snapshot) -> Decision[Any]:
            now = Instant(at_ms=self._host.now().at_ms, boot_ms=0, boot_id="")
            return decide(snapshot.replace(now=now))

        return transact(self, collection, key, decides, **options)

    patch.setattr(PostgresStore, "transact", by_host)


def endless_idleness(patch: pytest.MonkeyPatch) -> None:
    """No bound for those who fall silent in a transaction."""

    def unbound(patience: Patience) -> str:
        del patience
        return "SELECT 1"

    patch.setattr(transitions, "idleness", unbound)


def _locked_too_late(text: str) -> str:
    lock = "CROSS JOIN LATERAL (SELECT pg_advisory_xact_lock(hashtext(p.key))) l"
    return text.replace("LEFT JOIN", f"{lock}\nLEFT JOIN", 1)


def _from_a_sequence(text: str) -> str:
    _, _, rest = text.partition("RETURNING last)")
    return f"WITH head AS (SELECT nextval('$planted') + 0 * length(%s) * %s AS last){rest}"


def _no_lock(text: str) -> str:
    del text
    return "SELECT %s::bigint"


def _never_applied(text: str) -> str:
    return text.replace("SELECT result", f"SELECT {USED_UP}")


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
    "nonce not looked for": (sql(applied=_never_applied), cut_transitions_happen_once),
    "nonces of appends may be doubled": (sql(mark_result=_another_nonce), late_appends_happen_once),
    "no hint": (sql(notify=_no_row), hints_come),
    "host clock": (host_clock, clocks_may_be_off),
    "no end of idleness": (endless_idleness, the_stopped_block_nobody),
}


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_planted_bug_is_found(name: str, lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the statements of those who wait for the record's lock."""
    plant, check = PLANTED[name]
    monkeypatch.setattr(Writer, "at_once_max", 0)
    plant(monkeypatch)
    planted = lane.replace(store=postgres_store(lane.url, lock_timeout_ms=4_000), judge=postgres_store(lane.straight))
    with pytest.raises((AssertionError, StoreError)):
        check(planted, tmp_path)


def test_a_nonce_that_is_asked_for_and_not_used_up_is_found(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(self: Transition[object], line: Line) -> bool:
        sent = self._sent is not None
        return sent and bool(line.ask(self._terms.sql.applied, (self._nonce,), 5.0, what="planted"))

    monkeypatch.setattr(Transition, "_was_applied", asked)
    with pytest.raises(AssertionError):
        between(lane, "counts", monkeypatch, uncounted)


REVISION = "AND revision IS NOT DISTINCT FROM q.was_revision AND live IS NOT DISTINCT FROM q.was_live"
VALUE = "AND value IS NOT DISTINCT FROM q.was_value"
BEATS = "AND fence IS NOT DISTINCT FROM q.was_fence AND at_ms IS NOT DISTINCT FROM q.was_at_ms"
IN_TIME = "now_ms BETWEEN q.moment_ms AND q.not_after_ms"
WAIT = "least(q.wait_ms, q.not_after_ms - now_ms + 1)"
FUNCTION: dict[str, tuple[list[tuple[str, str]], Check]] = {
    "no comparison": ([(REVISION, ""), (VALUE, ""), (BEATS, "")], no_update_is_lost),
    "only revisions compared": ([(VALUE, "")], a_deletion_is_noticed),
    "beats not compared": ([(BEATS, "")], a_renewal_is_noticed),
    "others not compared": ([(" AND others_same", "")], another_record_is_noticed),
    "lock not asked for": ([("pg_try_advisory_xact_lock(q.lock)", "true")], both_ways_know_of_each_other),
    "late requests carried out": ([(IN_TIME, "true"), (WAIT, "q.wait_ms")], the_late_are_refused),
    "no nonce written": ([("IF q.nonce IS NOT NULL", "IF false")], cut_transitions_happen_once),
    "no hint": ([("PERFORM pg_notify(q.channel, q.journal);", "")], hints_of_transitions_come),
}


@pytest.mark.parametrize("name", sorted(FUNCTION))
def test_a_bug_planted_in_the_function_is_found(name: str, lane: Lane, tmp_path: Path) -> None:
    texts, check = FUNCTION[name]
    text = shipped()[1].text.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION")
    for right, wrong in texts:
        assert text.count(right) == 1, right
        text = text.replace(right, wrong)
    rows(lane.straight, f'SET search_path TO "{lane.judge.address.schema}"; {text}')
    with pytest.raises((AssertionError, StoreError)):
        check(lane, tmp_path)


CHECKS: list[Check] = list(dict.fromkeys(check for _, check in (*PLANTED.values(), *FUNCTION.values())))


@pytest.mark.parametrize("check", CHECKS)
def test_without_a_bug_none_is_found(check: Check, lane: Lane, tmp_path: Path) -> None:
    check(lane, tmp_path)


@pytest.mark.parametrize("check", list(dict.fromkeys(check for _, check in PLANTED.values())))
def test_without_a_bug_none_is_found_under_the_lock(
    check: Check, lane: Lane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Writer, "at_once_max", 0)
    check(lane, tmp_path)


def test_nothing_is_told_from_memory(lane: Lane) -> None:
    comparing.nothing_is_told_from_memory(lane.store, lane.judge)


def test_nothing_is_told_from_a_guess_about_another_record(lane: Lane) -> None:
    comparing.nothing_is_told_from_a_guess_about_another_record(lane.store, lane.judge)
