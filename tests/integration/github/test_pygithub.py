"""PyGithub drives the fake, over sockets and without them: what a real client reads must be there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from github import Auth, Github, GithubException
from github.Requester import Requester

from sharedstate.testing.github import FakeGitHub, Request, Response, World
from tests.integration.github.description import description


@pytest.fixture(autouse=True)
def exchanges_are_as_github_describes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    seen: list[str] = []
    handle = World.handle

    def watched(world: World, request: Request) -> Response:
        response = handle(world, request)
        if response.status < 500 and response.how == "whole":
            seen.extend(description().complaints(request, response))
        return response

    monkeypatch.setattr(World, "handle", watched)
    yield
    assert not seen, "\n".join(seen)


@pytest.fixture(params=["sockets", "in process"])
def fake(request: pytest.FixtureRequest) -> Iterator[FakeGitHub]:
    made = FakeGitHub(users={"bot": "push", "eve": "read"}, projects=("acme/1",))
    made.open_issue("One", body="text", labels=("bug",))
    if request.param == "sockets":
        with made:
            yield made
        return
    connections = made.connection_class()
    Requester.injectConnectionClasses(connections, connections)  # type: ignore[arg-type]  # the same shape
    yield made
    Requester.resetConnectionClasses()


def client(fake: FakeGitHub, user: str = "bot", *, per_page: int = 30) -> Github:
    return Github(
        base_url=fake.url,
        auth=Auth.Token(fake.token(user)),
        retry=None,
        per_page=per_page,
        seconds_between_requests=None,
        seconds_between_writes=None,
    )


def test_issues_are_listed_over_pages_and_counted(fake: FakeGitHub) -> None:
    for number in range(2, 8):
        fake.open_issue(f"Issue {number}")
    repo = client(fake, per_page=3).get_repo("acme/app")
    assert [issue.number for issue in repo.get_issues(state="all", direction="asc")] == [*range(1, 8)]
    assert repo.get_issues().totalCount == 7
    assert [issue.number for issue in repo.get_issues(labels=["bug"])] == [1]


def test_since_is_understood(fake: FakeGitHub) -> None:
    repo = client(fake).get_repo("acme/app")
    fake.clock.advance(60)
    now = datetime.fromtimestamp(fake.clock.now().at_ms / 1000, UTC)
    assert [*repo.get_issues(since=now)] == []
    fake.comment(1, "ping")
    assert [issue.number for issue in repo.get_issues(since=now, sort="updated", state="all")] == [1]
    assert [comment.body for comment in repo.get_issues_comments(since=now - timedelta(seconds=1))] == ["ping"]


def test_a_comment_is_written_edited_and_deleted(fake: FakeGitHub) -> None:
    issue = client(fake).get_repo("acme/app").get_issue(1)
    comment = issue.create_comment("first")
    assert (comment.user.login, comment.user.id) == ("bot", fake.user_id("bot"))
    comment.edit("second")
    assert [(found.id, found.body) for found in issue.get_comments()] == [(comment.id, "second")]
    comment.delete()
    assert fake.comments(1) == []


def test_labels_assignees_state_and_lock_are_changed(fake: FakeGitHub) -> None:
    repo = client(fake).get_repo("acme/app")
    issue = repo.get_issue(1)
    issue.add_to_labels("claimed", "working")
    issue.remove_from_labels("bug")
    assert [label.name for label in issue.get_labels()] == ["claimed", "working"]
    with pytest.raises(GithubException, match="Label does not exist") as absent:
        issue.remove_from_labels("bug")
    assert absent.value.status == 404
    assert repo.create_label("stale", "ff0000").name == "stale"
    issue.add_to_assignees("bot")
    issue.edit(state="closed", state_reason="not_planned")
    issue.lock("resolved")
    shown = fake.issue(1)
    assert (shown["state_reason"], shown["locked"], shown["assignee"]["login"]) == ("not_planned", True, "bot")


def test_a_conditional_list_is_a_304_that_costs_nothing(fake: FakeGitHub) -> None:
    requester = client(fake).requester
    headers, found = requester.requestJsonAndCheck("GET", "/repos/acme/app/issues")
    status, again, body = requester.requestJson(
        "GET", "/repos/acme/app/issues", headers={"If-None-Match": headers["etag"]}
    )
    assert (status, body, len(found)) == (304, "", 1)
    assert again["x-ratelimit-remaining"] == headers["x-ratelimit-remaining"]


def test_errors_arrive_as_exceptions_with_status_and_headers(fake: FakeGitHub) -> None:
    fake.open_issue("Two")
    fake.delete_issue(2)
    repo = client(fake).get_repo("acme/app")
    with pytest.raises(GithubException) as gone:
        repo.get_issue(2)
    assert gone.value.status == 410
    with pytest.raises(GithubException) as forbidden:
        client(fake, "eve").get_repo("acme/app").get_issue(1).edit(title="x")
    assert forbidden.value.status == 403
    with pytest.raises(GithubException) as long:
        repo.get_issue(1).create_comment("x" * 65_537)
    assert long.value.status == 422
    fake.faults.plan("secondary")
    with pytest.raises(GithubException) as limited:
        repo.get_issue(1)
    assert (limited.value.headers or {})["retry-after"] == "60"


def test_a_transferred_issue_is_followed(fake: FakeGitHub) -> None:
    fake.transfer(1, "acme/other")
    moved = client(fake).get_repo("acme/app").get_issue(1)
    assert moved.url == f"{fake.url}/repos/acme/other/issues/1"


@pytest.mark.parametrize(
    "fault,error",
    [
        ("timeout", requests.exceptions.RequestException),
        ("reset", requests.exceptions.ConnectionError),
        ("truncated", requests.exceptions.RequestException),
    ],
)
def test_lost_answers_are_errors_of_requests(fake: FakeGitHub, fault: str, error: type[Exception]) -> None:
    requester = Github(base_url=fake.url, auth=Auth.Token("token-bot"), retry=0, timeout=1).requester
    fake.faults.plan(fault)
    with pytest.raises(error):
        requester.requestJsonAndCheck("GET", "/repos/acme/app/issues")
    requester.close()


def test_a_card_is_moved_through_the_requester(fake: FakeGitHub) -> None:
    fake.add_card(1)
    requester = client(fake).requester
    project = "/orgs/acme/projectsV2/1"
    fields: Any = requester.requestJsonAndCheck("GET", f"{project}/fields")[1]
    status = next(field for field in fields if field["name"] == "Status")
    done = next(option["id"] for option in status["options"] if option["name"]["raw"] == "Done")
    items: Any = requester.requestJsonAndCheck("GET", f"{project}/items")[1]
    change = {"fields": [{"id": status["id"], "value": done}]}
    requester.requestJsonAndCheck("PATCH", f"{project}/items/{items[0]['id']}", input=change)
    assert fake.card(1) == "Done"
