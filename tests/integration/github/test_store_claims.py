"""Claims through GitHub alone: what each operation asks of GitHub, who wins, who expires, what bad weather does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sharedstate.connect import SharedState
from sharedstate.errors import StoreBusy, StoreUnavailable
from sharedstate.host import Host
from sharedstate.settings import resolve
from sharedstate.store import KEEP, Decision
from sharedstate.tasks.outcomes import Claimed, Kept, Lost, Refused, Released, Unverifiable
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.contracts.steps import increments, writes
from sharedstate.testing.github.inprocess import Answer, Connection
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.github.records import Records
from sharedstate_adapters.github.store import GitHubStore
from sharedstate_adapters.github.store_issue import MARKER
from sharedstate_adapters.github.transition import Transition, mark_in, render
from sharedstate_adapters.github.trust import read_keys
from tests.integration.github.boards import described
from tests.integration.github.stores import HOME, KEY, Ground, forget_steps

LOST = ("bad-gateway-applied", "timeout-applied", "reset-applied", "truncated")
NEVER_ARRIVED = ("bad-gateway", "timeout", "reset")


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    made = Ground()
    with described(monkeypatch):
        yield made


class Machine:
    """A machine with a state root of its own. `asked` is what it has asked of GitHub since the last time."""

    def __init__(self, ground: Ground, root: Path, user: str = "bot", **given: Any) -> None:
        self.ground = ground
        self.local = MemoryStore(ground.host)
        self.host = FakeHost(machine=ground.host.machine)
        self.store = ground.store(user, local=self.local, host=self.host, **given)
        owner = f"ws/{root.name}"
        self.state = SharedState.open(root, owner=owner, store=self.store, host=self.host)
        self._seen = 0

    def asked(self) -> list[str]:
        log = self.ground.requests()
        new, self._seen = log[self._seen :], len(log)
        return new


@pytest.fixture
def a(ground: Ground, tmp_path: Path) -> Machine:
    return Machine(ground, tmp_path / "a")


@pytest.fixture
def b(ground: Ground, tmp_path: Path) -> Machine:
    return Machine(ground, tmp_path / "b", "friend")


# The cost of each operation; docs/github-store.md has these numbers. A star: answered 304, free of the hourly limit.


def test_the_requests_of_each_operation(a: Machine) -> None:
    claims = a.state.claims
    assert isinstance(claims.claim("GH-1"), Claimed)
    assert a.asked() == ["GET", "GET", "GET*", "POST", "GET", "GET*"], "who we are (once); two looks, post, two looks"
    assert isinstance(claims.claim("GH-2"), Claimed)
    assert a.asked() == ["GET", "GET*", "POST", "GET", "GET*"]
    for expected in (["GET*", "PATCH"], ["GET", "PATCH"]):
        a.host.advance(60)
        assert isinstance(claims.renew("GH-1"), Kept)
        assert a.asked() == expected
    assert isinstance(claims.release("GH-1", status="failed", error="x"), Released)
    assert a.asked() == ["GET", "POST", "GET", "GET*", "PATCH"], "the old comment becomes the mirror"
    assert isinstance(claims.claim("GH-1"), Claimed)
    assert a.asked() == ["GET", "GET*", "POST", "GET", "GET*", "PATCH", "DELETE"], (
        "the mirror follows, the old comment goes"
    )
    assert len(a.ground.steps(1)) == 2
    assert isinstance(claims.claim("GH-1"), Claimed)
    assert a.asked() == ["GET", "GET*", "PATCH"], "a claim of what is owned already is a heartbeat"


def test_a_refused_claim_posts_nothing(a: Machine, b: Machine) -> None:
    a.state.claims.claim("GH-1")
    a.asked()
    refused = b.state.claims.claim("GH-1")
    assert isinstance(refused, Refused)
    assert refused.reason == "existing_owner_active"
    assert b.asked()[-2:] == ["GET", "GET"], "who we are (once); one look"
    b.state.claims.claim("GH-1")
    assert b.asked() == ["GET*"]


def test_a_thousand_renewals_post_no_comment(a: Machine) -> None:
    a.state.claims.claim("GH-1")
    for _ in range(100):
        a.host.advance(30)
        assert isinstance(a.state.claims.renew("GH-1"), Kept)
    assert [entry.method for entry in a.ground.fake.requests].count("POST") == 1
    assert len(a.ground.steps(1)) == 1


# Owners, expiry, zombies


def test_a_stale_claim_is_taken_over_with_a_higher_fence_and_the_old_owner_hears_of_it(a: Machine, b: Machine) -> None:
    first = a.state.claims.claim("GH-1", ttl_ms=60_000)
    assert isinstance(first, Claimed)
    a.host.advance(55)
    assert isinstance(b.state.claims.claim("GH-1"), Refused), "not stale yet"
    a.host.advance(6)
    second = b.state.claims.claim("GH-1")
    assert isinstance(second, Claimed)
    assert (second.outcome, second.fence) == ("taken_over", first.fence + 1)
    late = a.state.claims.renew("GH-1")
    assert isinstance(late, Lost)
    assert late.holder is not None
    assert late.holder.owner == "ws/b"
    assert isinstance(a.state.claims.release("GH-1"), Lost)
    assert isinstance(b.state.claims.renew("GH-1"), Kept)


def test_renewals_keep_a_claim_for_as_long_as_they_come(a: Machine, b: Machine) -> None:
    a.state.claims.claim("GH-1", ttl_ms=60_000)
    for _ in range(10):
        a.host.advance(40)
        assert isinstance(a.state.claims.renew("GH-1"), Kept)
        assert isinstance(b.state.claims.claim("GH-1"), Refused)


def test_a_sweep_on_one_machine_ends_the_stale_claim_of_another(a: Machine, b: Machine) -> None:
    a.state.claims.claim("GH-1", ttl_ms=60_000)
    b.host.advance(100)
    assert [swept.task for swept in b.state.claims.sweep().swept] == ["GH-1"]
    view = a.state.tasks.get("GH-1")
    assert view is not None
    assert view.state.status == "abandoned"


def test_a_wrong_clock_on_one_machine_changes_nothing(a: Machine, ground: Ground, tmp_path: Path) -> None:
    class Ahead(FakeHost):
        def now(self) -> Any:
            here = super().now()
            return here.replace(at_ms=here.at_ms + 3_600_000)

    a.state.claims.claim("GH-1", ttl_ms=60_000)
    ahead = ground.store("friend", host=Ahead(machine=ground.host.machine))
    with SharedState.open(tmp_path / "c", owner="ws/c", store=ahead, host=FakeHost()) as other:
        assert isinstance(other.claims.claim("GH-1"), Refused)


def test_an_archived_task_comes_back_with_its_fence(a: Machine, b: Machine) -> None:
    a.state.claims.claim("GH-1")
    a.state.claims.release("GH-1", status="failed")
    a.host.advance(3600)
    assert a.state.tasks.archive("GH-1", older_than_ms=1000)
    assert a.state.store.get("tasks", "GH-1") is None
    again = b.state.claims.claim("GH-1")
    assert isinstance(again, Claimed)
    assert again.fence == 2


def test_scopes_of_machines_meet(a: Machine, b: Machine) -> None:
    assert isinstance(a.state.claims.claim("GH-1", scope=["src"]), Claimed)
    refused = b.state.claims.claim("GH-2", scope=["src/x.py"])
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.conflict) == ("scope_conflict", "GH-1")
    assert isinstance(b.state.claims.claim("GH-2", scope=["docs"]), Claimed)


# The store issue


def test_a_task_without_an_issue_lives_on_the_store_issue_which_is_opened_once(a: Machine, b: Machine) -> None:
    assert isinstance(a.state.claims.claim("free-name"), Claimed)
    assert isinstance(b.state.claims.claim("free-name"), Refused)
    assert isinstance(b.state.claims.claim("acme/lib#7"), Claimed), "an issue of another repository"
    issue = a.ground.fake.issue(4)
    assert issue["body"].startswith(MARKER)
    assert [label["name"] for label in issue["labels"]] == ["sharedstate:store"]
    with pytest.raises(LookupError):
        a.ground.fake.issue(5)


def test_of_two_store_issues_the_lower_stays_and_one_by_a_stranger_is_none(a: Machine, b: Machine) -> None:
    fake = a.ground.fake
    fake.open_issue("mine", body=MARKER, labels=("sharedstate:store",), user="eve")
    a.state.claims.claim("one")
    fake.open_issue("another", body=MARKER, labels=("sharedstate:store",), user="bot")
    b.state.claims.claim("two")
    assert [len(a.ground.steps(number)) for number in (4, 5, 6)] == [0, 2, 0]


# Settling


def read_past_a_lagging_comment(ground: Ground) -> None:
    """Two tries upon one step; a list shows the later one, the loser, and misses the other."""
    ground.store().transact("tasks", "GH-1", writes({"count": 0}))
    before = mark_in(ground.steps(1)[0]["body"])
    assert before is not None
    for number, (user, lags) in enumerate((("bot", 1), ("friend", 0)), start=1):
        mark = before.replace(base=1, nonce=f"{number:016x}")
        value = {"count": 10 * number}
        step = Transition(mark=mark, after=(before.nonce,), revision=2, value=value, live=None, seen_ms=None, at_ms=0)
        ground.fake.comment(1, render(step, place=HOME, key=read_keys(KEY, ())[0]), user=user, lags=lags)
    assert ground.store().transact("tasks", "GH-1", increments) == 10


def test_nothing_is_built_upon_a_step_while_an_older_one_may_still_turn_up(ground: Ground) -> None:
    read_past_a_lagging_comment(ground)


def test_a_store_that_builds_upon_what_it_sees_first_is_caught(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Records, "_is_settled", lambda *_: True)
    with pytest.raises(AssertionError):
        read_past_a_lagging_comment(ground)


def test_a_beaten_machine_takes_its_comment_back_and_decides_again(ground: Ground) -> None:
    store, other = ground.store(), ground.store("friend")
    store.transact("tasks", "GH-1", writes({"count": 0}))
    raced: list[int] = []

    def decide(snapshot: Any) -> Decision[int]:
        if not raced:
            raced.append(other.transact("tasks", "GH-1", increments))  # somebody is first, between look and post
        return increments(snapshot)

    assert store.transact("tasks", "GH-1", decide) == 1
    assert raced == [0]
    held = store.get("tasks", "GH-1")
    assert held is not None
    assert held.value == {"count": 2}
    assert len(ground.steps(1)) == 2


# Bad weather


@pytest.mark.parametrize("fault", [*LOST, *NEVER_ARRIVED])
@pytest.mark.parametrize("method", ["POST", "GET", "PATCH", "DELETE"])
def test_a_lost_request_changes_nothing_about_the_outcome(a: Machine, b: Machine, fault: str, method: str) -> None:
    for _ in range(2):
        a.state.claims.claim("GH-1")
        a.state.claims.release("GH-1", status="abandoned")
    a.ground.fake.faults.plan(fault, method=method, path="*comments*", nth=1)
    a.ground.fake.faults.plan(fault, method=method, path="*comments*", nth=2)
    claimed = try_until(lambda: a.state.claims.claim("GH-1"))
    assert isinstance(claimed, Claimed)
    a.ground.fake.faults.clear()
    assert claimed.fence == 3
    assert isinstance(a.state.claims.renew("GH-1"), Kept)
    assert isinstance(b.state.claims.claim("GH-1"), Refused)
    a.state.claims.release("GH-1", status="failed")
    again = b.state.claims.claim("GH-1")
    assert isinstance(again, Claimed)
    assert again.fence == 4
    assert len(a.ground.steps(1)) <= 3, "leftovers of lost answers go with later steps"


def try_until(act: Any) -> Any:
    for _ in range(3):
        try:
            return act()
        except StoreUnavailable:
            continue
    raise AssertionError("it never worked")


class Dying(Connection):
    """A connection whose process dies at one of its requests, before it is sent or after it was carried out."""

    left = 0
    after = False

    def getresponse(self) -> Answer:
        type(self).left -= 1
        if self.left == 0 and not self.after:
            raise KeyboardInterrupt
        answer = super().getresponse()
        if self.left == 0:
            raise KeyboardInterrupt
        return answer


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", range(1, 9))
def test_a_crash_at_any_request_blocks_nobody_for_longer_than_the_ttl(at: int, after: bool, tmp_path: Path) -> None:
    ground = Ground()
    one = Machine(ground, tmp_path / "a")
    for _ in range(2):
        one.state.claims.claim("GH-1")
        one.state.claims.release("GH-1", status="abandoned")
    fake = ground.fake
    line = type("Line", (Dying,), {"world": fake.world, "turn": fake.turn, "left": at, "after": after})
    dying = ground.store(local=one.local, connection=lambda: line("127.0.0.1", None))
    with SharedState.open(tmp_path / "c", owner="ws/c", store=dying, host=FakeHost()) as state:
        try:
            survived = isinstance(state.claims.claim("GH-1", ttl_ms=60_000), Claimed)
        except KeyboardInterrupt:
            survived = False
    assert survived == (at == 8), "a claim takes seven requests"
    other = Machine(ground, tmp_path / "b", "friend")
    first = other.state.claims.claim("GH-1")
    other.host.advance(62)
    claimed = first if isinstance(first, Claimed) else other.state.claims.claim("GH-1")
    assert isinstance(claimed, Claimed)
    assert claimed.fence == (3 if isinstance(first, Claimed) else 4)


def test_a_limit_is_waited_for_when_it_is_short_and_said_when_it_is_long(a: Machine) -> None:
    a.state.claims.claim("GH-1")
    a.ground.fake.faults.plan("secondary", method="POST", path="*comments*")
    with pytest.raises(StoreBusy, match="too long"):
        a.state.claims.claim("GH-2")
    a.host.advance(70)
    assert isinstance(a.state.claims.claim("GH-2"), Claimed)


def test_a_renewal_that_github_does_not_answer_is_unverifiable_and_not_lost(a: Machine) -> None:
    a.state.claims.claim("GH-1")
    a.ground.fake.faults.plan("unavailable", times=9)
    assert isinstance(a.state.claims.renew("GH-1"), Unverifiable)
    a.ground.fake.faults.clear()
    assert isinstance(a.state.claims.renew("GH-1"), Kept)


def test_claims_fail_closed_and_nothing_is_left_behind(a: Machine, b: Machine) -> None:
    a.ground.fake.faults.plan("unavailable", times=99)
    assert a.state.settings.required
    with pytest.raises(StoreUnavailable):
        a.state.claims.claim("GH-1")
    assert a.state.claims.local("GH-1") is None
    assert a.state.claims.ledgers.pending() == []
    a.ground.fake.faults.clear()
    assert isinstance(b.state.claims.claim("GH-1"), Claimed)


def test_the_command_in_a_process_without_github_neither(tmp_path: Path) -> None:
    refused = {"github_api_url": "http://127.0.0.1:9", "github_deadline_ms": 5000}
    settings = resolve({"dir": str(tmp_path), **refused}, env={}, folder="/")
    store = GitHubStore.from_url("github://acme/app", settings=settings, host=Host())
    with pytest.raises(StoreUnavailable):
        store.now()
    with pytest.raises(StoreUnavailable):
        store.transact("tasks", "GH-1", lambda _: Decision(result=None, write=KEEP))


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "token-bot")


def test_a_machine_that_forgets_everything_goes_on(a: Machine) -> None:
    a.state.claims.claim("GH-1")
    forget_steps(a.local)
    assert isinstance(a.state.claims.renew("GH-1"), Kept)
