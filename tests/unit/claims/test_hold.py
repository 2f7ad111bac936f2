"""`Hold` on a fake machine and a memory store: outcomes, belief, callbacks, exclusion, forks. Nothing here waits."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from sharedstate.claims.hold import Hold
from sharedstate.claims.requests import exit_code_of
from sharedstate.clock import Instant
from sharedstate.errors import ClaimLost, ClaimRefused, ForkedStore, InvalidInput, StoreUnavailable
from sharedstate.tasks.outcomes import Claimed, Kept, Lost, Refused
from sharedstate.testing.clock import FakeHost
from sharedstate_cli.answers import refused_report
from tests.unit.claims.world import TTL_MS, World, believed, inside, take_over


@pytest.fixture
def world() -> World:
    return World()


def raising(error: BaseException) -> Callable[[Hold], object]:
    """A body that raises."""

    def body(claim: Hold) -> object:
        raise error

    return body


# How it ends


def test_a_body_that_ends_normally_completes_the_task(world: World) -> None:
    with world.state().claims.hold("T") as claim:
        assert (claim.owner, claim.fence, claim.status) == ("here/one", 1, "kept")
        assert claim.token == claim.claimed.token
    assert world.status() == ("complete", None)
    assert believed(claim) == "released"


def test_an_exception_fails_the_task_with_its_text_in_one_line(world: World) -> None:
    with pytest.raises(ValueError, match="first"):
        inside(world.state().claims.hold("T"), raising(ValueError("first\nsecond")))
    assert world.status() == ("failed", "ValueError: first second")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(0), GeneratorExit()], ids=lambda e: type(e).__name__)
def test_an_interruption_abandons_the_task(world: World, error: BaseException) -> None:
    with pytest.raises(type(error)):
        inside(world.state().claims.hold("T"), raising(error))
    assert world.status() == ("abandoned", None)


def test_the_body_may_choose_to_fail_or_to_abandon(world: World) -> None:
    inside(world.state().claims.hold("T"), lambda claim: claim.fail("no network"))
    assert world.status() == ("failed", "no network")
    inside(world.state().claims.hold("T"), Hold.abandon)
    assert world.status() == ("abandoned", None)


def test_a_choice_against_completion_stands_whatever_is_raised_afterwards(world: World) -> None:
    def body(claim: Hold) -> None:
        claim.abandon()
        raise ValueError("after")

    with pytest.raises(ValueError, match="after"):
        inside(world.state().claims.hold("T"), body)
    assert world.status() == ("abandoned", None)


def test_an_exception_after_choosing_complete_still_fails_the_task(world: World) -> None:
    def body(claim: Hold) -> None:
        claim.complete()
        raise ValueError("late")

    with pytest.raises(ValueError, match="late"):
        inside(world.state().claims.hold("T"), body)
    assert world.status() == ("failed", "ValueError: late")


def test_a_release_that_fails_is_raised(world: World) -> None:
    with pytest.raises(StoreUnavailable), world.state().claims.hold("T"):
        world.shared.outage = StoreUnavailable("away")


def test_a_release_that_fails_does_not_hide_what_the_body_raised(world: World) -> None:
    def body(claim: Hold) -> None:
        world.shared.outage = StoreUnavailable("away")
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        inside(world.state().claims.hold("T"), body)


# How it begins


def test_a_refused_claim_raises_with_reason_and_exit_code(world: World) -> None:
    take_over(world)
    with pytest.raises(ClaimRefused) as caught, world.state().claims.hold("T"):
        pytest.fail("the body must not run")
    assert (caught.value.reason, caught.value.exit_code) == ("existing_owner_active", 3)
    world.state().tasks.ignore("U", reason="later", by="a person")
    with pytest.raises(ClaimRefused) as caught, world.state().claims.hold("U"):
        pytest.fail("the body must not run")
    assert (caught.value.reason, caught.value.exit_code) == ("task_ignored", 6)


@pytest.mark.parametrize(
    "reason,code",
    [("task_already_complete", 3), ("max_retries_exceeded", 6), ("corrupt", 7), ("newer_format", 7), ("whatever", 3)],
)
def test_the_command_and_the_library_end_a_refusal_with_the_same_exit_code(reason: str, code: int) -> None:
    assert exit_code_of(reason) == code
    assert refused_report(Refused(reason=reason, task="T", detail="")).code == code


def test_a_second_hold_in_the_same_process_is_refused_and_leaves_the_first_alone(world: World) -> None:
    host = FakeHost(machine=world.machine)
    state, again = world.state(host=host), world.state(host=host)
    with state.claims.hold("T") as claim:
        for claims in (state.claims, again.claims):
            with pytest.raises(ClaimRefused) as caught, claims.hold("T"):
                pytest.fail("the body must not run")
            assert caught.value.reason == "existing_owner_active"
        assert claim.beat() == "kept"
    with state.claims.hold("T", reopen=True):
        pass  # the table is empty again


def test_another_process_of_the_same_owner_is_refused(world: World) -> None:
    with (
        world.state().claims.hold("T"),
        pytest.raises(ClaimRefused, match="another running process"),
        world.state().claims.hold("T"),
    ):
        pytest.fail("the body must not run")


def test_a_dead_process_of_the_same_owner_is_succeeded_at_once(world: World) -> None:
    host = FakeHost(machine=world.machine)
    world.state(host=host).claims.hold("T").__enter__()
    world.machine.kill(host.own)
    with world.state().claims.hold("T") as claim:
        assert (claim.claimed.outcome, claim.fence) == ("reclaimed", 2)


def test_a_claim_made_before_is_continued(world: World) -> None:
    state = world.state()
    before = state.claims.claim("T")
    assert isinstance(before, Claimed)
    with state.claims.hold("T") as claim:
        assert claim.claimed.outcome == "reclaimed"
        assert claim.token != before.token


def test_a_hold_is_used_once(world: World) -> None:
    hold = world.state().claims.hold("T")
    with pytest.raises(InvalidInput, match="begins with the block"):
        _ = hold.token
    with hold:
        pass
    with pytest.raises(InvalidInput, match="used once"), hold:
        pytest.fail("the body must not run")


def test_unknown_renewals_are_refused(world: World) -> None:
    with pytest.raises(InvalidInput, match="renewal"):
        world.state().claims.hold("T", renewal="sometimes")


# What may be believed


def test_beats_keep_the_claim_far_beyond_its_ttl(world: World) -> None:
    with world.state().claims.hold("T") as claim:
        for _ in range(10):
            world.host.advance(10)
            claim.tend(paced=False)
            assert believed(claim) == "kept"
            assert claim.pause_ms(paced=False) == 10_000
    assert world.status() == ("complete", None)


def test_the_interval_is_at_most_a_third_of_the_ttl(world: World) -> None:
    with world.state().claims.hold("T", ttl_ms=3000) as claim:
        assert claim.order().interval_ms == 1000
    with world.state().claims.hold("U", ttl_ms=300_000) as claim:
        assert claim.order().interval_ms == 10_000


def test_the_thread_leaves_a_pacemaker_twice_the_time(world: World) -> None:
    with world.state().claims.hold("T") as claim:
        assert claim.pause_ms(paced=False) == 10_000
        assert claim.pause_ms(paced=True) == 20_000


@pytest.mark.parametrize("pause", ["suspend", "advance"])
def test_after_a_pause_beyond_the_ttl_the_claim_is_not_believed_until_confirmed(world: World, pause: str) -> None:
    told: list[str] = []
    with world.state().claims.hold("T", on_unverifiable=lambda hold: told.append(hold.status)) as claim:
        getattr(world.host, pause)(TTL_MS / 1000)
        assert believed(claim) == "kept"
        world.host.advance(0.001)
        assert believed(claim) == "unverifiable"
        claim.announce()
        claim.announce()
        assert told == ["unverifiable"]
        assert claim.beat() == "kept"


def test_steps_of_the_wall_clock_change_no_belief(world: World) -> None:
    with world.state().claims.hold("T") as claim:
        world.host.step_wall(86_400)
        assert believed(claim) == "kept"
        world.host.step_wall(-2 * 86_400)
        world.host.advance(TTL_MS / 1000 + 1)
        assert believed(claim) == "unverifiable"


def test_check_after_a_pause_asks_the_store(world: World) -> None:
    with world.state().claims.hold("T") as claim:
        world.host.suspend(60)
        claim.check()
        assert believed(claim) == "kept"


def test_check_does_not_pass_while_an_outlived_claim_cannot_be_verified(world: World) -> None:
    with world.state().claims.hold("T") as claim:
        world.shared.outage = StoreUnavailable("away")
        assert claim.beat() == "unverifiable"
        claim.check()  # nobody may take it over yet
        world.host.advance(31)
        with pytest.raises(StoreUnavailable, match="not confirmed"):
            claim.check()
        world.shared.outage = None
        claim.check()
        assert believed(claim) == "kept"


def test_unverifiable_is_told_once_for_each_time(world: World) -> None:
    told: list[Hold] = []
    with world.state().claims.hold("T", on_unverifiable=told.append) as claim:
        for _ in range(2):
            world.shared.outage = StoreUnavailable("away")
            claim.beat()
            claim.beat()
            world.shared.outage = None
            claim.beat()
    assert told == [claim, claim]


def test_a_lost_claim_ends_the_block_with_claim_lost_and_releases_nothing(world: World) -> None:
    lost: list[Hold] = []

    def body(claim: Hold) -> None:
        world.host.suspend(31)
        take_over(world)
        assert believed(claim) == "unverifiable"
        assert claim.beat() == "lost"
        assert claim.lost
        assert claim.wait_lost(0)

    with pytest.raises(ClaimLost, match="owner_mismatch"):
        inside(world.state().claims.hold("T", on_lost=lost.append), body)
    assert len(lost) == 1
    assert world.status()[0] == "claimed"


def test_claim_lost_from_check_passes_through(world: World) -> None:
    written: list[str] = []

    def body(claim: Hold) -> None:
        world.host.suspend(31)
        take_over(world)
        claim.check()
        written.append("result")

    with pytest.raises(ClaimLost):
        inside(world.state().claims.hold("T"), body)
    assert not written
    assert world.status()[0] == "claimed"


def test_a_loss_that_only_the_release_finds_out_is_not_taken_as_done(world: World) -> None:
    def body(claim: Hold) -> None:
        world.host.suspend(31)
        take_over(world)

    with pytest.raises(ClaimLost):
        inside(world.state().claims.hold("T"), body)
    assert world.status()[0] == "claimed"


def test_a_loss_does_not_hide_what_the_body_raised(world: World) -> None:
    def body(claim: Hold) -> None:
        world.host.suspend(31)
        take_over(world)
        claim.beat()
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        inside(world.state().claims.hold("T"), body)
    assert world.status()[0] == "claimed"


def test_lost_is_final(world: World) -> None:
    def body(claim: Hold) -> None:
        claim.hear(asked=world.host.now(), answer=Lost(task="T", reason="owner_mismatch", detail="gone"))
        assert claim.beat() == "lost"
        claim.hear(asked=world.host.now(), answer=kept(world.host.now(), fence=1))
        assert believed(claim) == "lost"

    with pytest.raises(ClaimLost):
        inside(world.state().claims.hold("T"), body)


def test_late_words_about_earlier_renewals_change_nothing(world: World) -> None:
    with world.state().claims.hold("T") as claim:
        early = world.host.now()
        world.host.advance(20)
        claim.beat()
        claim.hear(asked=early, answer=kept(early, fence=1))
        world.host.advance(20)
        assert believed(claim) == "kept"


def kept(now: Instant, *, fence: int) -> Kept:
    return Kept(task="T", owner="here/one", fence=fence, ttl_ms=TTL_MS, expires_ms=now.at_ms + TTL_MS)


def test_a_fence_that_grew_while_held_is_passed_on(world: World) -> None:
    with world.state().claims.hold("T") as claim:
        claim.hear(asked=world.host.now(), answer=kept(world.host.now(), fence=7))
        assert claim.fence == 7


def test_exceptions_in_callbacks_are_logged_and_harm_nothing(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def explode(hold: Hold) -> None:
        raise OSError("callback broke")

    with caplog.at_level(logging.WARNING), world.state().claims.hold("T", on_unverifiable=explode) as claim:
        world.host.suspend(31)
        claim.announce()
        assert claim.beat() == "kept"
    assert "callback broke" in caplog.text


def test_wait_lost_by_hand_renews_on_the_way(world: World) -> None:
    with world.state().claims.hold("T") as claim:
        assert not claim.wait_lost(300)
        assert believed(claim) == "kept"


# Forks


def test_a_forked_child_neither_believes_nor_releases(world: World) -> None:
    host = FakeHost(machine=world.machine)
    parent = host.own
    with world.state(host=host).claims.hold("T") as claim:
        host.fork()
        assert believed(claim) == "unverifiable"
        with pytest.raises(ForkedStore):
            claim.check()
        claim.__exit__(None, None, None)
        assert world.status()[0] == "claimed"
        host.own = parent
        assert claim.beat() == "kept"
    assert world.status()[0] == "complete"


def test_no_representation_shows_the_token(world: World) -> None:
    with world.state().claims.hold("T") as claim:
        assert claim.token not in repr(claim) + repr(claim.claimed) + repr(claim.order())
