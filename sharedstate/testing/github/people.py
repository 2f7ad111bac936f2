"""What people do by hand on GitHub: they meet no fault and no limit, and leave no trace in the request log."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from sharedstate.testing.github import changes
from sharedstate.testing.github.projects import put_card
from sharedstate.testing.github.render import View
from sharedstate.testing.github.state import Account, Card, Comment, Issue, Project, Repo
from sharedstate.testing.github.world import World

P = TypeVar("P")


def _in_turn(people: type[P]) -> type[P]:
    """Let every public method hold the turn, so that nothing changes while the server answers."""
    for name, method in [*vars(people).items()]:
        if inspect.isfunction(method) and not name.startswith("_"):
            setattr(people, name, _held(method))
    return people


def _held(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def act(self: People, *args: Any, **kwargs: Any) -> Any:
        with self.turn:
            return method(self, *args, **kwargs)

    return act


@_in_turn
class People:
    """The hands of people on a world. Issues are named by number, in `repo` or else the first repository.

    `user` is who does it; the account is made when it does not exist, with no rights beyond those of a passer-by.
    """

    world: World
    turn: AbstractContextManager[Any]
    maintainer = "maintainer"

    # Issues

    def open_issue(
        self,
        title: str,
        *,
        body: str = "",
        labels: tuple[str, ...] = (),
        assignees: tuple[str, ...] = (),
        user: str | None = None,
        repo: str | None = None,
        pull: bool = False,
    ) -> int:
        """Open an issue (or pull request) and say its number."""
        state, now_s = self.world.state, self.world.now_s()
        account = self._account(user)
        issue = changes.open_issue(state, self._repo(repo), account, title=title, body=body, now_s=now_s, pull=pull)
        changes.set_labels(state, issue, labels, now_s=now_s)
        changes.set_assignees(issue, [self._account(login) for login in assignees], now_s=now_s)
        return issue.number

    def edit_issue(
        self, number: int, *, title: str | None = None, body: str | None = None, repo: str | None = None
    ) -> None:
        """Change title or text."""
        issue = self._issue(number, repo)
        issue.title = issue.title if title is None else title
        issue.body = issue.body if body is None else body
        issue.updated_s = self.world.now_s()

    def close(
        self, number: int, *, reason: str = "completed", user: str | None = None, repo: str | None = None
    ) -> None:
        """Close, as `completed`, `not_planned` or `duplicate`."""
        changes.close(self._issue(number, repo), self._account(user), reason=reason, now_s=self.world.now_s())

    def reopen(self, number: int, *, repo: str | None = None) -> None:
        """Open again."""
        changes.reopen(self._issue(number, repo), now_s=self.world.now_s())

    def label(self, number: int, *names: str, repo: str | None = None) -> None:
        """Add labels."""
        issue = self._issue(number, repo)
        held = [label.name for label in issue.labels]
        changes.set_labels(self.world.state, issue, [*held, *names], now_s=self.world.now_s())

    def unlabel(self, number: int, *names: str, repo: str | None = None) -> None:
        """Remove labels; one that is absent is none."""
        issue, gone = self._issue(number, repo), {name.lower() for name in names}
        kept = [label.name for label in issue.labels if label.name.lower() not in gone]
        changes.set_labels(self.world.state, issue, kept, now_s=self.world.now_s())

    def assign(self, number: int, *logins: str, repo: str | None = None) -> None:
        """Make these the assignees."""
        accounts = [self._account(login) for login in logins]
        changes.set_assignees(self._issue(number, repo), accounts, now_s=self.world.now_s())

    def lock(self, number: int, *, reason: str | None = None, repo: str | None = None) -> None:
        """Lock the conversation."""
        issue = self._issue(number, repo)
        issue.locked, issue.lock_reason, issue.updated_s = True, reason, self.world.now_s()

    def unlock(self, number: int, *, repo: str | None = None) -> None:
        """Unlock the conversation."""
        issue = self._issue(number, repo)
        issue.locked, issue.lock_reason, issue.updated_s = False, None, self.world.now_s()

    def delete_issue(self, number: int, *, repo: str | None = None) -> None:
        """Delete for good: the number answers 410 from now on."""
        changes.delete_issue(self.world.state, self._issue(number, repo))

    def transfer(self, number: int, to: str, *, repo: str | None = None) -> int:
        """Move an issue to another repository, which is made when it does not exist; says the number there."""
        target = self.world.state.repo(to) or self.add_repo(to)
        return changes.transfer(self.world.state, self._issue(number, repo), target, now_s=self.world.now_s()).number

    # Comments

    def comment(
        self, number: int, body: str, *, user: str | None = None, repo: str | None = None, lags: int = 0
    ) -> int:
        """Comment, and say the comment's id. `lags`: how many lists will still miss it."""
        issue = self._issue(number, repo)
        made = changes.add_comment(self.world.state, issue, self._account(user), body=body, now_s=self.world.now_s())
        made.lags = lags
        return made.id

    def edit_comment(self, comment_id: int, body: str) -> None:
        """Change the text of a comment; the author stays who it was."""
        changes.edit_comment(self._comment(comment_id), body=body, now_s=self.world.now_s())

    def delete_comment(self, comment_id: int) -> None:
        """Remove a comment."""
        changes.delete_comment(self.world.state, self._comment(comment_id), now_s=self.world.now_s())

    # Repositories and projects

    def add_repo(self, full_name: str, *, private: bool = False) -> Repo:
        """A new repository of an organization, or of the user of that name where there is one."""
        state, now_s = self.world.state, self.world.now_s()
        owner, slash, name = full_name.partition("/")
        if not (owner and slash and name) or "/" in name:
            raise ValueError(f"a repository is named owner/name: {full_name!r}")
        account = state.account(owner, now_s=now_s, kind="Organization")
        repo = Repo(id=state.next_id("repository"), owner=account, name=name, private=private, created_s=now_s)
        state.repos[full_name.lower()] = repo
        return repo

    def rename_repo(self, old: str, new: str) -> None:
        """Give a repository of the same owner another name: the old one redirects from now on."""
        state = self.world.state
        repo = state.repos.pop(old.lower())
        state.renamed[old.lower()] = repo
        repo.name = new.rpartition("/")[2]
        state.repos[repo.full_name.lower()] = repo

    def add_card(self, number: int, *, project: int = 1, repo: str | None = None) -> int:
        """Put an issue on the board of its owner; says the id of the item."""
        issue, state = self._issue(number, repo), self.world.state
        account, now_s = self._account(None), self.world.now_s()
        board = self._project(issue, project)
        return put_card(state.next_id("item"), board, issue, account, now_s=now_s).id

    def move_card(self, number: int, status: str | None, *, project: int = 1, repo: str | None = None) -> None:
        """Set the status of an issue's card (put on the board when it is not there); None clears it.

        The issue's `updated_at` does not move, on GitHub neither. `ValueError` for a status that the board lacks.
        """
        issue = self._issue(number, repo)
        board = self._project(issue, project)
        if self._card(issue, board) is None:
            self.add_card(number, project=project, repo=repo)
        card = self._card(issue, board)
        assert card is not None
        field = next(field for field in board.fields if field.name == "Status")
        options = {option.name.lower(): option.id for option in field.options}
        if status is not None and status.lower() not in options:
            raise ValueError(f"no status {status!r}; known: {', '.join(options)}")
        card.values[field.id] = None if status is None else options[status.lower()]
        card.updated_s = self.world.now_s()

    # Looking

    def issue(self, number: int, *, repo: str | None = None) -> dict[str, Any]:
        """The issue as the API would show it."""
        return self._view().issue(self._issue(number, repo))

    def comments(self, number: int, *, repo: str | None = None) -> list[dict[str, Any]]:
        """The comments as the API would show them, lagging ones included."""
        return [self._view().comment(comment) for comment in self._issue(number, repo).comments]

    def labels(self, number: int, *, repo: str | None = None) -> tuple[str, ...]:
        """The names of the labels."""
        return tuple(label.name for label in self._issue(number, repo).labels)

    def card(self, number: int, *, project: int = 1, repo: str | None = None) -> str | None:
        """The status of the issue's card; None without a card or a status."""
        issue = self._issue(number, repo)
        board = self._project(issue, project)
        card = self._card(issue, board)
        for field in board.fields:
            for option in field.options:
                if card is not None and card.values.get(field.id) == option.id:
                    return option.name
        return None

    # Finding

    def _account(self, login: str | None) -> Account:
        return self.world.state.account(login or self.maintainer, now_s=self.world.now_s())

    def _repo(self, full_name: str | None) -> Repo:
        if full_name is None:
            return next(iter(self.world.state.repos.values()))
        repo = self.world.state.repo(full_name)
        if repo is None:
            raise LookupError(f"no repository {full_name}")
        return repo

    def _issue(self, number: int, repo: str | None) -> Issue:
        where = self._repo(repo)
        issue = where.issues.get(number)
        if issue is None or issue.gone or issue.moved_to is not None:
            raise LookupError(f"no issue {where.full_name}#{number}")
        return issue

    def _comment(self, comment_id: int) -> Comment:
        comment = self.world.state.comments.get(comment_id)
        if comment is None:
            raise LookupError(f"no comment {comment_id}")
        return comment

    def _project(self, issue: Issue, number: int) -> Project:
        project = self.world.state.projects.get((issue.repo.owner.login.lower(), number))
        if project is None:
            raise LookupError(f"no project {issue.repo.owner.login}/{number}")
        return project

    def _card(self, issue: Issue, project: Project) -> Card | None:
        return next((card for card in project.cards.values() if card.issue is issue), None)

    def _view(self) -> View:
        raise NotImplementedError
