"""The real GitHub, only when asked for: does the fake show nothing that the real one does not?

    SMOKE_GITHUB_REPO=owner/name SMOKE_GITHUB_TOKEN=… pytest tests/integration/github/test_real.py

It reads a public repository with at least one comment on an issue; with SMOKE_GITHUB_ISSUE=NUMBER it also writes one
comment there, edits it, and removes it again.
"""

from __future__ import annotations

import json
import os
import urllib.request
from typing import Any

import pytest

from sharedstate.testing.github import FakeGitHub

REPO = os.environ.get("SMOKE_GITHUB_REPO", "")
TOKEN = os.environ.get("SMOKE_GITHUB_TOKEN", "")
ISSUE = os.environ.get("SMOKE_GITHUB_ISSUE", "")
API = os.environ.get("GITHUB_API_URL", "https://api.github.com")
TIMEOUT_S = 20

pytestmark = pytest.mark.skipif(
    not REPO, reason="the real GitHub is asked only when SMOKE_GITHUB_REPO names a repository"
)


def real(method: str, target: str, given: Any = None) -> tuple[Any, dict[str, str]]:
    headers = {"User-Agent": "sharedstate-smoke", "X-GitHub-Api-Version": "2022-11-28"}
    if TOKEN:
        headers["Authorization"] = f"Bearer {TOKEN}"
    body = None if given is None else json.dumps(given).encode()
    request = urllib.request.Request(f"{API}{target}", method=method, headers=headers, data=body)  # noqa: S310 - reason: the address is the tester's own
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - reason: as above, the tester's own address
        text = answer.read()
        return json.loads(text) if text else None, {name.lower(): value for name, value in answer.headers.items()}


def fields(document: Any, at: str = "") -> set[str]:
    """Every field by its path; lists count by their first entry."""
    if isinstance(document, list):
        return fields(document[0], f"{at}[]") if document else set()
    if not isinstance(document, dict):
        return {at}
    return {path for name, value in document.items() for path in fields(value, f"{at}.{name}")} | {at}


@pytest.fixture
def fake() -> FakeGitHub:
    made = FakeGitHub()
    made.open_issue("One")
    made.comment(1, "text")
    return made


@pytest.mark.parametrize("target", ["issues?state=all&per_page=5", "issues/comments?per_page=5", "labels?per_page=5"])
def test_the_fake_shows_no_field_that_the_real_one_lacks(fake: FakeGitHub, target: str) -> None:
    fake.label(1, "bug")
    shown, headers = real("GET", f"/repos/{REPO}/{target}")
    answer = fake.send("GET", f"/repos/acme/app/{target}", token=fake.token("bot"))
    known = {path for entry in shown for path in fields([entry])}
    # What is null at one may be an object at the other.
    extra = {path for path in fields(answer.json()) if path not in known and path.rpartition(".")[0] in known}
    assert extra <= {"[].assignees", "[].labels"}
    assert {name.lower() for name, _ in answer.headers} - set(headers) <= {"link", "x-github-api-version-selected"}


@pytest.mark.skipif(not (ISSUE and TOKEN), reason="writing needs SMOKE_GITHUB_ISSUE and SMOKE_GITHUB_TOKEN")
def test_a_comment_is_written_edited_in_place_and_removed() -> None:
    made, _ = real("POST", f"/repos/{REPO}/issues/{ISSUE}/comments", {"body": "smoke test, removed at once"})
    target = f"/repos/{REPO}/issues/comments/{made['id']}"
    try:
        edited, _ = real("PATCH", target, {"body": "smoke test, edited"})
        assert (edited["id"], edited["created_at"]) == (made["id"], made["created_at"])
        assert edited["author_association"] == made["author_association"]
    finally:
        real("DELETE", target)
