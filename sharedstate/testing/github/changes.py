"""The changes of issues, comments and labels: one place for what the API does and for what people do by hand.

They check nothing; who calls them has checked. Every change that GitHub counts as one moves the issue's `updated_at`.
"""

from __future__ import annotations

from collections.abc import Iterable

from sharedstate.testing.github.state import Account, Comment, Issue, Label, Repo, State

LABEL_COLOR = "ededed"


def open_issue(
    state: State, repo: Repo, account: Account, *, title: str, body: str | None, now_s: int, pull: bool = False
) -> Issue:
    """A new issue (or pull request) with the next number of the repository."""
    repo.last_number += 1
    issue = Issue(
        id=state.next_id("issue"),
        number=repo.last_number,
        repo=repo,
        account=account,
        title=title,
        body=body,
        created_s=now_s,
        updated_s=now_s,
        pull=pull,
    )
    repo.issues[issue.number] = issue
    return issue


def close(issue: Issue, account: Account, *, reason: str, now_s: int) -> None:
    """Close, or change the reason of a closed issue."""
    issue.open, issue.reason = False, reason
    issue.closed_s, issue.closed_by, issue.updated_s = now_s, account, now_s


def reopen(issue: Issue, *, now_s: int) -> None:
    """Open again; nothing when it is open."""
    if issue.open:
        return
    issue.open, issue.reason = True, "reopened"
    issue.closed_s, issue.closed_by, issue.updated_s = None, None, now_s


def label_named(state: State, repo: Repo, name: str) -> Label:
    """The label of the repository, made when it does not exist, as adding it to an issue does."""
    found = repo.labels.get(name.lower())
    if found is None:
        found = Label(id=state.next_id("label"), name=name, color=LABEL_COLOR)
        repo.labels[name.lower()] = found
    return found


def set_labels(state: State, issue: Issue, names: Iterable[str], *, now_s: int) -> None:
    """Make these the labels of the issue."""
    wanted: dict[int, Label] = {}
    for name in names:
        label = label_named(state, issue.repo, name)
        wanted[label.id] = label
    if [*wanted.values()] != issue.labels:
        issue.labels, issue.updated_s = [*wanted.values()], now_s


def set_assignees(issue: Issue, accounts: Iterable[Account], *, now_s: int) -> None:
    """Make these the assignees of the issue."""
    wanted = list({account.id: account for account in accounts}.values())
    if wanted != issue.assignees:
        issue.assignees, issue.updated_s = wanted, now_s


def add_comment(state: State, issue: Issue, account: Account, *, body: str, now_s: int, app: bool = False) -> Comment:
    """A new comment; its id is higher than that of any earlier one."""
    comment = Comment(
        id=state.next_id("comment"),
        issue=issue,
        account=account,
        body=body,
        created_s=now_s,
        updated_s=now_s,
        app=app,
    )
    issue.comments.append(comment)
    issue.updated_s = now_s
    state.comments[comment.id] = comment
    return comment


def edit_comment(comment: Comment, *, body: str, now_s: int) -> None:
    """Another text; the author and the id stay."""
    comment.body = body
    comment.updated_s = comment.issue.updated_s = now_s


def delete_comment(state: State, comment: Comment, *, now_s: int) -> None:
    """Remove a comment for good; its id is never used again."""
    comment.issue.comments.remove(comment)
    comment.issue.updated_s = now_s
    del state.comments[comment.id]


def delete_issue(state: State, issue: Issue) -> None:
    """Delete an issue with its comments and cards; its number answers 410 from now on."""
    issue.gone = True
    for comment in issue.comments:
        del state.comments[comment.id]
    issue.comments = []
    for project in state.projects.values():
        for card in [card for card in project.cards.values() if card.issue is issue]:
            del project.cards[card.id]


def transfer(state: State, issue: Issue, target: Repo, *, now_s: int) -> Issue:
    """Move an issue with its comments to another repository; the old number redirects from now on."""
    moved = open_issue(state, target, issue.account, title=issue.title, body=issue.body, now_s=now_s)
    moved.open, moved.reason, moved.closed_s = issue.open, issue.reason, issue.closed_s
    set_labels(state, moved, [label.name for label in issue.labels], now_s=now_s)
    moved.assignees, moved.comments = issue.assignees, issue.comments
    for comment in moved.comments:
        comment.issue = moved
    for project in state.projects.values():
        for card in project.cards.values():
            card.issue = moved if card.issue is issue else card.issue
    issue.comments, issue.moved_to = [], moved
    return moved
