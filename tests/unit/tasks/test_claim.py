"""Stories about claims: first come, first served; the same owner goes on; fences only grow."""

from __future__ import annotations

from sharedstate.tasks.outcomes import Holder, Kept, Lost
from tests.unit.tasks.fleet import TASK, TTL_S, Fleet


def test_a_fresh_claim_begins_the_first_attempt_with_fence_1() -> None:
    fleet = Fleet()
    claimed = fleet.claim("a", host="ws1", meta={"branch": "x"})
    assert (claimed.outcome, claimed.fence, claimed.attempts, claimed.retries) == ("claimed", 1, 1, 0)
    assert claimed.expires_ms == fleet.host.now().at_ms + TTL_S * 1000
    assert claimed.meta == {"branch": "x"}
    assert claimed.token == "", "the shared ledger never sees a token"
    state = fleet.state()
    assert (state.status, state.owner, state.live) == ("claimed", "a", 1)
    assert fleet.events() == ["claimed"]


def test_the_second_comer_is_refused_and_told_who_holds_it_for_how_long() -> None:
    fleet = Fleet()
    fleet.claim("a", host="ws1")
    fleet.pass_s(12.5)
    refused = fleet.refused("b")
    assert refused.reason == "existing_owner_active"
    assert refused.holder == Holder(owner="a", fence=1, age_ms=12_500, ttl_ms=300_000, host="ws1")


def test_a_refusal_writes_nothing_and_is_no_event() -> None:
    fleet = Fleet()
    fleet.claim("a")
    before = fleet.revision()
    for _ in range(3):
        fleet.refused("b")
    assert fleet.revision() == before
    assert fleet.events() == ["claimed"]


def test_a_released_task_blocks_nobody() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.release("a", "abandoned")
    claimed = fleet.claim("b")
    assert (claimed.outcome, claimed.fence, claimed.attempts, claimed.retries) == ("claimed", 2, 2, 1)


def test_the_same_owner_with_the_same_token_is_told_that_it_has_it_already() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.pass_s(100)
    revision = fleet.revision()
    again = fleet.claim("a", token="new", known="a")
    assert (again.outcome, again.fence, again.attempts) == ("already_owned", 1, 1)
    assert again.expires_ms == fleet.host.now().at_ms + TTL_S * 1000, "asking again is a sign of life"
    assert fleet.revision() == revision
    assert fleet.events() == ["claimed"]
    assert isinstance(fleet.renew("a"), Kept), "the token that is known stays the valid one"


def test_the_same_owner_after_a_restart_goes_on_with_a_new_token_and_the_old_one_is_dead() -> None:
    fleet = Fleet()
    fleet.claim("a", meta={"branch": "x"}, scope=("src",))
    again = fleet.claim("a", token="second")
    assert (again.outcome, again.fence, again.attempts, again.retries) == ("reclaimed", 2, 1, 0)
    assert (again.meta, again.scope) == ({"branch": "x"}, ("src",)), "the attempt goes on, with what it said of itself"
    late = fleet.renew("a", token="a")
    assert isinstance(late, Lost)
    assert late.reason == "attempt_token_mismatch"
    assert isinstance(fleet.renew("a", token="second"), Kept)
    assert fleet.events() == ["claimed", "reclaimed"]


def test_the_old_token_of_a_restarted_owner_cannot_release() -> None:
    fleet = Fleet()
    fleet.claim("a")
    fleet.claim("a", token="second")
    lost = fleet.release("a", token="a")
    assert isinstance(lost, Lost)
    assert lost.reason == "attempt_token_mismatch"
    assert fleet.state().status == "claimed"


def test_a_running_process_of_the_same_owner_does_not_share_a_bound_claim() -> None:
    fleet = Fleet()
    first, second = fleet.process(), fleet.process()
    fleet.claim("a", process=first, exclusive=True)
    refused = fleet.refused("a", token="second", known="a", process=second, exclusive=True)
    assert refused.reason == "existing_owner_active"
    assert "another running process" in refused.detail
    assert refused.holder is not None
    assert refused.holder.owner == "a"


def test_a_later_shell_with_the_token_shares_a_bound_claim_without_disturbing_it() -> None:
    fleet = Fleet()
    running = fleet.process()
    fleet.claim("a", process=running, exclusive=True)
    assert fleet.claim("a", token="second", known="a").outcome == "already_owned"
    assert fleet.refused("a", token="second").reason == "existing_owner_active", "without the token it is a stranger"


def test_the_same_process_may_ask_twice() -> None:
    fleet = Fleet()
    own = fleet.process()
    fleet.claim("a", process=own, exclusive=True)
    assert fleet.claim("a", token="second", known="a", process=own, exclusive=True).outcome == "already_owned"


def test_the_next_process_of_the_same_owner_goes_on_at_once_when_the_first_is_dead() -> None:
    fleet = Fleet()
    first, second = fleet.process(), fleet.process()
    fleet.claim("a", process=first, exclusive=True)
    fleet.host.kill(first)
    claimed = fleet.claim("a", token="second", known="a", process=second, exclusive=True)
    assert (claimed.outcome, claimed.fence, claimed.retries) == ("reclaimed", 2, 0)


def test_a_claim_of_a_shell_can_be_bound_to_the_process_that_does_the_work() -> None:
    fleet = Fleet()
    fleet.claim("a")
    bound = fleet.claim("a", token="second", known="a", process=fleet.process(), exclusive=True)
    assert (bound.outcome, bound.fence) == ("reclaimed", 2)
    assert isinstance(fleet.renew("a"), Lost)


def test_a_claim_with_another_scope_is_a_new_ownership_with_a_higher_fence() -> None:
    fleet = Fleet()
    fleet.claim("a", scope=("src",))
    assert fleet.claim("a", token="second", known="a", scope=("src",)).outcome == "already_owned"
    wider = fleet.claim("a", token="second", known="a", scope=("docs", "src"))
    assert (wider.outcome, wider.fence, wider.scope) == ("reclaimed", 2, ("docs", "src"))


def test_fences_grow_through_every_way_to_own() -> None:
    fleet = Fleet()
    fences = [fleet.claim("a").fence, fleet.claim("a", token="2").fence]
    fleet.pass_s(TTL_S + 1)
    fences.append(fleet.claim("b").fence)
    fleet.release("b", "failed")
    fences.append(fleet.claim("c").fence)
    fences.append(fleet.claim("d", force_reason="urgent").fence)
    fleet.release("d")
    fences.append(fleet.claim("a", reopen=True).fence)
    assert fences == [1, 2, 3, 4, 5, 6]


def test_a_fence_given_out_elsewhere_is_passed_over() -> None:
    fleet = Fleet()
    assert fleet.claim("a", fence_floor=1_000).fence == 1_001
    fleet.release("a", "failed")
    assert fleet.claim("b", fence_floor=7).fence == 1_002


def test_tasks_know_nothing_of_each_other() -> None:
    fleet = Fleet()
    fleet.claim("a")
    assert fleet.claim("b", task="T-2").fence == 1
    assert fleet.claim("b", task="t-1").fence == 1
    assert fleet.state(TASK).owner == "a"
