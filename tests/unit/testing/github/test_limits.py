"""Paging, entity tags, limits and headers of the fake."""

from __future__ import annotations

import pytest

from sharedstate.testing.github import GITHUB_LIMITS, FakeGitHub, Limits
from tests.unit.testing.github.asking import ISSUES, links, sent


@pytest.fixture
def fake() -> FakeGitHub:
    return FakeGitHub(users={"bot": "push", "ann": "push"})


def test_pages_follow_their_links_to_the_end(fake: FakeGitHub) -> None:
    for _ in range(7):
        fake.open_issue("x")
    page = sent(fake, "GET", f"{ISSUES}?per_page=3&direction=asc")
    seen = [issue["number"] for issue in page.json()]
    while target := links(page).get("next"):
        assert target.startswith(fake.url + "/")
        assert links(page)["last"].endswith("page=3")
        page = sent(fake, "GET", target)
        seen += [issue["number"] for issue in page.json()]
    assert seen == [*range(1, 8)]
    assert set(links(page)) == {"prev", "first"}


def test_a_list_that_fits_has_no_links_and_pages_hold_at_most_a_hundred(fake: FakeGitHub) -> None:
    for _ in range(101):
        fake.open_issue("x")
    assert len(sent(fake, "GET", ISSUES).json()) == 30
    assert len(sent(fake, "GET", f"{ISSUES}?per_page=500").json()) == 100
    assert links(sent(fake, "GET", "/repos/acme/app/labels")) == {}
    assert sent(fake, "GET", f"{ISSUES}?page=9").json() == []


def test_links_carry_the_host_and_port_of_the_request(fake: FakeGitHub) -> None:
    for _ in range(2):
        fake.open_issue("x")
    page = sent(fake, "GET", f"/api/v3{ISSUES}?per_page=1", headers={"Host": "localhost:8080"})
    assert links(page)["next"].startswith("http://localhost:8080/api/v3/repos/acme/app/issues?")
    assert page.json()[0]["url"] == f"http://localhost:8080/api/v3{ISSUES}/2"


@pytest.mark.parametrize("target", [ISSUES, f"{ISSUES}/1", f"{ISSUES}/1/comments", f"{ISSUES}/comments"])
def test_what_has_not_changed_is_a_304_that_costs_nothing(fake: FakeGitHub, target: str) -> None:
    fake.open_issue("One")
    comment = fake.comment(1, "a")
    first = sent(fake, "GET", target)
    known = {"If-None-Match": first.header("ETag") or ""}
    again = sent(fake, "GET", target, headers=known)
    assert (again.status, again.body) == (304, b"")
    assert again.header("X-RateLimit-Remaining") == first.header("X-RateLimit-Remaining") == "4999"
    assert [entry.cost for entry in fake.requests] == [1, 0]
    fake.edit_comment(comment, "b")
    fake.edit_issue(1, title="Other")
    changed = sent(fake, "GET", target, headers=known)
    assert (changed.status, changed.header("X-RateLimit-Remaining")) == (200, "4998")


def test_if_modified_since_is_understood(fake: FakeGitHub) -> None:
    fake.open_issue("One")
    known = {"If-Modified-Since": sent(fake, "GET", f"{ISSUES}/1").header("Last-Modified") or ""}
    assert sent(fake, "GET", f"{ISSUES}/1", headers=known).status == 304
    fake.clock.advance(5)
    fake.label(1, "bug")
    assert sent(fake, "GET", f"{ISSUES}/1", headers=known).status == 200


