"""Answers about issues: list, read, create, change, lock, assign."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sharedstate.testing.github import changes
from sharedstate.testing.github import given as sent
from sharedstate.testing.github.call import LOCKING_DOCS, Call, Refusal, Route, answer, invalid, not_found
from sharedstate.testing.github.render import http_date
from sharedstate.testing.github.state import TRIAGE, WRITE, Account, Issue, Repo
from sharedstate.testing.github.wire import Response

_SORTS: Final[dict[str, Callable[[Issue], tuple[int, int]]]] = {
    "created": lambda issue: (issue.created_s, issue.number),
    "updated": lambda issue: (issue.updated_s, issue.number),
    "comments": lambda issue: (len(issue.comments), issue.number),
}


def list_issues(call: Call) -> Response:
    """Issues (and pull requests) of a repository; open ones, newest first, unless asked otherwise."""
    repo = call.repo()
    state = call.choice("state", ("open", "closed", "all"), "Issue")
    sort = call.choice("sort", ("created", "updated", "comments"), "Issue")
    direction = call.choice("direction", ("desc", "asc"), "Issue")
    since_s = call.since_s("Issue")
    found = [issue for issue in repo.visible() if state == "all" or issue.open == (state == "open")]
    if since_s is not None:
        found = [issue for issue in found if issue.updated_s >= since_s]
    found = [issue for issue in found if _matches(call, issue)]
    found.sort(key=_SORTS[sort], reverse=direction == "desc")
    return call.paged(found, call.view.issue)


def _matches(call: Call, issue: Issue) -> bool:
    named = [name.strip().lower() for name in (call.request.parameter("labels") or "").split(",") if name.strip()]
    held = {label.name.lower() for label in issue.labels}
    if not held.issuperset(named):
        return False
    creator = call.request.parameter("creator")
    if creator and issue.account.login.lower() != creator.lower():
        return False
    mentioned = call.request.parameter("mentioned")
    if mentioned and f"@{mentioned.lower()}" not in (issue.body or "").lower():
        return False
    if (call.request.parameter("milestone") or "none") not in ("none", ""):
        return False
    assignee = (call.request.parameter("assignee") or "").lower()
    logins = {account.login.lower() for account in issue.assignees}
    return {"": True, "*": bool(logins), "none": not logins}.get(assignee, assignee in logins)


def get_issue(call: Call) -> Response:
    """One issue."""
    issue = call.issue()
    return answer(call.view.issue(issue), headers=(("Last-Modified", http_date(issue.updated_s)),))


def create_issue(call: Call) -> Response:
    """A new issue. Labels and assignees of those without rights are dropped in silence, as GitHub does."""
    repo = call.repo()
    account = call.need(0, repo)
    given = call.body()
    title, body = sent.title(given), sent.issue_body(given)
    labels, assignees = sent.label_names(given), sent.logins(given)
    if title is None:
        raise invalid("Issue", "title", "missing_field")
    allowed = call.may(TRIAGE, repo)
    accounts = _assignable(call, repo, assignees, strict=allowed)
    issue = changes.open_issue(call.state, repo, account, title=title, body=body, now_s=call.now_s)
    if allowed:
        changes.set_labels(call.state, issue, labels or (), now_s=call.now_s)
        changes.set_assignees(issue, accounts, now_s=call.now_s)
    document = call.view.issue(issue)
    return answer(document, status=201, headers=(("Location", document["url"]),))


def update_issue(call: Call) -> Response:
    """Change title, body, state, labels, assignees. The author may change the text and close; the rest needs triage."""
    issue = call.issue()
    own = call.viewer is issue.account
    account = call.need(0 if own else TRIAGE, issue.repo)
    given = call.body()
    title, body = sent.title(given), sent.issue_body(given)
    labels, logins = sent.label_names(given), sent.logins(given)
    state, reason = sent.state(given)
    allowed = call.may(TRIAGE, issue.repo)
    accounts = _assignable(call, issue.repo, logins, strict=True) if allowed else []
    if title is not None and title != issue.title:
        issue.title, issue.updated_s = title, call.now_s
    if "body" in given and body != issue.body:
        issue.body, issue.updated_s = body, call.now_s
    if allowed and labels is not None:
        changes.set_labels(call.state, issue, labels, now_s=call.now_s)
    if allowed and logins is not None:
        changes.set_assignees(issue, accounts, now_s=call.now_s)
    _change_state(issue, account, state=state, reason=reason, now_s=call.now_s)
    return answer(call.view.issue(issue))


def _change_state(issue: Issue, account: Account, *, state: str | None, reason: str | None, now_s: int) -> None:
    if state == "open":
        changes.reopen(issue, now_s=now_s)
    elif state == "closed" and (issue.open or (reason is not None and reason != issue.reason)):
        changes.close(issue, account, reason=reason or "completed", now_s=now_s)


def assignable(call: Call, repo: Repo) -> list[Account]:
    """Who may be assigned: people with rights beyond those of every passer-by."""
    people = [account for account in call.state.accounts.values() if account.kind == "User"]
    return [account for account in people if call.state.level(account, repo) >= TRIAGE]


def _assignable(call: Call, repo: Repo, logins: list[str] | None, *, strict: bool) -> list[Account]:
    known = {account.login.lower(): account for account in assignable(call, repo)}
    if strict and any(login.lower() not in known for login in logins or ()):
        raise invalid("Issue", "assignees", "invalid")
    return [known[login.lower()] for login in logins or () if login.lower() in known]


def add_assignees(call: Call) -> Response:
    """Assign more people; who cannot be assigned is passed over in silence."""
    issue = call.issue()
    call.need(TRIAGE, issue.repo)
    added = _assignable(call, issue.repo, sent.logins(call.body()), strict=False)
    changes.set_assignees(issue, [*issue.assignees, *added][: sent.ASSIGNEES_MAX], now_s=call.now_s)
    return answer(call.view.issue(issue), status=201)


def remove_assignees(call: Call) -> Response:
    """Assign fewer people."""
    issue = call.issue()
    call.need(TRIAGE, issue.repo)
    removed = {login.lower() for login in sent.logins(call.body()) or ()}
    kept = [account for account in issue.assignees if account.login.lower() not in removed]
    changes.set_assignees(issue, kept, now_s=call.now_s)
    return answer(call.view.issue(issue))


def list_assignees(call: Call) -> Response:
    """Who may be assigned."""
    return call.paged(assignable(call, call.repo()), call.view.user)


def check_assignee(call: Call) -> Response:
    """204 when the user may be assigned, else 404."""
    if call.argument("assignee").lower() not in {account.login.lower() for account in assignable(call, call.repo())}:
        raise not_found()
    return Response(status=204)


def lock(call: Call) -> Response:
    """Lock the conversation: afterwards only people who may write comment."""
    issue = call.issue()
    call.need(WRITE, issue.repo)
    reason = sent.lock_reason(call.body())
    issue.locked, issue.lock_reason, issue.updated_s = True, reason, call.now_s
    return Response(status=204)


def unlock(call: Call) -> Response:
    """Unlock the conversation."""
    issue = call.issue()
    call.need(WRITE, issue.repo)
    issue.locked, issue.lock_reason, issue.updated_s = False, None, call.now_s
    return Response(status=204)


def refuse_when_locked(call: Call, issue: Issue, doing: str) -> None:
    """403 on a locked conversation for all who may not write, and for Apps, which GitHub does not let through."""
    app = call.identity is not None and call.identity.app
    if issue.locked and (app or not call.may(WRITE, issue.repo)):
        raise Refusal(403, f"Unable to {doing} comment because issue is locked.", docs=LOCKING_DOCS)


_REPO, _ISSUE = "/repos/{owner}/{repo}", "/repos/{owner}/{repo}/issues/{issue_number}"
ROUTES: tuple[Route, ...] = (
    ("GET", f"{_REPO}/issues", list_issues),
    ("POST", f"{_REPO}/issues", create_issue),
    ("GET", _ISSUE, get_issue),
    ("PATCH", _ISSUE, update_issue),
    ("POST", f"{_ISSUE}/assignees", add_assignees),
    ("DELETE", f"{_ISSUE}/assignees", remove_assignees),
    ("PUT", f"{_ISSUE}/lock", lock),
    ("DELETE", f"{_ISSUE}/lock", unlock),
    ("GET", f"{_REPO}/assignees", list_assignees),
    ("GET", f"{_REPO}/assignees/{{assignee}}", check_assignee),
)
