"""Projects (v2) on the fake: fields, items, and moving a card."""

from __future__ import annotations

from typing import Any

import pytest

from sharedstate.testing.github import STATUSES, FakeGitHub
from tests.unit.testing.github.asking import links, sent

PROJECT = "/orgs/acme/projectsV2/1"
ITEMS = f"{PROJECT}/items"


@pytest.fixture
def fake() -> FakeGitHub:
    made = FakeGitHub(
        repos=("acme/app", "ann/own"),
        users={"bot": "push", "ann": "read", "eve": "read"},
        projects=("acme/1", "ann/2"),
    )
    made.open_issue("One", labels=("bug",))
    made.add_card(1)
    return made


def status_field(fake: FakeGitHub, project: str = PROJECT, *, user: str = "bot") -> dict[str, Any]:
    fields = sent(fake, "GET", f"{project}/fields", user=user).json()
    return next(field for field in fields if field["name"] == "Status")


def option(field: dict[str, Any], name: str) -> str:
    return next(str(found["id"]) for found in field["options"] if found["name"]["raw"] == name)


def test_the_status_field_lists_its_options(fake: FakeGitHub) -> None:
    field = status_field(fake)
    assert field["data_type"] == "single_select"
    assert tuple(found["name"]["raw"] for found in field["options"]) == STATUSES
    assert sent(fake, "GET", f"{PROJECT}/fields/{field['id']}").json() == field


def test_a_status_is_set_by_its_option_and_cleared_by_null(fake: FakeGitHub) -> None:
    field = status_field(fake)
    item = sent(fake, "GET", ITEMS).json()[0]
    change = {"fields": [{"id": field["id"], "value": option(field, "In Progress")}]}
    assert sent(fake, "PATCH", f"{ITEMS}/{item['id']}", change).status == 200
    assert fake.card(1) == "In Progress"
    shown = sent(fake, "GET", f"{ITEMS}/{item['id']}?fields={field['id']}").json()["fields"]
    assert [(found["name"], found["value"]["name"]["raw"]) for found in shown] == [("Status", "In Progress")]
    cleared = {"fields": [{"id": field["id"], "value": None}]}
    assert sent(fake, "PATCH", f"{ITEMS}/{item['id']}", cleared).status == 200
    assert fake.card(1) is None


@pytest.mark.parametrize("wrong", ["option", "field", "title", "nothing", "value"])
def test_a_wrong_field_or_option_is_refused_and_nothing_moves(fake: FakeGitHub, wrong: str) -> None:
    fake.move_card(1, "Blocked")
    field = status_field(fake)
    title = sent(fake, "GET", f"{PROJECT}/fields").json()[0]["id"]
    changes: dict[str, list[dict[str, Any]]] = {
        "option": [{"id": field["id"], "value": "ffffffff"}],
        "field": [{"id": 1, "value": "x"}],
        "title": [{"id": title, "value": "x"}],
        "nothing": [],
        "value": [{"id": field["id"]}],
    }
    item = sent(fake, "GET", ITEMS).json()[0]
    assert sent(fake, "PATCH", f"{ITEMS}/{item['id']}", {"fields": changes[wrong]}).status == 422
    assert fake.card(1) == "Blocked"


def test_items_show_only_the_title_unless_fields_are_asked_for(fake: FakeGitHub) -> None:
    ids = {field["name"]: field["id"] for field in sent(fake, "GET", f"{PROJECT}/fields").json()}
    assert [field["name"] for field in sent(fake, "GET", ITEMS).json()[0]["fields"]] == ["Title"]
    for query in (f"fields={ids['Status']},{ids['Labels']}", f"fields[]={ids['Status']}&fields[]={ids['Labels']}"):
        shown = sent(fake, "GET", f"{ITEMS}?{query}").json()[0]["fields"]
        assert {field["name"] for field in shown} == {"Status", "Labels"}


