"""Answers about projects (v2), by REST: fields, items, and the values of an item's fields."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from sharedstate.testing.github.call import PER_PAGE, PER_PAGE_MAX, Call, Refusal, Route, answer, invalid, not_found
from sharedstate.testing.github.render import iso
from sharedstate.testing.github.state import READ, WRITE, Account, Card, Field, Issue, Option, Project
from sharedstate.testing.github.wire import Response

_SETTABLE: Final = ("single_select", "text", "number", "date", "iteration")


# Lookup and rights


def _project(call: Call) -> Project:
    """The project of the path, for those who may read a repository of its owner."""
    login = (call.arguments.get("org") or call.argument("username")).lower()
    project = call.state.projects.get((login, call.number("project_number")))
    kind = "Organization" if "org" in call.arguments else "User"
    if project is None or project.owner.kind != kind or _level(call, project.owner) < READ:
        raise not_found()
    return project


def _level(call: Call, owner: Account) -> int:
    """Rights in a project: the highest that the viewer has in a repository of its owner."""
    repos = [repo for repo in call.state.repos.values() if repo.owner is owner]
    return max((call.state.level(call.viewer, repo) for repo in repos), default=0)


def _may_write(call: Call, project: Project) -> Account:
    account = call.account()
    assert call.identity is not None
    if not call.identity.writes or _level(call, project.owner) < WRITE:
        raise Refusal(403, "Resource not accessible by personal access token")
    return account


def _card(call: Call, project: Project) -> Card:
    card = project.cards.get(call.number("item_id"))
    if card is None or not call.may(READ, card.issue.repo):
        raise not_found()
    return card


# Documents


def _url(call: Call, project: Project) -> str:
    folder = "orgs" if project.owner.kind == "Organization" else "users"
    return f"{call.view.api}/{folder}/{project.owner.login}/projectsV2/{project.number}"


def _project_document(call: Call, project: Project) -> dict[str, Any]:
    empty = dict.fromkeys(("description", "short_description", "closed_at", "deleted_at", "deleted_by"))
    return {
        "id": project.id,
        "node_id": f"PVT_{project.id}",
        "number": project.number,
        "title": project.title,
        "owner": call.view.user(project.owner),
        "creator": call.view.user(project.owner),
        **empty,
        "public": False,
        "state": "open",
        "is_template": False,
        "created_at": iso(project.created_s),
        "updated_at": iso(project.created_s),
    }


def _field_document(call: Call, project: Project, field: Field) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": field.id,
        "node_id": f"PVTF_{field.id}",
        "project_url": _url(call, project),
        "name": field.name,
        "data_type": field.kind,
        "created_at": iso(field.created_s),
        "updated_at": iso(field.created_s),
    }
    if field.kind == "single_select":
        document["options"] = [_option_document(option) for option in field.options]
    return document


def _option_document(option: Option) -> dict[str, Any]:
    return {"id": option.id, "name": _marked(option.name), "color": option.color, "description": _marked("")}


def _marked(text: str) -> dict[str, str]:
    return {"raw": text, "html": text}


def _card_document(call: Call, project: Project, card: Card, fields: Sequence[Field]) -> dict[str, Any]:
    return {
        "id": card.id,
        "node_id": f"PVTI_{card.id}",
        "project_url": _url(call, project),
        "content_type": "PullRequest" if card.issue.pull else "Issue",
        "content": call.view.issue(card.issue),
        "creator": call.view.user(card.account),
        "created_at": iso(card.created_s),
        "updated_at": iso(card.updated_s),
        "archived_at": None,
        "item_url": f"{_url(call, project)}/items/{card.id}",
        "fields": [_value_document(call, card, field) for field in fields],
    }


def _value_document(call: Call, card: Card, field: Field) -> dict[str, Any]:
    return {"id": field.id, "name": field.name, "data_type": field.kind, "value": _value(call, card, field)}


def _value(call: Call, card: Card, field: Field) -> Any:
    issue, view = card.issue, call.view
    if field.kind == "title":
        page = f"{view.html}/{issue.repo.full_name}/issues/{issue.number}"
        state = {"number": issue.number, "url": page, "issue_id": issue.id, "state_reason": issue.reason}
        return {**_marked(issue.title), **state, "state": "open" if issue.open else "closed", "is_draft": False}
    if field.kind == "assignees":
        return [view.user(account) for account in issue.assignees]
    if field.kind == "labels":
        return [view.label(issue.repo, label) for label in issue.labels]
    if field.kind == "repository":
        return view.short_repo(issue.repo)
    held = card.values.get(field.id)
    if field.kind != "single_select" or held is None:
        return held
    return next((_option_document(option) for option in field.options if option.id == held), None)


# Answers


def get_project(call: Call) -> Response:
    """One project."""
    return answer(_project_document(call, _project(call)))


def list_fields(call: Call) -> Response:
    """The fields of a project."""
    project = _project(call)
    return _by_cursor(call, project.fields, lambda field: field.id, lambda f: _field_document(call, project, f))


def get_field(call: Call) -> Response:
    """One field."""
    project = _project(call)
    wanted = call.number("field_id")
    for field in project.fields:
        if field.id == wanted:
            return answer(_field_document(call, project, field))
    raise not_found()


def list_items(call: Call) -> Response:
    """The items of a project, with the fields that were asked for (only the title when none were)."""
    project = _project(call)
    fields = _asked(call, project)
    cards = [card for card in project.cards.values() if call.may(READ, card.issue.repo) and _found(call, project, card)]
    return _by_cursor(call, cards, lambda card: card.id, lambda card: _card_document(call, project, card, fields))


def get_item(call: Call) -> Response:
    """One item."""
    project = _project(call)
    return answer(_card_document(call, project, _card(call, project), _asked(call, project)))


def add_item(call: Call) -> Response:
    """Put an issue on the board, by its id or by owner, repository and number; an issue that is there stays."""
    project = _project(call)
    account = _may_write(call, project)
    issue = _content(call)
    for card in project.cards.values():
        if card.issue is issue:
            break
    else:
        card = put_card(call.state.next_id("item"), project, issue, account, now_s=call.now_s)
    document = _card_document(call, project, card, ())
    del document["fields"]
    return answer(document, status=201)


def put_card(card_id: int, project: Project, issue: Issue, account: Account, *, now_s: int) -> Card:
    """A new card of a project."""
    card = Card(id=card_id, issue=issue, account=account, created_s=now_s, updated_s=now_s)
    project.cards[card.id] = card
    return card


def update_item(call: Call) -> Response:
    """Set field values: option ids for single selects, null to clear. The issue itself does not change."""
    project = _project(call)
    _may_write(call, project)
    card = _card(call, project)
    sent = call.body().get("fields")
    if not isinstance(sent, list) or not sent:
        raise invalid("ProjectV2Item", "fields", "missing_field")
    wanted = [_checked(project, entry) for entry in sent]
    for field, value in wanted:
        card.values[field.id] = value
        card.updated_s = call.now_s
    return answer(_card_document(call, project, card, _asked(call, project) or project.fields))


def remove_item(call: Call) -> Response:
    """Take an item off the board; the issue stays."""
    project = _project(call)
    _may_write(call, project)
    del project.cards[_card(call, project).id]
    return Response(status=204)


def _checked(project: Project, entry: Any) -> tuple[Field, Any]:
    if not isinstance(entry, dict) or "value" not in entry:
        raise invalid("ProjectV2Item", "value", "missing_field")
    field = next((field for field in project.fields if field.id == entry.get("id")), None)
    if field is None or field.kind not in _SETTABLE:
        raise invalid("ProjectV2Item", "id", "invalid")
    value = entry["value"]
    wrong_option = field.kind == "single_select" and value not in {option.id for option in field.options}
    if value is not None and (wrong_option or isinstance(value, bool) or not isinstance(value, str | int | float)):
        raise invalid("ProjectV2Item", "value", "invalid")
    return field, value


def _content(call: Call) -> Issue:
    sent = call.body()
    if sent.get("type") not in ("Issue", "PullRequest"):
        raise invalid("ProjectV2Item", "type", "invalid")
    for repo in call.state.repos.values():
        named = (str(sent.get("owner")).lower(), str(sent.get("repo")).lower())
        for issue in repo.visible():
            meant = named == (repo.owner.login.lower(), repo.name.lower()) and issue.number == sent.get("number")
            if (meant or issue.id == sent.get("id")) and call.may(READ, repo):
                return issue
    raise not_found()


def _asked(call: Call, project: Project) -> list[Field]:
    """The fields of `fields=1,2` or `fields[]=1&fields[]=2`; only the title when nothing is asked for."""
    texts = [value for name, value in call.request.query if name in ("fields", "fields[]")]
    wanted = {part for text in texts for part in text.split(",") if part}
    if not wanted:
        return [field for field in project.fields if field.kind == "title"]
    return [field for field in project.fields if str(field.id) in wanted]


def _found(call: Call, project: Project, card: Card) -> bool:
    """Whether a card meets the search `q`: `is:open|closed|issue|pr`, `repo:`, `label:`, `FIELD:VALUE`, or words."""
    for term in re.findall(r'(?:[^\s"]|"[^"]*")+', call.request.parameter("q") or ""):
        name, colon, value = term.replace('"', "").lower().partition(":")
        if not colon:
            if name not in card.issue.title.lower():
                return False
        elif value not in _terms(project, card).get(name, ()):
            return False
    return True


def _terms(project: Project, card: Card) -> dict[str, tuple[str, ...]]:
    issue = card.issue
    terms = {
        "is": ("open" if issue.open else "closed", "pr" if issue.pull else "issue"),
        "repo": (issue.repo.full_name.lower(),),
        "label": tuple(label.name.lower() for label in issue.labels),
    }
    for field in project.fields:
        names = {option.id: option.name.lower() for option in field.options}
        if field.id in card.values:
            held = card.values[field.id]
            terms[field.name.lower()] = (names.get(str(held), str(held).lower()),)
    return terms


# Pages by cursor


def _by_cursor(
    call: Call, entries: Sequence[Any], key: Callable[[Any], int], shown: Callable[[Any], dict[str, Any]]
) -> Response:
    """One page of entries after or before a cursor, with links to its neighbours."""
    given = call.request.parameter("per_page") or ""
    size = min(int(given) if re.fullmatch(r"[1-9][0-9]{0,8}", given) else PER_PAGE, PER_PAGE_MAX)
    after, before = call.request.parameter("after"), call.request.parameter("before")
    start = 0 if after is None else sum(key(entry) <= _key_of(after) for entry in entries)
    if before is not None:
        start = max(0, sum(key(entry) < _key_of(before) for entry in entries) - size)
    page = entries[start : start + size]
    links: list[str] = []
    if start + size < len(entries):
        links.append(_link(call, "after", key(page[-1]), "next"))
    if start > 0 and page:
        links.append(_link(call, "before", key(page[0]), "prev"))
    headers = (("Link", ", ".join(links)),) if links else ()
    return answer([shown(entry) for entry in page], headers=headers)


def _link(call: Call, name: str, key: int, relation: str) -> str:
    query = [(known, value) for known, value in call.request.query if known not in ("after", "before")]
    cursor = base64.b64encode(f"cursor:{key}".encode()).decode()
    return f'<{call.view.api}{call.request.path}?{urlencode([*query, (name, cursor)])}>; rel="{relation}"'


def _key_of(cursor: str) -> int:
    try:
        return int(base64.b64decode(cursor, validate=True).decode().removeprefix("cursor:"))
    except (binascii.Error, ValueError):
        raise invalid("ProjectV2", "cursor", "invalid") from None


_PROJECTS = ("/orgs/{org}/projectsV2/{project_number}", "/users/{username}/projectsV2/{project_number}")
ROUTES: tuple[Route, ...] = tuple(
    route
    for project in _PROJECTS
    for route in (
        ("GET", project, get_project),
        ("GET", f"{project}/fields", list_fields),
        ("GET", f"{project}/fields/{{field_id}}", get_field),
        ("GET", f"{project}/items", list_items),
        ("POST", f"{project}/items", add_item),
        ("GET", f"{project}/items/{{item_id}}", get_item),
        ("PATCH", f"{project}/items/{{item_id}}", update_item),
        ("DELETE", f"{project}/items/{{item_id}}", remove_item),
    )
)
