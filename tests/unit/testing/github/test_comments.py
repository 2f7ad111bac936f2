"""Comments on the fake: who may write and change them, what lists show, limits of the text, locks."""

from __future__ import annotations

import pytest

from sharedstate.testing.github import FakeGitHub
from tests.unit.testing.github.asking import ISSUES, REPO, sent

COMMENTS = f"{ISSUES}/1/comments"


@pytest.fixture
def fake() -> FakeGitHub:
    made = FakeGitHub(
        repos=("acme/app", "bot/own"),
        users={"bot": "push", "ann": "push", "eve": "read", "tri": "triage"},
        members=("ann",),
        associations={"tri": "CONTRIBUTOR"},
    )
    made.open_issue("One")
    return made


def bodies(fake: FakeGitHub, target: str = COMMENTS) -> list[str]:
    return [comment["body"] for comment in sent(fake, "GET", target).json()]


def test_a_comment_is_created_read_edited_in_place_and_deleted(fake: FakeGitHub) -> None:
    made = sent(fake, "POST", COMMENTS, {"body": "first"})
    assert made.status == 201
    url = made.json()["url"]
    fake.clock.advance(90)
    edited = sent(fake, "PATCH", url, {"body": "second"}).json()
    assert (edited["id"], edited["body"]) == (made.json()["id"], "second")
    assert edited["updated_at"] > edited["created_at"] == made.json()["created_at"]
    assert sent(fake, "GET", url).json() == edited
    assert sent(fake, "DELETE", url).status == 204
    assert sent(fake, "GET", url).status == 404
    assert bodies(fake) == []


def test_every_comment_has_a_higher_id_than_all_before_it(fake: FakeGitHub) -> None:
    first = fake.comment(1, "a")
    fake.delete_comment(first)
    second = sent(fake, "POST", COMMENTS, {"body": "b"}).json()["id"]
    fake.open_issue("Two")
    assert first < second < fake.comment(2, "c")


def test_the_association_follows_from_rights_and_membership(fake: FakeGitHub) -> None:
    found = {}
    for user in ("bot", "ann", "eve", "tri"):
        comment = sent(fake, "POST", COMMENTS, {"body": "x"}, user=user).json()
        assert comment["user"]["id"] == fake.user_id(user)
        found[user] = comment["author_association"]
    assert found == {"bot": "COLLABORATOR", "ann": "MEMBER", "eve": "NONE", "tri": "CONTRIBUTOR"}
    fake.open_issue("Own", repo="bot/own")
    own = sent(fake, "POST", "/repos/bot/own/issues/1/comments", {"body": "x"}).json()
    assert own["author_association"] == "OWNER"


def test_a_stranger_changes_only_comments_of_their_own(fake: FakeGitHub) -> None:
    theirs, other = fake.comment(1, "theirs", user="eve"), fake.comment(1, "other", user="bot")
    for method, given in (("PATCH", {"body": "x"}), ("DELETE", None)):
        assert sent(fake, method, f"{ISSUES}/comments/{other}", given, user="eve").status == 403
        assert sent(fake, method, f"{ISSUES}/comments/{theirs}", given, user="eve").status < 300


def test_who_may_push_may_edit_the_comments_of_others_and_the_author_stays(fake: FakeGitHub) -> None:
    theirs = fake.comment(1, "theirs", user="eve")
    edited = sent(fake, "PATCH", f"{ISSUES}/comments/{theirs}", {"body": "x"})
    assert (edited.status, edited.json()["user"]["login"]) == (200, "eve")


def test_the_text_may_have_65536_characters_and_not_one_more(fake: FakeGitHub) -> None:
    assert sent(fake, "POST", COMMENTS, {"body": "ä" * 65_536}).status == 201
    refused = sent(fake, "POST", COMMENTS, {"body": "x" * 65_537})
    assert refused.status == 422
    assert "65536" in refused.json()["errors"][0]["message"]


@pytest.mark.parametrize("given", [{}, {"body": ""}, {"body": " \n"}, {"body": None}, {"body": 7}], ids=str)
def test_a_comment_without_text_is_refused(fake: FakeGitHub, given: dict[str, object]) -> None:
    assert sent(fake, "POST", COMMENTS, given).status == 422
    assert bodies(fake) == []


