"""Answers about labels, of a repository and of an issue."""

from __future__ import annotations

from sharedstate.testing.github import changes
from sharedstate.testing.github import given as sent
from sharedstate.testing.github.call import Call, Refusal, Route, answer, invalid, not_found
from sharedstate.testing.github.state import TRIAGE, WRITE, Issue, Label
from sharedstate.testing.github.wire import Response

# On an issue


def list_on_issue(call: Call) -> Response:
    """Labels of an issue."""
    issue = call.issue()
    return call.paged(issue.labels, lambda label: call.view.label(issue.repo, label))


def add_to_issue(call: Call) -> Response:
    """Add labels; those that the repository does not know are made."""
    issue = call.issue()
    call.need(TRIAGE, issue.repo)
    held = [label.name for label in issue.labels]
    changes.set_labels(call.state, issue, [*held, *(sent.label_names(call.body()) or ())], now_s=call.now_s)
    return _all(call, issue)


def set_on_issue(call: Call) -> Response:
    """Make these the labels."""
    issue = call.issue()
    call.need(TRIAGE, issue.repo)
    changes.set_labels(call.state, issue, sent.label_names(call.body()) or [], now_s=call.now_s)
    return _all(call, issue)


def clear_issue(call: Call) -> Response:
    """Remove all labels."""
    issue = call.issue()
    call.need(TRIAGE, issue.repo)
    changes.set_labels(call.state, issue, (), now_s=call.now_s)
    return Response(status=204)


def remove_from_issue(call: Call) -> Response:
    """Remove one label; 404 when the issue does not have it."""
    issue = call.issue()
    call.need(TRIAGE, issue.repo)
    name = call.argument("name").lower()
    kept = [label.name for label in issue.labels if label.name.lower() != name]
    if len(kept) == len(issue.labels):
        raise Refusal(404, "Label does not exist")
    changes.set_labels(call.state, issue, kept, now_s=call.now_s)
    return _all(call, issue)


def _all(call: Call, issue: Issue) -> Response:
    return answer([call.view.label(issue.repo, label) for label in issue.labels])


# Of a repository


def list_labels(call: Call) -> Response:
    """Labels of the repository."""
    repo = call.repo()
    return call.paged([*repo.labels.values()], lambda label: call.view.label(repo, label))


def get_label(call: Call) -> Response:
    """One label."""
    return answer(call.view.label(call.repo(), _label(call)))


def create_label(call: Call) -> Response:
    """A new label; 422 when the name is taken (case does not matter)."""
    repo = call.repo()
    call.need(WRITE, repo)
    given = call.body()
    name, color = sent.label_name(given.get("name")), sent.color(given.get("color", changes.LABEL_COLOR))
    if name.lower() in repo.labels:
        raise invalid("Label", "name", "already_exists")
    label = changes.label_named(call.state, repo, name)
    label.color, label.description = color, sent.text_or_none(given, "description", resource="Label")
    document = call.view.label(repo, label)
    return answer(document, status=201, headers=(("Location", document["url"]),))


def update_label(call: Call) -> Response:
    """Rename or restyle a label, on all issues at once."""
    repo, label = call.repo(), _label(call)
    call.need(WRITE, repo)
    given = call.body()
    color = sent.color(given.get("color", label.color))
    name = sent.label_name(given.get("new_name", label.name))
    if name.lower() != label.name.lower() and name.lower() in repo.labels:
        raise invalid("Label", "name", "already_exists")
    del repo.labels[label.name.lower()]
    label.name, label.color, label.description = (
        name,
        color,
        sent.text_or_none(given, "description", resource="Label", default=label.description),
    )
    repo.labels[name.lower()] = label
    return answer(call.view.label(repo, label))


def delete_label(call: Call) -> Response:
    """Remove a label, from all issues too."""
    repo, label = call.repo(), _label(call)
    call.need(WRITE, repo)
    del repo.labels[label.name.lower()]
    for issue in repo.visible():
        if label in issue.labels:
            issue.labels.remove(label)
            issue.updated_s = call.now_s
    return Response(status=204)


def _label(call: Call) -> Label:
    found = call.repo().labels.get(call.argument("name").lower())
    if found is None:
        raise not_found()
    return found


_REPO, _ISSUE = "/repos/{owner}/{repo}", "/repos/{owner}/{repo}/issues/{issue_number}"
ROUTES: tuple[Route, ...] = (
    ("GET", f"{_ISSUE}/labels", list_on_issue),
    ("POST", f"{_ISSUE}/labels", add_to_issue),
    ("PUT", f"{_ISSUE}/labels", set_on_issue),
    ("DELETE", f"{_ISSUE}/labels", clear_issue),
    ("DELETE", f"{_ISSUE}/labels/{{name}}", remove_from_issue),
    ("GET", f"{_REPO}/labels", list_labels),
    ("POST", f"{_REPO}/labels", create_label),
    ("GET", f"{_REPO}/labels/{{name}}", get_label),
    ("PATCH", f"{_REPO}/labels/{{name}}", update_label),
    ("DELETE", f"{_REPO}/labels/{{name}}", delete_label),
)