def test_the_primary_limit_counts_by_token_and_comes_back_at_the_reset() -> None:
    fake = FakeGitHub(users={"bot": "push", "ann": "push"}, limits=Limits(per_hour=2))
    assert [sent(fake, "GET", ISSUES).status for _ in range(3)] == [200, 200, 403]
    refused = sent(fake, "GET", ISSUES)
    assert "API rate limit exceeded" in refused.json()["message"]
    assert refused.header("X-RateLimit-Remaining") == "0"
    assert sent(fake, "GET", ISSUES, user="ann").status == 200
    reset_s = int(refused.header("X-RateLimit-Reset") or 0)
    fake.clock.advance(reset_s - fake.clock.now().at_ms // 1000)
    assert sent(fake, "GET", ISSUES).status == 200


def test_asking_for_the_limits_is_free(fake: FakeGitHub) -> None:
    sent(fake, "GET", ISSUES)
    core = sent(fake, "GET", "/rate_limit").json()["resources"]["core"]
    assert (core["limit"], core["used"], core["remaining"]) == (5000, 1, 4999)
    assert fake.requests[-1].cost == 0


def test_the_secondary_limits_are_kept_when_asked_for() -> None:
    fake = FakeGitHub(limits=GITHUB_LIMITS)
    fake.open_issue("One")
    answers = [sent(fake, "POST", f"{ISSUES}/1/comments", {"body": "x"}) for _ in range(81)]
    assert [answer.status for answer in answers] == [201] * 80 + [403]
    assert answers[-1].header("Retry-After") == "60"
    fake.clock.advance(60)
    assert sent(fake, "POST", f"{ISSUES}/1/comments", {"body": "x"}).status == 201


def test_points_of_reads_and_writes_are_limited_by_the_minute() -> None:
    fake = FakeGitHub(limits=Limits(points_per_minute=11))
    fake.open_issue("One")
    assert [sent(fake, "PATCH", f"{ISSUES}/1", {"title": "x"}).status for _ in range(3)] == [200, 200, 403]
    assert [sent(fake, "GET", ISSUES).status for _ in range(2)] == [200, 403]


def test_every_answer_is_dated_by_the_fake_clock_and_has_an_id_of_its_own(fake: FakeGitHub) -> None:
    first = sent(fake, "GET", ISSUES)
    fake.clock.advance(1)
    second = sent(fake, "GET", "/nowhere")
    assert first.header("date") == "Sun, 01 Mar 2026 00:00:00 GMT"
    assert second.header("date") == "Sun, 01 Mar 2026 00:00:01 GMT"
    assert first.header("x-github-request-id") != second.header("x-github-request-id")
    assert (second.status, second.header("x-ratelimit-used")) == (404, "2")


def test_an_unknown_version_media_type_or_a_missing_user_agent_is_refused(fake: FakeGitHub) -> None:
    assert sent(fake, "GET", ISSUES, headers={"X-GitHub-Api-Version": "2022-11-28"}).status == 200
    assert sent(fake, "GET", ISSUES, headers={"X-GitHub-Api-Version": "1999-01-01"}).status == 400
    assert sent(fake, "GET", ISSUES, headers={"Accept": "image/png"}).status == 415
    assert sent(fake, "GET", ISSUES, headers={"User-Agent": ""}).status == 403


def test_head_answers_like_get_without_a_body(fake: FakeGitHub) -> None:
    fake.open_issue("One")
    head, get = sent(fake, "HEAD", ISSUES), sent(fake, "GET", ISSUES)
    assert (head.status, head.body, head.header("ETag")) == (200, b"", get.header("ETag"))


def test_the_log_names_method_path_user_status_and_cost(fake: FakeGitHub) -> None:
    fake.open_issue("One")
    sent(fake, "GET", f"{ISSUES}?state=all")
    sent(fake, "POST", f"{ISSUES}/1/comments", {"body": "x"})
    sent(fake, "GET", ISSUES, user=None)
    shown = [(entry.method, entry.path, entry.user, entry.status, entry.cost, entry.points) for entry in fake.requests]
    assert shown == [
        ("GET", ISSUES, "bot", 200, 1, 1),
        ("POST", f"{ISSUES}/1/comments", "bot", 201, 1, 5),
        ("GET", ISSUES, None, 200, 1, 1),
    ]
    assert fake.requests[0].query == (("state", "all"),)
    assert len(fake.requests.where(path="*/comments")) == len(fake.requests.writes()) == 1
    assert fake.requests.cost() == 3