def test_the_list_of_the_repository_has_all_issues_and_sorts_by_update(fake: FakeGitHub) -> None:
    fake.open_issue("Two")
    first = fake.comment(1, "a")
    fake.clock.advance(1)
    fake.comment(2, "b")
    fake.clock.advance(1)
    fake.edit_comment(first, "a2")
    assert bodies(fake, f"{ISSUES}/comments") == ["a2", "b"]
    assert bodies(fake, f"{ISSUES}/comments?sort=updated&direction=asc") == ["b", "a2"]
    assert bodies(fake, f"{ISSUES}/comments?sort=updated&direction=desc") == ["a2", "b"]


@pytest.mark.parametrize("target", [COMMENTS, f"{ISSUES}/comments"])
@pytest.mark.parametrize("offset", ["Z", "%2B00:00"])
def test_since_finds_what_was_edited_later(fake: FakeGitHub, target: str, offset: str) -> None:
    first = fake.comment(1, "a")
    fake.comment(1, "b")
    fake.clock.advance(60)
    since = fake.clock.now().at.strftime("%Y-%m-%dT%H:%M:%S") + offset
    assert bodies(fake, f"{target}?since={since}") == []
    fake.edit_comment(first, "a2")
    assert bodies(fake, f"{target}?since={since}") == ["a2"]


def test_a_time_zone_in_since_is_honoured(fake: FakeGitHub) -> None:
    fake.comment(1, "a")
    assert bodies(fake, f"{COMMENTS}?since=2026-03-01T02:00:00%2B02:00") == ["a"]
    assert bodies(fake, f"{COMMENTS}?since=2026-03-01T00:00:00-02:00") == []
    for wrong in ("yesterday", "2026-03-01T02:00:00+02:00"):
        assert sent(fake, "GET", f"{ISSUES}/comments?since={wrong}").status == 422, "a bare plus sign means a space"


def test_a_locked_conversation_admits_only_those_who_may_write(fake: FakeGitHub) -> None:
    theirs = fake.comment(1, "theirs", user="eve")
    assert sent(fake, "PUT", f"{ISSUES}/1/lock", {"lock_reason": "resolved"}).status == 204
    refused = sent(fake, "POST", COMMENTS, {"body": "x"}, user="eve")
    assert (refused.status, refused.json()["message"]) == (403, "Unable to create comment because issue is locked.")
    assert sent(fake, "PATCH", f"{ISSUES}/comments/{theirs}", {"body": "x"}, user="eve").status == 403
    assert sent(fake, "POST", COMMENTS, {"body": "x"}).status == 201
    assert sent(fake, "GET", f"{ISSUES}/1").json()["active_lock_reason"] == "resolved"
    assert sent(fake, "DELETE", f"{ISSUES}/1/lock", user="eve").status == 403
    assert sent(fake, "DELETE", f"{ISSUES}/1/lock").status == 204
    assert sent(fake, "POST", COMMENTS, {"body": "x"}, user="eve").status == 201


def test_a_comment_is_found_only_in_its_own_repository(fake: FakeGitHub) -> None:
    made = fake.comment(1, "a")
    assert sent(fake, "GET", f"/repos/bot/own/issues/comments/{made}").status == 404
    assert sent(fake, "GET", f"{ISSUES}/comments/word").status == 404


@pytest.mark.parametrize(
    "media,fields",
    [
        ("application/vnd.github+json", {"body"}),
        ("application/vnd.github.v3.raw+json", {"body"}),
        ("application/vnd.github.text+json", {"body_text"}),
        ("application/vnd.github.html+json", {"body_html"}),
        ("application/vnd.github.full+json", {"body", "body_text", "body_html"}),
    ],
)
def test_the_media_type_chooses_the_form_of_the_text(fake: FakeGitHub, media: str, fields: set[str]) -> None:
    made = fake.comment(1, "1 < 2")
    shown = sent(fake, "GET", f"{ISSUES}/comments/{made}", headers={"Accept": media}).json()
    assert {name for name in shown if name.startswith("body")} == fields
    assert shown.get("body_html", "<p>1 &lt; 2</p>") == "<p>1 &lt; 2</p>"


def test_the_number_of_comments_is_kept(fake: FakeGitHub) -> None:
    first = fake.comment(1, "a")
    fake.comment(1, "b")
    fake.delete_comment(first)
    assert sent(fake, "GET", f"{REPO}/issues/1").json()["comments"] == 1
