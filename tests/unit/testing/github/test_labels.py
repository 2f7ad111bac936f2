"""Labels on the fake, of the repository and of its issues."""

from __future__ import annotations

import pytest

from sharedstate.testing.github import FakeGitHub, Response
from tests.unit.testing.github.asking import ISSUES, REPO, sent

LABELS = f"{ISSUES}/1/labels"


@pytest.fixture
def fake() -> FakeGitHub:
    made = FakeGitHub(users={"bot": "push", "tri": "triage", "eve": "read"})
    made.open_issue("One", labels=("bug",))
    return made


def names(response: Response) -> list[str]:
    return [label["name"] for label in response.json()]


def test_adding_a_label_keeps_the_others_and_makes_what_does_not_exist(fake: FakeGitHub) -> None:
    assert names(sent(fake, "POST", LABELS, {"labels": ["claimed", "BUG"]})) == ["bug", "claimed"]
    assert names(sent(fake, "GET", f"{REPO}/labels")) == ["bug", "claimed"]
    assert sent(fake, "GET", f"{REPO}/labels/CLAIMED").json()["color"] == "ededed"


def test_a_bare_list_of_labels_is_understood(fake: FakeGitHub) -> None:
    assert names(sent(fake, "POST", LABELS, ["claimed"])) == ["bug", "claimed"]


def test_setting_labels_replaces_them_and_clearing_removes_all(fake: FakeGitHub) -> None:
    assert names(sent(fake, "PUT", LABELS, {"labels": ["a", "b"]})) == ["a", "b"]
    assert sent(fake, "DELETE", LABELS).status == 204
    assert names(sent(fake, "GET", LABELS)) == []


def test_removing_an_absent_label_is_not_found(fake: FakeGitHub) -> None:
    assert names(sent(fake, "DELETE", f"{LABELS}/Bug")) == []
    absent = sent(fake, "DELETE", f"{LABELS}/bug")
    assert (absent.status, absent.json()["message"]) == (404, "Label does not exist")


def test_a_label_with_a_slash_and_a_space_can_be_named_in_the_path(fake: FakeGitHub) -> None:
    fake.label(1, "state/in progress")
    assert names(sent(fake, "DELETE", f"{LABELS}/state%2Fin%20progress")) == ["bug"]


def test_labelling_needs_triage(fake: FakeGitHub) -> None:
    for method, given in (("POST", {"labels": ["x"]}), ("PUT", {"labels": ["x"]}), ("DELETE", None)):
        assert sent(fake, method, LABELS, given, user="eve").status == 403
    assert sent(fake, "POST", LABELS, {"labels": ["x"]}, user="tri").status == 200
    assert sent(fake, "POST", f"{REPO}/labels", {"name": "y"}, user="tri").status == 403


def test_a_taken_name_is_refused_whatever_its_case(fake: FakeGitHub) -> None:
    assert sent(fake, "POST", f"{REPO}/labels", {"name": "new", "color": "FF0000"}).json()["color"] == "ff0000"
    refused = sent(fake, "POST", f"{REPO}/labels", {"name": "NEW"})
    assert (refused.status, refused.json()["errors"][0]["code"]) == (422, "already_exists")
    assert sent(fake, "POST", f"{REPO}/labels", {"name": "x", "color": "red"}).status == 422
    assert sent(fake, "POST", f"{REPO}/labels", {"name": "x" * 51}).status == 422


def test_a_renamed_label_is_renamed_on_every_issue_and_a_deleted_one_leaves_them(fake: FakeGitHub) -> None:
    assert sent(fake, "PATCH", f"{REPO}/labels/bug", {"new_name": "fault"}).json()["name"] == "fault"
    assert fake.labels(1) == ("fault",)
    assert sent(fake, "DELETE", f"{REPO}/labels/fault").status == 204
    assert fake.labels(1) == ()
    assert sent(fake, "GET", f"{REPO}/labels/fault").status == 404


def test_adding_what_is_there_does_not_touch_the_issue(fake: FakeGitHub) -> None:
    before = fake.issue(1)
    fake.clock.advance(9)
    sent(fake, "POST", LABELS, {"labels": ["bug"]})
    assert fake.issue(1) == before
