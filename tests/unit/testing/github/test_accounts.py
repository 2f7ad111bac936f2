"""Accounts, rights and Apps on the fake."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from sharedstate.testing.github import APP_ID, INSTALLATION_ID, FakeGitHub
from tests.unit.testing.github.asking import ISSUES, REPO, sent

TOKENS = f"/app/installations/{INSTALLATION_ID}/access_tokens"


@pytest.fixture
def fake() -> FakeGitHub:
    return FakeGitHub(
        repos=("acme/app", "acme/lib"),
        users={"bot": {"acme/app": "push", "acme/lib": "triage"}, "eve": "read", "boss": "admin"},
    )


def signed(**claims: Any) -> str:
    parts = ({"alg": "RS256", "typ": "JWT"}, {"iss": str(APP_ID), "iat": 1000, "exp": 1600, **claims})
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join((*coded, "c2lnbmVk"))


def test_a_token_says_who_it_is(fake: FakeGitHub) -> None:
    assert fake.token("bot") == "token-bot"
    own = sent(fake, "GET", "/user").json()
    assert (own["login"], own["id"]) == ("bot", fake.user_id("bot"))
    assert sent(fake, "GET", "/users/EVE").json()["id"] == fake.user_id("eve")
    assert sent(fake, "GET", f"/user/{fake.user_id('eve')}").json()["login"] == "eve"
    assert sent(fake, "GET", "/users/nobody").status == 404
    assert sent(fake, "GET", "/user", user=None).status == 401


@pytest.mark.parametrize("scheme", ["Bearer token-bot", "token token-bot", "Basic Ym90OnRva2VuLWJvdA=="])
def test_every_scheme_of_authorization_is_understood(fake: FakeGitHub, scheme: str) -> None:
    assert sent(fake, "GET", "/user", user=None, headers={"Authorization": scheme}).json()["login"] == "bot"


def test_rights_are_told_to_those_who_may_push(fake: FakeGitHub) -> None:
    def told(repo: str, user: str, to: str = "boss") -> Any:
        return sent(fake, "GET", f"/repos/acme/{repo}/collaborators/{user}/permission", user=to)

    assert [told("app", user).json()["permission"] for user in ("boss", "bot", "eve")] == ["admin", "write", "read"]
    assert (told("lib", "bot").json()["permission"], told("lib", "bot").json()["role_name"]) == ("read", "triage")
    assert told("app", "nobody").status == 404
    assert told("app", "bot", to="eve").status == 403
    assert sent(fake, "GET", f"{REPO}/collaborators/bot").status == 204
    assert sent(fake, "GET", f"{REPO}/collaborators/nobody").status == 404


def test_a_repository_shows_the_viewers_rights(fake: FakeGitHub) -> None:
    shown = sent(fake, "GET", REPO).json()
    assert (shown["full_name"], shown["owner"]["type"]) == ("acme/app", "Organization")
    assert shown["permissions"] == {"admin": False, "maintain": False, "push": True, "triage": True, "pull": True}
    assert sent(fake, "GET", "/repos/acme/none").status == 404


def test_an_app_finds_its_installation_and_gets_a_token_that_expires(fake: FakeGitHub) -> None:
    fake.open_issue("One")
    assert fake.send("GET", "/app", token=signed()).json()["id"] == APP_ID
    found = fake.send("GET", f"{REPO}/installation", token=signed())
    assert found.json()["id"] == INSTALLATION_ID
    made = fake.send("POST", TOKENS, token=signed(), body="{}")
    assert (made.status, made.json()["expires_at"]) == (201, "2026-03-01T01:00:00Z")
    token = made.json()["token"]
    comment = fake.send("POST", f"{ISSUES}/1/comments", token=token, body='{"body":"x"}').json()
    assert (comment["user"]["login"], comment["user"]["type"]) == ("fleet[bot]", "Bot")
    assert comment["author_association"] == "NONE"
    assert comment["performed_via_github_app"]["id"] == APP_ID
    repos = fake.send("GET", "/installation/repositories", token=token).json()
    assert [repo["full_name"] for repo in repos["repositories"]] == ["acme/app", "acme/lib"]
    fake.clock.advance(3600)
    assert fake.send("GET", REPO, token=token).status == 401


def test_a_token_of_an_app_does_only_what_it_was_made_for(fake: FakeGitHub) -> None:
    fake.open_issue("One")
    wished = json.dumps({"permissions": {"issues": "read"}})
    token = fake.send("POST", TOKENS, token=signed(), body=wished).json()["token"]
    assert fake.send("GET", ISSUES, token=token).status == 200
    refused = fake.send("POST", f"{ISSUES}/1/comments", token=token, body='{"body":"x"}')
    assert (refused.status, refused.json()["message"]) == (403, "Resource not accessible by integration")
    assert fake.send("GET", "/user", token=token).status == 403


def test_an_app_cannot_comment_where_a_conversation_is_locked(fake: FakeGitHub) -> None:
    fake.open_issue("One")
    fake.lock(1)
    token = fake.send("POST", TOKENS, token=signed()).json()["token"]
    assert fake.send("POST", f"{ISSUES}/1/comments", token=token, body='{"body":"x"}').status == 403


@pytest.mark.parametrize(
    "token,status",
    [("a.b.c", 401), (signed(iss="1"), 404), (signed(exp=9000), 401), (signed(iat=None), 401), ("token-bot", 401)],
    ids=["no claims", "other app", "too long", "no date", "a user"],
)
def test_a_wrong_assertion_gets_no_token(fake: FakeGitHub, token: str, status: int) -> None:
    assert fake.send("POST", TOKENS, token=token).status == status


def test_other_places_to_look_for_an_installation(fake: FakeGitHub) -> None:
    for target, status in (
        ("/orgs/acme/installation", 200),
        ("/users/bot/installation", 404),
        ("/repos/acme/none/installation", 404),
        (f"/app/installations/{INSTALLATION_ID}", 200),
        ("/app/installations/1", 404),
    ):
        assert fake.send("GET", target, token=signed()).status == status, target


def test_rights_can_be_given_and_taken_later(fake: FakeGitHub) -> None:
    fake.open_issue("One")
    fake.grant("eve", "push")
    assert sent(fake, "PATCH", f"{ISSUES}/1", {"title": "x"}, user="eve").status == 200
    fake.grant("eve", {"acme/app": "read"})
    assert sent(fake, "PATCH", f"{ISSUES}/1", {"title": "y"}, user="eve").status == 403
    with pytest.raises(ValueError, match="unknown right 'root'"):
        fake.grant("eve", "root")
