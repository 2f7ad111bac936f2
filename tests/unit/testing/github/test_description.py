"""The judge itself: it knows every operation of the fake, and catches what differs from GitHub's description."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from sharedstate.testing.github import FakeGitHub, Request, Response
from sharedstate.testing.github.wire import request_of
from sharedstate.testing.github.world import ROUTES
from tests.integration.github.description import FILE, description
from tests.unit.testing.github.asking import ISSUES, REPO

COMMENT = f"{ISSUES}/comments/"


def exchange(method: str, target: str, given: Any = None) -> tuple[Request, Response]:
    fake = FakeGitHub(projects=("acme/1",))
    fake.open_issue("One", labels=("bug",))
    fake.add_card(1)
    made = fake.comment(1, "text")
    target = target + str(made) if target == COMMENT else target
    body = None if given is None else json.dumps(given)
    return request_of(method, target, body=body), fake.send(method, target, token=fake.token("bot"), body=body)


def test_every_operation_of_the_fake_is_one_of_githubs() -> None:
    described = json.loads(FILE.read_text("utf-8"))["paths"]
    assert [(method, path) for method, path, _ in ROUTES if method.lower() not in described.get(path, {})] == []


# What is done to the answer, and what the judge says of it.
WRONG_ANSWERS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a missing field": (lambda shown: shown.pop("updated_at"), "'updated_at' is a required property"),
    "an unknown field": (lambda shown: shown.update(owner="x"), "'owner' was unexpected"),
    "a number for a text": (lambda shown: shown.update(body=7), "7 is not of type 'string'"),
    "a text for a number": (lambda shown: shown.update(id="7"), "'7' is not of type 'integer'"),
    "a moment without zone": (lambda shown: shown.update(created_at="2026-03-01T00:00:00"), "is not a 'date-time'"),
    "no address": (lambda shown: shown.update(html_url="comment"), "'comment' is not a 'uri'"),
    "an unknown association": (lambda shown: shown.update(author_association="FRIEND"), "'FRIEND' is not one of"),
    "a missing field of the user": (lambda shown: shown["user"].pop("id"), "'id' is a required property"),
}


@pytest.mark.parametrize("spoil,complaint", WRONG_ANSWERS.values(), ids=WRONG_ANSWERS)
def test_a_wrong_answer_is_caught(spoil: Callable[[dict[str, Any]], object], complaint: str) -> None:
    request, response = exchange("GET", COMMENT)
    assert description().complaints(request, response) == []
    document = response.json()
    spoil(document)
    found = description().complaints(request, response.replace(body=json.dumps(document).encode()))
    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize("status", [202, 418, 500])
def test_a_status_that_github_does_not_give_is_caught(status: int) -> None:
    request, response = exchange("GET", ISSUES)
    assert "not described" in description().complaints(request, response.replace(status=status))[0]


@pytest.mark.parametrize(
    "method,target,given",
    [
        ("GET", f"{ISSUES}?sort=best", None),
        ("GET", f"{ISSUES}?limit=5", None),
        ("GET", f"{ISSUES}/1/comments?sort=updated", None),
        ("GET", f"{ISSUES}?per_page=ten", None),
        ("PATCH", f"{ISSUES}/1", {"state": "shut"}),
        ("PATCH", f"{ISSUES}/1", {"reason": "completed"}),
        ("POST", f"{ISSUES}/1/comments", {"body": 7}),
        ("POST", f"{ISSUES}/1/comments", None),
        ("PATCH", "/orgs/acme/projectsV2/1/items/1", {"fields": [{"id": "1", "value": "x"}]}),
        ("POST", f"{REPO}/labels", {"name": 7}),
    ],
)
def test_a_request_that_github_does_not_describe_is_caught(method: str, target: str, given: Any) -> None:
    request = request_of(method, target, body=None if given is None else json.dumps(given))
    assert len(description().request_complaints(request)) == 1


@pytest.mark.parametrize(
    "method,target,given",
    [
        ("GET", f"{ISSUES}?state=all&sort=updated&direction=asc&since=2026-03-01T00:00:00Z&per_page=100&page=2", None),
        ("PATCH", f"{ISSUES}/1", {"state": "closed", "state_reason": "not_planned"}),
        ("POST", f"{ISSUES}/1/labels", ["claimed"]),
        ("PATCH", "/orgs/acme/projectsV2/1/items/1", {"fields": [{"id": 1, "value": None}]}),
    ],
)
def test_a_described_request_passes(method: str, target: str, given: Any) -> None:
    request = request_of(method, target, body=None if given is None else json.dumps(given))
    assert description().request_complaints(request) == []


def test_an_unknown_address_is_caught_when_it_is_answered() -> None:
    request = request_of("GET", f"{REPO}/wishes")
    assert description().complaints(request, Response(status=200, body=b"[]")) == [f"GET {REPO}/wishes: unknown"]
