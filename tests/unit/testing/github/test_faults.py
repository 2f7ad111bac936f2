"""Scripted and random faults of the fake: each does what it says, and the same seed does the same again."""

from __future__ import annotations

import pytest

from sharedstate.testing.github import FAULTS, FakeGitHub, Fault, Response
from tests.unit.testing.github.asking import ISSUES, sent

COMMENTS = f"{ISSUES}/1/comments"


@pytest.fixture
def fake() -> FakeGitHub:
    made = FakeGitHub(users={"bot": "push", "ann": "push"})
    made.open_issue("One")
    return made


def post(fake: FakeGitHub) -> Response:
    return sent(fake, "POST", COMMENTS, {"body": "x"})


SHAPES = {
    "secondary": (403, "60", False, "whole"),
    "secondary-bare": (403, None, False, "whole"),
    "too-many": (429, "60", False, "whole"),
    "too-many-bare": (429, None, False, "whole"),
    "primary": (403, None, False, "whole"),
    "primary-429": (429, None, False, "whole"),
    "bad-gateway": (502, None, False, "whole"),
    "bad-gateway-applied": (502, None, True, "whole"),
    "unavailable": (503, None, False, "whole"),
    "timeout": (502, None, False, "held"),
    "timeout-applied": (201, None, True, "held"),
    "reset": (502, None, False, "reset"),
    "reset-applied": (201, None, True, "reset"),
    "truncated": (201, None, True, "truncated"),
    "trickled": (201, None, True, "trickled"),
    "lagging": (201, None, True, "whole"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_meets_one_request_and_is_over(fake: FakeGitHub, name: str) -> None:
    fake.faults.plan(name)
    met = post(fake)
    status, retry_after, applied, how = SHAPES[name]
    assert (met.status, met.header("Retry-After"), met.how) == (status, retry_after, how)
    assert len(fake.comments(1)) == applied
    assert fake.requests[0].fault == FAULTS[name].kind
    if not name.startswith("primary"):
        assert post(fake).status == 201


def test_an_exhausted_limit_stays_so_until_the_reset(fake: FakeGitHub) -> None:
    fake.faults.plan(FAULTS["primary"].replace(reset_in_s=30))
    met = post(fake)
    assert met.header("X-RateLimit-Remaining") == "0"
    assert met.header("X-RateLimit-Reset") == str(fake.clock.now().at_ms // 1000 + 30)
    assert post(fake).status == 403
    fake.clock.advance(30)
    assert post(fake).status == 201


def test_a_gateway_error_is_a_page_and_shows_no_limits(fake: FakeGitHub) -> None:
    fake.faults.plan("bad-gateway")
    met = post(fake)
    assert met.header("Content-Type") == "text/html"
    assert met.body.startswith(b"<html>")
    assert met.header("X-RateLimit-Remaining") is None


@pytest.mark.parametrize("list_of", [COMMENTS, f"{ISSUES}/comments"])
def test_a_lagging_comment_is_missing_from_lists_but_can_be_read(fake: FakeGitHub, list_of: str) -> None:
    fake.faults.plan(Fault(kind="lagging", applied=True, lags=2))
    url = post(fake).json()["url"]
    assert sent(fake, "GET", url).status == 200
    assert [len(sent(fake, "GET", list_of).json()) for _ in range(3)] == [0, 0, 1]


def test_a_plan_counts_only_the_requests_it_is_about(fake: FakeGitHub) -> None:
    fake.faults.plan("unavailable", nth=2, times=2, method="GET", path="*/issues/1", user="bot")
    statuses = []
    for method, target, user in (
        ("GET", f"{ISSUES}/1", "bot"),
        ("GET", ISSUES, "bot"),
        ("GET", f"{ISSUES}/1", "ann"),
        ("PATCH", f"{ISSUES}/1", "bot"),
        ("GET", f"{ISSUES}/1", "bot"),
        ("GET", f"{ISSUES}/1", "bot"),
        ("GET", f"{ISSUES}/1", "bot"),
    ):
        given = {"title": "x"} if method == "PATCH" else None
        statuses.append(sent(fake, method, target, given, user=user).status)
    assert statuses == [200, 200, 200, 200, 503, 503, 200]


def test_clear_forgets_plans_and_chances(fake: FakeGitHub) -> None:
    fake.faults.plan("secondary")
    fake.faults.random(seed=1, rates={"unavailable": 1.0})
    fake.faults.clear()
    assert post(fake).status == 201


def history(seed: int) -> list[tuple[int, str]]:
    fake = FakeGitHub()
    fake.open_issue("One")
    rates = {"secondary": 0.1, "bad-gateway-applied": 0.1, "timeout": 0.1, "truncated": 0.1, "lagging": 0.3}
    fake.faults.random(seed=seed, rates=rates)
    answers = [post(fake) if turn % 2 else sent(fake, "GET", COMMENTS) for turn in range(60)]
    return [(answer.status, answer.how) for answer in answers]


def test_one_seed_is_one_history_and_another_seed_another() -> None:
    assert history(3) == history(3)
    assert len({tuple(history(seed)) for seed in range(5)}) == 5


def test_random_faults_end_after_their_number_of_requests(fake: FakeGitHub) -> None:
    fake.faults.random(seed=1, rates={"unavailable": 1.0}, requests=2)
    assert [post(fake).status for _ in range(3)] == [503, 503, 201]


def test_wrong_plans_are_errors_of_the_test(fake: FakeGitHub) -> None:
    with pytest.raises(ValueError, match="unknown fault 'flood'"):
        fake.faults.plan("flood")
    with pytest.raises(ValueError, match="counted from 1"):
        fake.faults.plan("reset", nth=0)
    for rates in ({"reset": 0.6, "timeout": 0.6}, {"reset": -0.1}, {"lagging": 1.1}):
        with pytest.raises(ValueError, match="between 0 and 1"):
            fake.faults.random(seed=1, rates=rates)


def test_who_does_not_wait_is_recorded_as_early(fake: FakeGitHub) -> None:
    fake.faults.plan(FAULTS["secondary"].replace(retry_after_s=10))
    post(fake)
    fake.clock.advance(9)
    post(fake)
    fake.clock.advance(1)
    post(fake)
    assert [entry.early for entry in fake.requests] == [False, True, False]
    assert [entry.number for entry in fake.requests.early()] == [2]