def test_moving_a_card_does_not_touch_the_issue(fake: FakeGitHub) -> None:
    before = fake.issue(1)
    fake.clock.advance(60)
    fake.move_card(1, "Done")
    assert fake.issue(1) == before
    assert sent(fake, "GET", ITEMS).json()[0]["updated_at"] > before["updated_at"]


def test_an_issue_is_put_on_the_board_once(fake: FakeGitHub) -> None:
    fake.open_issue("Two")
    by_number = {"type": "Issue", "owner": "acme", "repo": "app", "number": 2}
    first = sent(fake, "POST", ITEMS, by_number)
    again = sent(fake, "POST", ITEMS, {"type": "Issue", "id": fake.issue(2)["id"]})
    assert (first.status, first.json()["id"]) == (201, again.json()["id"])
    assert len(sent(fake, "GET", ITEMS).json()) == 2
    assert sent(fake, "DELETE", f"{ITEMS}/{first.json()['id']}").status == 204
    assert len(sent(fake, "GET", ITEMS).json()) == 1
    assert sent(fake, "POST", ITEMS, {**by_number, "number": 9}).status == 404


def test_items_are_paged_by_cursor_in_both_directions(fake: FakeGitHub) -> None:
    for number in range(2, 6):
        fake.open_issue(f"Issue {number}")
        fake.add_card(number)
    seen, last = [], sent(fake, "GET", f"{ITEMS}?per_page=2")
    seen.append([item["content"]["number"] for item in last.json()])
    while target := links(last).get("next"):
        last = sent(fake, "GET", target)
        seen.append([item["content"]["number"] for item in last.json()])
    assert seen == [[1, 2], [3, 4], [5]]
    back = sent(fake, "GET", links(last)["prev"])
    assert [item["content"]["number"] for item in back.json()] == [3, 4]


def test_items_can_be_searched(fake: FakeGitHub) -> None:
    fake.open_issue("Two")
    fake.move_card(2, "In Review")
    fake.close(2)

    def found(query: str) -> list[int]:
        return [item["content"]["number"] for item in sent(fake, "GET", f"{ITEMS}?q={query}").json()]

    assert found("is:open") == found("label:bug") == found("one") == [1]
    assert found("is:closed%20status:%22In%20Review%22") == [2]
    assert found("repo:acme/app") == [1, 2]


def test_a_passer_by_may_look_but_not_move(fake: FakeGitHub) -> None:
    field, item = status_field(fake, user="eve"), sent(fake, "GET", ITEMS, user="eve").json()[0]
    change = {"fields": [{"id": field["id"], "value": option(field, "Done")}]}
    assert sent(fake, "PATCH", f"{ITEMS}/{item['id']}", change, user="eve").status == 403
    assert fake.card(1) is None


def test_a_project_of_a_user_lives_below_users(fake: FakeGitHub) -> None:
    fake.open_issue("Own", repo="ann/own")
    fake.move_card(1, "Done", project=2, repo="ann/own")
    assert sent(fake, "GET", "/users/ann/projectsV2/2", user="ann").json()["owner"]["login"] == "ann"
    field = status_field(fake, "/users/ann/projectsV2/2", user="ann")
    shown = sent(fake, "GET", f"/users/ann/projectsV2/2/items?fields={field['id']}", user="ann").json()
    assert shown[0]["fields"][0]["value"]["name"]["raw"] == "Done"
    assert sent(fake, "GET", "/orgs/ann/projectsV2/2", user="ann").status == 404
    assert sent(fake, "GET", "/users/acme/projectsV2/1", user="ann").status == 404


def test_a_deleted_issue_leaves_the_board_and_a_transferred_one_stays(fake: FakeGitHub) -> None:
    fake.open_issue("Two")
    fake.add_card(2)
    fake.delete_issue(1)
    fake.transfer(2, "acme/other")
    assert [item["content"]["repository_url"] for item in sent(fake, "GET", ITEMS).json()] == [
        f"{fake.url}/repos/acme/other"
    ]
