"""Issues on the fake: who may do what, what lists show, what becomes of closed, deleted and transferred ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sharedstate.testing.github import FakeGitHub, Response
from tests.unit.testing.github.asking import ISSUES, sent


@pytest.fixture
def fake() -> FakeGitHub:
    return FakeGitHub(users={"bot": "push", "eve": "read"})


def numbers(response: Response) -> list[int]:
    return [issue["number"] for issue in response.json()]


def test_what_was_created_is_listed_and_read_back(fake: FakeGitHub) -> None:
    made = sent(fake, "POST", ISSUES, {"title": "One", "body": "text", "labels": ["bug"], "assignees": ["bot"]})
    assert (made.status, made.header("Location")) == (201, f"{fake.url}{ISSUES}/1")
    read = sent(fake, "GET", f"{ISSUES}/1").json()
    assert (read["title"], read["state"], read["state_reason"], read["user"]["login"]) == ("One", "open", None, "bot")
    assert [label["name"] for label in read["labels"]] == ["bug"]
    assert [account["login"] for account in read["assignees"]] == ["bot"]
    assert numbers(sent(fake, "GET", ISSUES)) == [1]


def test_a_reader_may_open_issues_but_labels_and_assignees_are_dropped(fake: FakeGitHub) -> None:
    made = sent(fake, "POST", ISSUES, {"title": "One", "labels": ["bug"], "assignees": ["bot"]}, user="eve")
    assert made.status == 201
    assert made.json()["labels"] == made.json()["assignees"] == []


@pytest.mark.parametrize(
    "change",
    [{"title": "Mine"}, {"state": "closed"}, {"labels": ["x"]}, {"assignees": ["eve"]}],
    ids=lambda change: next(iter(change)),
)
def test_a_reader_changes_nothing_of_others(fake: FakeGitHub, change: dict[str, Any]) -> None:
    fake.open_issue("One")
    before = fake.issue(1)
    assert sent(fake, "PATCH", f"{ISSUES}/1", change, user="eve").status == 403
    assert fake.issue(1) == before


def test_without_a_token_a_public_repository_can_be_read_but_not_changed(fake: FakeGitHub) -> None:
    fake.open_issue("One")
    assert sent(fake, "GET", ISSUES, user=None).status == 200
    assert sent(fake, "POST", ISSUES, {"title": "x"}, user=None).status == 401


def test_an_unknown_token_is_refused(fake: FakeGitHub) -> None:
    refused = fake.send("GET", ISSUES, token="token-nobody")
    assert (refused.status, refused.json()["message"]) == (401, "Bad credentials")


def test_a_private_repository_does_not_exist_for_strangers() -> None:
    fake = FakeGitHub(repos=("acme/app",), private=("acme/app",), users={"bot": "push", "eve": "none"})
    assert sent(fake, "GET", ISSUES).status == 200
    assert sent(fake, "GET", ISSUES, user="eve").status == 404
    assert sent(fake, "GET", ISSUES, user=None).status == 404


def test_closing_says_why_and_reopening_says_so(fake: FakeGitHub) -> None:
    fake.open_issue("One")
    closed = sent(fake, "PATCH", f"{ISSUES}/1", {"state": "closed", "state_reason": "not_planned"}).json()
    assert (closed["state"], closed["state_reason"], closed["closed_by"]["login"]) == ("closed", "not_planned", "bot")
    opened = sent(fake, "PATCH", f"{ISSUES}/1", {"state": "open"}).json()
    assert (opened["state"], opened["state_reason"], opened["closed_at"]) == ("open", "reopened", None)
    assert sent(fake, "PATCH", f"{ISSUES}/1", {"state": "closed"}).json()["state_reason"] == "completed"


def test_lists_filter_by_state_label_and_assignee(fake: FakeGitHub) -> None:
    for _ in range(3):
        fake.open_issue("x")
    fake.close(1)
    fake.label(2, "Bug", "ui")
    fake.assign(3, "bot")
    assert numbers(sent(fake, "GET", ISSUES)) == [3, 2]
    assert numbers(sent(fake, "GET", f"{ISSUES}?state=closed")) == [1]
    assert numbers(sent(fake, "GET", f"{ISSUES}?state=all&direction=asc")) == [1, 2, 3]
    assert numbers(sent(fake, "GET", f"{ISSUES}?labels=bug,UI")) == [2]
    assert numbers(sent(fake, "GET", f"{ISSUES}?labels=bug,other")) == []
    assert numbers(sent(fake, "GET", f"{ISSUES}?assignee=bot")) == [3]
    assert numbers(sent(fake, "GET", f"{ISSUES}?assignee=none")) == [2]
    assert sent(fake, "GET", f"{ISSUES}?state=ajar").status == 422


def test_pull_requests_are_listed_among_the_issues(fake: FakeGitHub) -> None:
    fake.open_issue("A pull request", pull=True)
    assert "pull_request" in sent(fake, "GET", ISSUES).json()[0]


CHANGES: dict[str, Callable[[FakeGitHub], object]] = {
    "title": lambda fake: fake.edit_issue(1, title="Other"),
    "close": lambda fake: fake.close(1),
    "label": lambda fake: fake.label(1, "bug"),
    "assign": lambda fake: fake.assign(1, "bot"),
    "comment": lambda fake: fake.comment(1, "hello"),
    "lock": lambda fake: fake.lock(1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_since_finds_what_was_changed_at_or_after_it(fake: FakeGitHub, change: Callable[[FakeGitHub], object]) -> None:
    fake.open_issue("One")
    fake.open_issue("Two")
    fake.clock.advance(10)
    change(fake)
    at = fake.issue(1)["updated_at"]
    assert numbers(sent(fake, "GET", f"{ISSUES}?since={at}&state=all")) == [1]
    fake.clock.advance(1)
    later = fake.clock.now().at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert numbers(sent(fake, "GET", f"{ISSUES}?since={later}&state=all")) == []


def test_sorting_by_update_puts_the_latest_first(fake: FakeGitHub) -> None:
    for _ in range(3):
        fake.open_issue("x")
    fake.clock.advance(5)
    fake.comment(2, "ping")
    assert numbers(sent(fake, "GET", f"{ISSUES}?sort=updated")) == [2, 3, 1]
    assert numbers(sent(fake, "GET", f"{ISSUES}?sort=comments&direction=asc")) == [1, 3, 2]


def test_a_deleted_issue_is_gone_and_in_no_list(fake: FakeGitHub) -> None:
    fake.open_issue("One")
    comment = fake.comment(1, "hello")
    fake.delete_issue(1)
    assert sent(fake, "GET", f"{ISSUES}/1").status == 410
    assert sent(fake, "GET", f"{ISSUES}/1/comments").status == 410
    assert sent(fake, "POST", f"{ISSUES}/1/comments", {"body": "x"}).status == 410
    assert sent(fake, "GET", f"{ISSUES}/comments/{comment}").status == 404
    assert numbers(sent(fake, "GET", f"{ISSUES}?state=all")) == []


def test_a_transferred_issue_redirects_with_its_comments(fake: FakeGitHub) -> None:
    fake.open_issue("One", labels=("bug",))
    fake.comment(1, "hello")
    assert fake.transfer(1, "acme/other") == 1
    moved = sent(fake, "GET", f"{ISSUES}/1")
    assert moved.status == 301
    target = moved.header("Location")
    assert target is not None
    assert target == moved.json()["url"]
    found = sent(fake, "GET", target).json()
    assert (found["repository_url"], found["comments"]) == (f"{fake.url}/repos/acme/other", 1)
    assert sent(fake, "GET", f"{ISSUES}/1/comments").status == 404
    assert numbers(sent(fake, "GET", f"{ISSUES}?state=all")) == []


def test_a_renamed_repository_redirects_reads_and_writes(fake: FakeGitHub) -> None:
    fake.open_issue("One")
    fake.rename_repo("acme/app", "acme/new")
    read = sent(fake, "GET", f"{ISSUES}/1")
    assert read.status == 301
    assert sent(fake, "GET", read.header("Location") or "").json()["number"] == 1
    assert sent(fake, "PATCH", f"{ISSUES}/1", {"title": "x"}).status == 307


@pytest.mark.parametrize(
    "given",
    [{}, {"title": ""}, {"title": "x" * 257}, {"title": "x", "body": "y" * 65_537}, {"title": "x", "labels": [""]}],
    ids=["nothing", "empty title", "long title", "long body", "empty label"],
)
def test_a_malformed_issue_is_refused_with_the_field_at_fault(fake: FakeGitHub, given: dict[str, Any]) -> None:
    refused = sent(fake, "POST", ISSUES, given)
    assert refused.status == 422
    assert refused.json()["errors"][0]["field"]


def test_a_body_that_is_no_json_is_a_bad_request(fake: FakeGitHub) -> None:
    for body in ("{", "[1]", '"x"'):
        assert fake.send("POST", ISSUES, token=fake.token("bot"), body=body).status == 400


def test_only_people_with_rights_can_be_assigned(fake: FakeGitHub) -> None:
    fake.open_issue("One")
    added = sent(fake, "POST", f"{ISSUES}/1/assignees", {"assignees": ["bot", "eve", "nobody"]})
    assert [account["login"] for account in added.json()["assignees"]] == ["bot"]
    assert sent(fake, "PATCH", f"{ISSUES}/1", {"assignees": ["eve"]}).status == 422
    assert sent(fake, "DELETE", f"{ISSUES}/1/assignees", {"assignees": ["bot"]}).json()["assignees"] == []
    assert sent(fake, "GET", "/repos/acme/app/assignees/bot").status == 204
    assert sent(fake, "GET", "/repos/acme/app/assignees/eve").status == 404
