"""What takes long: pauses, limits and lags in the middle of an operation, between the look and what follows from it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from sharedstate.connect import SharedState
from sharedstate.store import Snapshot
from sharedstate.tasks.outcomes import Claimed, Kept, Lost, Refused
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.contracts.steps import beats, got, increments, writes
from sharedstate.testing.github.faults import FAULTS
from sharedstate.testing.github.inprocess import Answer, Connection
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.github.server_clock import ServerClock
from tests.integration.github.boards import described
from tests.integration.github.stores import Ground


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    made = Ground()
    with described(monkeypatch):
        yield made


class Sleeper(FakeHost):
    """A process whose waits let something happen elsewhere, once, when they are long."""

    meanwhile: Callable[[], object] | None = None

    def sleep(self, seconds: float) -> None:
        act, self.meanwhile = (self.meanwhile, None) if seconds > 5 else (None, self.meanwhile)
        super().sleep(seconds / 2)
        if act is not None:
            act()
        super().sleep(seconds / 2)


class Interrupted(Connection):
    """A connection that lets things happen elsewhere before or after its next request with a given method, once."""

    method = "PATCH"
    before: ClassVar[list[Callable[[], object]]]
    after: ClassVar[list[Callable[[], object]]]

    def getresponse(self) -> Answer:
        assert self._pending is not None
        if self._pending[0] != self.method:
            return super().getresponse()
        while self.before:
            self.before.pop()()
        answer = super().getresponse()
        while self.after:
            self.after.pop()()  # the answer has arrived, and nobody has read it yet
        return answer


class _Forever(list[Callable[[], object]]):
    """Something that happens once after each request."""

    def __init__(self, act: Callable[[], object]) -> None:
        super().__init__()
        self._act = act
        self._due = False

    def __bool__(self) -> bool:
        self._due = not self._due
        return self._due

    def pop(self, *_: Any) -> Callable[[], object]:
        return self._act


def opened(ground: Ground, root: Path, user: str, *, host: Any = None, connection: Any = None) -> SharedState:
    host = host or FakeHost(machine=ground.host.machine)
    store = ground.store(user, host=host, connection=connection)
    return SharedState.open(root, owner=f"ws/{root.name}", store=store, host=host)


def interrupted(ground: Ground, method: str) -> type[Interrupted]:
    fake = ground.fake
    return type(
        "Line", (Interrupted,), {"world": fake.world, "turn": fake.turn, "method": method, "before": [], "after": []}
    )


# The clock


def test_a_pause_between_an_answer_and_its_reading_turns_no_clock_back() -> None:
    host = FakeHost()
    clock = ServerClock(host)
    clock.note(1_000_000, asked_ms=host.now().boot_ms)
    asked_ms = host.now().boot_ms
    host.advance(400)
    before = clock.now()
    clock.note(1_000_000, asked_ms=asked_ms)
    assert clock.now() == before
    assert before.at_ms >= 1_400_000


def test_after_a_first_reading_that_took_long_github_is_asked_again() -> None:
    host = FakeHost()
    clock = ServerClock(host)
    asked_ms = host.now().boot_ms
    host.advance(60)
    clock.note(1_000_000, asked_ms=asked_ms)
    assert (clock.known, clock.sure) == (True, False)
    clock.note(1_060_000, asked_ms=host.now().boot_ms)
    assert clock.sure
    assert clock.now().at_ms == 1_060_000


def test_a_line_that_is_always_slow_is_slow_and_no_more(ground: Ground) -> None:
    line = interrupted(ground, "GET")
    store = ground.store(connection=lambda: line("127.0.0.1", None), patience_s=600)
    line.after = _Forever(lambda: ground.host.advance(8))
    assert store.transact("tasks", "GH-1", increments) == 0
    assert store.transact("tasks", "GH-1", increments) == 1


def test_a_clock_that_runs_ahead_is_pulled_back_as_far_as_a_reading_proves() -> None:
    host = FakeHost()
    clock = ServerClock(host)
    clock.note(1_100_000, asked_ms=host.now().boot_ms)
    clock.note(1_000_000, asked_ms=host.now().boot_ms)
    assert clock.now().at_ms == 1_000_999


def test_a_claim_is_no_older_than_it_is_when_its_machine_stood_still(ground: Ground, tmp_path: Path) -> None:
    line = interrupted(ground, "GET")
    a = opened(ground, tmp_path / "a", "bot", connection=lambda: line("127.0.0.1", None))
    assert isinstance(a.claims.claim("GH-2"), Claimed)
    line.after.append(lambda: ground.host.advance(400))
    claimed = a.claims.claim("GH-1", ttl_ms=300_000)
    assert isinstance(claimed, Claimed)
    assert isinstance(opened(ground, tmp_path / "b", "friend").claims.claim("GH-1"), Refused), "it is seconds old"


# Decisions that wait


def test_a_decision_that_could_not_be_sent_in_time_is_made_anew(ground: Ground) -> None:
    host = FakeHost(machine=ground.host.machine)
    store, other = ground.store(host=host), ground.store("friend")
    seen: list[int] = []

    def decide(snapshot: Snapshot) -> Any:
        seen.append(snapshot.revision)
        if len(seen) == 1:
            host.advance(30)
        return increments(snapshot)

    assert store.transact("tasks", "GH-1", decide) == 0
    assert seen == [0, 0]
    assert other.transact("tasks", "GH-1", increments) == 1


def test_a_takeover_that_a_limit_held_up_finds_out_that_the_owner_has_come_back(ground: Ground, tmp_path: Path) -> None:
    host = Sleeper(machine=ground.host.machine)
    a, b = opened(ground, tmp_path / "a", "bot"), opened(ground, tmp_path / "b", "friend", host=host)
    assert isinstance(a.claims.claim("GH-1", ttl_ms=60_000), Claimed)
    ground.host.advance(61)
    ground.fake.faults.plan(FAULTS["secondary"].replace(retry_after_s=20), method="POST", user="friend")
    renewed: list[object] = []
    host.meanwhile = lambda: renewed.append(a.claims.renew("GH-1"))
    answer = b.claims.claim("GH-1")
    assert [type(one) for one in renewed] == [Kept]
    assert isinstance(answer, Refused), "it was stale when b decided, but it is not when b can act"
    assert isinstance(a.claims.renew("GH-1"), Kept)


def test_a_late_renewal_that_meets_a_takeover_hears_lost_at_once(ground: Ground, tmp_path: Path) -> None:
    line = interrupted(ground, "PATCH")
    a = opened(ground, tmp_path / "a", "bot", connection=lambda: line("127.0.0.1", None))
    b = opened(ground, tmp_path / "b", "friend")
    assert isinstance(a.claims.claim("GH-1", ttl_ms=90_000), Claimed)
    ground.host.advance(91)
    taken: list[object] = []
    line.before.append(lambda: taken.append(b.claims.claim("GH-1")))
    assert isinstance(a.claims.renew("GH-1"), Lost)
    assert [type(one) for one in taken] == [Claimed]
    assert isinstance(b.claims.renew("GH-1"), Kept)


def test_a_renewal_that_stood_still_before_its_edit_is_decided_anew(ground: Ground, tmp_path: Path) -> None:
    line = interrupted(ground, "PATCH")
    a = opened(ground, tmp_path / "a", "bot", connection=lambda: line("127.0.0.1", None))
    b = opened(ground, tmp_path / "b", "friend")
    assert isinstance(a.claims.claim("GH-1", ttl_ms=60_000), Claimed)
    ground.host.advance(30)

    def pause() -> None:
        ground.host.advance(40)
        assert isinstance(b.claims.claim("GH-1"), Claimed)

    line.before.append(pause)
    assert isinstance(a.claims.renew("GH-1"), Lost)


def test_renewals_in_time_look_no_second_time(ground: Ground, tmp_path: Path) -> None:
    a = opened(ground, tmp_path / "a", "bot")
    a.claims.claim("GH-1", ttl_ms=300_000)
    for seconds, expected in ((60, ["GET*", "PATCH"]), (100, ["GET", "PATCH", "GET"]), (60, ["GET*", "PATCH"])):
        ground.host.advance(seconds)
        before = len(ground.fake.requests)
        assert isinstance(a.claims.renew("GH-1"), Kept)
        assert ground.requests(before) == expected


# Lists that lag


def test_a_step_that_one_list_misses_is_not_posted_again(ground: Ground) -> None:
    store = ground.store()
    store.transact("tasks", "GH-1", writes({"n": 1}, live=1))
    newest = ground.steps(1)[-1]["id"]
    with ground.fake.turn:
        ground.fake.world.state.comments[newest].lags = 1
    ground.host.advance(1)
    store.transact("tasks", "GH-1", beats(1))
    assert [entry.method for entry in ground.fake.requests].count("POST") == 1
    assert got(ground.store("friend"), "tasks", "GH-1").value == {"n": 1}


def test_a_record_whose_only_comment_goes_while_it_settles_is_free(ground: Ground) -> None:
    ground.store().transact("tasks", "GH-1", writes({"n": 1}, live=1))
    (comment,) = ground.steps(1)
    host = Sleeper(machine=ground.host.machine)
    other = ground.store("friend", host=host, settle_s=10.0)
    host.meanwhile = lambda: ground.fake.delete_comment(comment["id"])
    assert other.transact("tasks", "GH-1", writes({"n": 2}, live=1)) == 0


# People and threads


def test_a_person_who_edits_the_hidden_first_line_alone_changes_nothing(ground: Ground) -> None:
    ground.store().transact("tasks", "GH-1", writes({"n": 1}, live=1))
    (comment,) = ground.steps(1)
    for old, new in (" base=0 ", " base=900 "), ("GH%2D1", "GH%2D9"):
        ground.fake.edit_comment(comment["id"], comment["body"].replace(old, new, 1))
        other = ground.store("friend")
        assert got(other, "tasks", "GH-1").value == {"n": 1}
        assert other.get("tasks", "GH-9") is None


def test_a_thread_reads_while_another_waits_for_its_claim_to_settle(ground: Ground) -> None:
    store = ground.store(
        local=MemoryStore(ground.host), host=(host := Sleeper(machine=ground.host.machine)), settle_s=10
    )
    read: list[object] = []

    def in_thread() -> None:
        reader = threading.Thread(target=lambda: read.append(store.get("tasks", "GH-2")))
        reader.start()
        reader.join(10)

    host.meanwhile = in_thread
    store.transact("tasks", "GH-1", writes({"n": 1}))
    assert read == [None]
