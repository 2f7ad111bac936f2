"""Every reason code is API, is documented, and is reached by the story that it is meant for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sharedstate.tasks import outcomes
from tests.unit.tasks.fleet import TASK, TTL_S, Fleet

Story = Callable[[Fleet], object]


def reason(answer: object) -> str:
    return str(getattr(answer, "reason", None))


def after(*steps: Story) -> Story:
    def story(fleet: Fleet) -> object:
        answer: object = None
        for step in steps:
            answer = step(fleet)
        return answer

    return story


def claim(owner: str) -> Story:
    return lambda fleet: fleet.try_claim(owner)


def release(owner: str, status: str, token: str | None = None) -> Story:
    return lambda fleet: fleet.release(owner, status, token=token)


def renew(owner: str, token: str | None = None) -> Story:
    return lambda fleet: fleet.renew(owner, token=token)


def wait(fleet: Fleet) -> None:
    fleet.pass_s(TTL_S + 1)


def ignore(fleet: Fleet) -> object:
    return fleet.tasks.ignore(TASK, reason="on hold", by="person")


def sweep(fleet: Fleet) -> object:
    return fleet.tasks.sweep(TASK)


def check(fleet: Fleet) -> object:
    return fleet.tasks.retry_check(TASK)


def bound_claim_of_the_dead(fleet: Fleet) -> None:
    process = fleet.process()
    fleet.claim("a", process=process)
    fleet.host.kill(process)


exhausted = after(*[step for owner in "abcd" for step in (claim(owner), release(owner, "failed"))])

STORIES: list[tuple[str, str, Story]] = [
    ("claim", "task_ignored", after(ignore, claim("a"))),
    ("claim", "existing_owner_active", after(claim("a"), claim("b"))),
    ("claim", "task_already_complete", after(claim("a"), release("a", "complete"), claim("b"))),
    ("claim", "max_retries_exceeded", after(exhausted, claim("e"))),
    ("renew", "task_not_found", renew("a")),
    ("renew", "owner_mismatch", after(claim("a"), renew("b"))),
    ("renew", "attempt_token_mismatch", after(claim("a"), renew("a", "other"))),
    ("renew", "task_already_complete", after(claim("a"), release("a", "complete"), renew("a"))),
    ("renew", "task_already_failed", after(claim("a"), release("a", "failed"), renew("a"))),
    ("renew", "task_abandoned", after(claim("a"), wait, sweep, renew("a"))),
    ("release", "task_not_found", release("a", "complete")),
    ("release", "owner_mismatch", after(claim("a"), release("b", "complete"))),
    ("release", "attempt_token_mismatch", after(claim("a"), release("a", "complete", "other"))),
    ("release", "task_already_complete", after(claim("a"), release("a", "complete"), release("a", "failed"))),
    ("release", "task_already_failed", after(claim("a"), release("a", "failed"), release("a", "complete"))),
    ("release", "task_abandoned", after(claim("a"), wait, sweep, release("a", "complete"))),
    ("takeover", "owner_stale", after(claim("a"), wait, claim("b"))),
    ("takeover", "owner_dead", after(bound_claim_of_the_dead, claim("b"))),
    ("takeover", "coordinator_priority", after(claim("a"), lambda f: f.try_claim("b", priority=1, coordinator=True))),
    ("takeover", "forced", after(claim("a"), lambda fleet: fleet.try_claim("b", force_reason="urgent"))),
    ("sweep", "owner_stale", after(claim("a"), wait, sweep)),
    ("sweep", "owner_dead", after(bound_claim_of_the_dead, sweep)),
    ("retry check", "no_previous_attempts", check),
    ("retry check", "ignored", after(ignore, check)),
    ("retry check", "already_complete", after(claim("a"), release("a", "complete"), check)),
    ("retry check", "max_retries_exceeded", after(exhausted, check)),
    ("retry check", "currently_owned_by_active_agent", after(claim("a"), check)),
    ("retry check", "eligible_for_retry", after(claim("a"), release("a", "failed"), check)),
]


@pytest.mark.parametrize("verb, code, story", STORIES, ids=[f"{verb}: {code}" for verb, code, _ in STORIES])
def test_the_story_is_answered_with_its_reason(verb: str, code: str, story: Story) -> None:
    assert reason(story(Fleet())) == code


CODES = {value for name, value in vars(outcomes).items() if name.isupper() and isinstance(value, str)}
OF_CLAIMS = {"task_already_claimed", "scope_conflict"}  # tests/unit/claims


def test_no_reason_code_is_without_a_story() -> None:
    assert {code for _, code, _ in STORIES} == CODES - OF_CLAIMS


def test_every_reason_code_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "claims.md").read_text("utf-8")
    assert [code for code in sorted(CODES) if f"`{code}`" not in text] == []
