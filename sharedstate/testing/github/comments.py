"""Answers about comments: list per issue and per repository, read, create, edit, delete."""

from __future__ import annotations

from typing import Final

from sharedstate.testing.github import changes
from sharedstate.testing.github.call import Call, Route, answer, not_found
from sharedstate.testing.github.given import comment_body
from sharedstate.testing.github.issues import refuse_when_locked
from sharedstate.testing.github.render import http_date
from sharedstate.testing.github.state import WRITE, Comment
from sharedstate.testing.github.wire import Response

_SORTS: Final = {"created": lambda comment: (comment.created_s, comment.id), "updated": lambda c: (c.updated_s, c.id)}


def list_comments(call: Call) -> Response:
    """Comments of one issue, oldest first."""
    issue = call.issue(redirects=False)
    return call.paged(_since(call, issue.comments), call.view.comment)


def list_repo_comments(call: Call) -> Response:
    """Comments of the whole repository, by id unless a sort is asked for."""
    repo = call.repo()
    sort = call.choice("sort", ("", "created", "updated"), "IssueComment")
    direction = call.choice("direction", ("asc", "desc"), "IssueComment")
    found = sorted((c for issue in repo.visible() for c in issue.comments), key=lambda comment: comment.id)
    if sort:
        found.sort(key=_SORTS[sort], reverse=direction == "desc")
    return call.paged(_since(call, found), call.view.comment)


def _since(call: Call, comments: list[Comment]) -> list[Comment]:
    """The comments changed at or after `since`. A comment that lags is missing once more, then shows."""
    since_s = call.since_s("IssueComment")
    shown: list[Comment] = []
    for comment in comments:
        if comment.lags > 0:
            comment.lags -= 1
        elif since_s is None or comment.updated_s >= since_s:
            shown.append(comment)
    return shown


def get_comment(call: Call) -> Response:
    """One comment."""
    comment = _comment(call)
    return answer(call.view.comment(comment), headers=(("Last-Modified", http_date(comment.updated_s)),))


def create_comment(call: Call) -> Response:
    """A new comment."""
    issue = call.issue(redirects=False)
    account = call.need(0, issue.repo)
    refuse_when_locked(call, issue, "create")
    body = comment_body(call.body())
    app = call.identity is not None and call.identity.app
    comment = changes.add_comment(call.state, issue, account, body=body, now_s=call.now_s, app=app)
    document = call.view.comment(comment)
    return answer(document, status=201, headers=(("Location", document["url"]),))


def update_comment(call: Call) -> Response:
    """Another text: by the author, or by whoever may write to the repository."""
    comment = _comment(call)
    call.need(0 if call.viewer is comment.account else WRITE, comment.issue.repo)
    refuse_when_locked(call, comment.issue, "update")
    changes.edit_comment(comment, body=comment_body(call.body()), now_s=call.now_s)
    return answer(call.view.comment(comment))


def delete_comment(call: Call) -> Response:
    """Remove a comment: the author, or whoever may write to the repository."""
    comment = _comment(call)
    call.need(0 if call.viewer is comment.account else WRITE, comment.issue.repo)
    refuse_when_locked(call, comment.issue, "delete")
    changes.delete_comment(call.state, comment, now_s=call.now_s)
    return Response(status=204)


def _comment(call: Call) -> Comment:
    repo = call.repo()
    comment = call.state.comments.get(call.number("comment_id"))
    if comment is None or comment.issue.repo is not repo:
        raise not_found()
    return comment


_REPO = "/repos/{owner}/{repo}"
ROUTES: tuple[Route, ...] = (
    ("GET", f"{_REPO}/issues/comments", list_repo_comments),
    ("GET", f"{_REPO}/issues/comments/{{comment_id}}", get_comment),
    ("PATCH", f"{_REPO}/issues/comments/{{comment_id}}", update_comment),
    ("DELETE", f"{_REPO}/issues/comments/{{comment_id}}", delete_comment),
    ("GET", f"{_REPO}/issues/{{issue_number}}/comments", list_comments),
    ("POST", f"{_REPO}/issues/{{issue_number}}/comments", create_comment),
)
