"""The server is killed and comes back, stands still, is held up by others: what was acknowledged stays, waits end."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from sharedstate.errors import DurabilityUnknown, ForkedStore, StoreBusy, StoreUnavailable
from sharedstate.store import Decision, Entry, Snapshot
from sharedstate.testing.contracts.steps import beats, in_threads, writes
from sharedstate_adapters.postgres.store import PostgresStore
from tests.integration.postgres.conftest import Counted, Lane
from tests.integration.postgres.stores import check_counts, counted_on, postgres_store, rows
from tests.integration.stores.crew import Crew
from tests.integration.stores.places import Place
from tests.servers.postgres import PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    made = PostgresServer()
    yield made
    made.stop()


def test_a_killed_session_loses_nothing_acknowledged_and_its_clients_go_on(
    server: PostgresServer, tmp_path: Path, counted: Counted
) -> None:
    """Four processes count while sessions of the server are killed, after which it ends all others and recovers."""
    place = Place(name="postgres", url=f"{server.url}?schema=killed", folder=str(tmp_path))
    judge = postgres_store(place.url)
    with Crew(place, "count_up", size=4, count=100, key="c") as crew:
        crew.start()
        for _ in range(3):
            for owner in crew.owners:
                crew.listen(owner, 15)
            pid = rows(server.url, "SELECT max(pid) FROM pg_stat_activity WHERE application_name = 'sharedstate'")
            os.kill(pid[0][0], signal.SIGKILL)
        said = list(chain.from_iterable(crew.finish().values()))
    told = sorted(one for one in said if isinstance(one, int))
    assert told == list(range(1, len(told) + 1)), "a count was lost, told twice, or carried out although it had failed"
    check_counts(judge, len(told))
    counted(len(told))


@pytest.fixture
def waiting_for_nobody(server: PostgresServer) -> Iterator[PostgresServer]:
    """The server waits in each commit for a standby that does not exist."""
    for schema in ("doubtful", "alone"):
        postgres_store(f"{server.url}?schema={schema}").migrate(plan=False)
    alter(server, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    yield server
    alter(server, "ALTER SYSTEM RESET synchronous_standby_names")


def alter(server: PostgresServer, text: str) -> None:
    rows(server.url, text)
    rows(server.url, "SELECT pg_reload_conf()")
    time.sleep(0.3)


def test_a_commit_that_waits_for_a_standby_for_too_long_is_told_as_doubtful(waiting_for_nobody: PostgresServer) -> None:
    url = f"{waiting_for_nobody.url}?schema=doubtful"
    relaxed, store = postgres_store(url, durability="relaxed"), postgres_store(url, lock_timeout_ms=1_500)
    relaxed.transact("counters", "c", counted_on)
    began_s = time.monotonic()
    with pytest.raises(StoreUnavailable, match="not known"):
        store.transact("counters", "c", counted_on)
    with pytest.raises(StoreBusy):  # commits that notify wait for one another, so it has not even begun to commit
        store.append("log", {"n": 1})
    assert time.monotonic() - began_s < 4
    began_s = time.monotonic()
    relaxed.transact("tasks", "T-1", writes({"n": 1}, live=1))  # no event: nobody waits for the journal
    store.transact("tasks", "T-1", beats(1))  # a beat asks for no disk, so for no standby
    assert time.monotonic() - began_s < 1.5


def test_a_commit_whose_wait_for_a_standby_is_ended_by_hand_is_neither_success_nor_failure(
    waiting_for_nobody: PostgresServer,
) -> None:
    url = f"{waiting_for_nobody.url}?schema=alone"
    postgres_store(url, durability="relaxed").transact("counters", "c", counted_on)
    text = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    hand = threading.Timer(0.5, lambda: rows(url, text))
    hand.start()
    store = postgres_store(url)
    with pytest.raises(DurabilityUnknown):
        store.transact("counters", "c", counted_on)
    hand.join()
    assert store.get("counters", "c") is not None


def test_a_server_that_forgets_commits_is_told_to_keep_ours(server: PostgresServer) -> None:
    url = f"{server.url}?schema=habits"
    store, seen = postgres_store(url), list[str]()
    store.migrate(plan=False)
    rows(server.url, "CREATE TABLE habits.modes (mode text)")
    rows(
        server.url,
        "CREATE FUNCTION habits.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO habits.modes VALUES (TG_TABLE_NAME || ' ' || current_setting('synchronous_commit')); RETURN NULL; "
        "END $$",
    )
    for table in ("records", "beats"):
        rows(
            server.url,
            f"CREATE TRIGGER n AFTER INSERT OR UPDATE ON habits.{table} FOR EACH ROW EXECUTE FUNCTION habits.note()",
        )
    for mode in ("off", "on"):
        rows(server.url, f"ALTER ROLE postgres SET synchronous_commit = {mode}")
        store.close()
        store.transact("tasks", "T", writes({"n": 1}))
        store.transact("tasks", "T", writes({"n": 2}), durability="relaxed")
    store.transact("tasks", "T", writes({"n": 2}, live=1))
    store.transact("tasks", "T", beats(1))
    rows(server.url, "ALTER ROLE postgres RESET synchronous_commit")
    seen = [row[0] for row in rows(server.url, "SELECT mode FROM habits.modes")]
    assert seen == ["records on", "records off"] * 2 + ["records on", "beats on", "beats off"]


@pytest.mark.usefixtures("way")
def test_a_client_that_stands_still_in_its_decision_blocks_nobody_for_long(lane: Lane) -> None:
    """Under the lock the server ends its session; when it goes on it decides again, upon what the other has left."""
    slow, other = postgres_store(lane.straight, lock_timeout_ms=1_200), lane.judge
    inside, go_on, calls = threading.Event(), threading.Event(), list[int]()

    def stands_still(snapshot: Snapshot) -> Decision[int]:
        calls.append(snapshot.revision)
        inside.set()
        if len(calls) == 1:
            go_on.wait(20)
        return counted_on(snapshot)

    told: list[object] = []

    def works() -> None:
        try:
            told.append(slow.transact("counters", "c", stands_still))
        except StoreUnavailable as error:
            told.append(error)

    worker = threading.Thread(target=works)
    worker.start()
    try:
        assert inside.wait(10)
        began_s = time.monotonic()
        assert other.transact("counters", "c", counted_on) == 1
        assert time.monotonic() - began_s < 4, "less than the patience of the one that waits"
    finally:
        go_on.set()
        worker.join(20)
    assert (told, calls) == ([2], [0, 1])
    check_counts(other, 2)


def test_waits_for_locks_of_others_end_and_change_nothing(lane: Lane) -> None:
    hasty = postgres_store(lane.straight, lock_timeout_ms=500)
    hasty.transact("counters", "c", counted_on)
    with psycopg.connect(lane.straight.partition("?")[0]) as foreign:
        foreign.execute(SQL("LOCK TABLE {}.entries").format(Identifier(lane.judge.address.schema)))
        for call in (
            lambda: hasty.transact("counters", "c", counted_on),
            lambda: hasty.append("log", {"n": 1}),
            lambda: list(hasty.read("events")),
        ):
            began_s = time.monotonic()
            with pytest.raises((StoreBusy, StoreUnavailable)):
                call()
            assert time.monotonic() - began_s < 1.5
        foreign.rollback()
    check_counts(lane.judge, 1)
    assert hasty.append("log", {"n": 1}) == 1, "nothing is stuck"


def test_many_writers_of_two_records_and_two_journals_never_wait_in_a_circle(lane: Lane, counted: Counted) -> None:
    """Records are locked before journals, by everybody: the server counts no deadlock."""
    before = rows(lane.straight, DEADLOCKS)
    stores = [postgres_store(lane.straight) for _ in range(6)]

    def works(me: int, mine: PostgresStore) -> None:
        for number in range(25):
            journal, other = ("a", "b") if (me + number) % 2 else ("b", "a")
            mine.transact(
                "tasks", f"T-{(me + number // 2) % 2}", writes({"n": 1}, events=[{"by": me}]), journal=journal
            )
            sequence = mine.append(other, {"by": me})
            try:
                mine.load_entries(journal, [Entry(sequence=sequence, at_ms=1, value={}, record="")])
            except ValueError:
                pass  # it has gone on meanwhile

    in_threads([partial(works, me, mine) for me, mine in enumerate(stores)])
    time.sleep(0.6)  # the server counts with a delay
    assert rows(lane.straight, DEADLOCKS) == before
    for journal in ("a", "b"):
        sequences = [entry.sequence for entry in lane.judge.read(journal)]
        assert sequences == list(range(1, len(sequences) + 1))
    counted(6 * 25 * 3)


def test_old_marks_are_removed_by_several_at_once_and_young_ones_stay(lane: Lane) -> None:
    for number in range(30):
        lane.judge.append("log", {"n": number})
    schema = lane.judge.address.schema
    rows(lane.straight, "UPDATE {}.nonces SET at = at - interval '2 hours' WHERE result <= 20", schema=schema)
    stores = [postgres_store(lane.straight) for _ in range(4)]
    in_threads([store.upkeep for store in stores])
    assert rows(lane.straight, "SELECT count(*) FROM {}.nonces", schema=schema) == [(10,)]


def test_a_child_that_was_forked_may_not_use_the_store(lane: Lane) -> None:
    lane.judge.append("log", {"n": 1})
    reader, writer = os.pipe()
    child = os.fork()
    if not child:  # pragma: no cover - reason: it has no tracer
        try:
            lane.judge.now()
        except ForkedStore:
            os.write(writer, b"refused")
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    assert os.read(reader, 100) == b"refused"
    os.close(reader)
    assert lane.judge.append("log", {"n": 2}) == 2, "the parent's connection is whole"
