"""What GitHub remembers: accounts, repositories, issues, comments, labels, projects. Plain mutable records.

Times are whole Unix seconds, because that is GitHub's resolution: two changes within one second look equally old.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

RIGHTS: Final = ("none", "read", "triage", "write", "maintain", "admin")
READ, TRIAGE, WRITE, ADMIN = 1, 2, 3, 5
_ALIASES: Final = {"pull": "read", "push": "write"}
# Above 2**31, as GitHub's own: what keeps ids in 32 bits shall break here.
_FIRST_ID: Final = {
    "account": 1001,
    "repository": 700_000_001,
    "issue": 2_900_000_001,
    "comment": 3_100_000_001,
    "label": 8_000_000_001,
    "project": 15_000_001,
    "item": 120_000_001,
    "field": 230_000_001,
}


def level_of(right: str) -> int:
    """The rank of a right (`none read triage write maintain admin`, `pull`, `push`); `ValueError` if unknown."""
    name = _ALIASES.get(right, right)
    if name not in RIGHTS:
        raise ValueError(f"unknown right {right!r}; known: {', '.join((*RIGHTS, *_ALIASES))}")
    return RIGHTS.index(name)


@dataclass(slots=True)
class Account:
    """A user, an organization, or the bot of an App (`kind` is `User`, `Organization` or `Bot`)."""

    id: int
    login: str
    kind: str
    created_s: int


@dataclass(slots=True)
class Label:
    """A label of a repository; issues hold the same object, so that a rename shows everywhere."""

    id: int
    name: str
    color: str
    description: str | None = None


@dataclass(slots=True)
class Comment:
    """A comment. `lags` says how many lists will still miss it, as a replica that is behind does."""

    id: int
    issue: Issue
    account: Account
    body: str
    created_s: int
    updated_s: int
    lags: int = 0
    app: bool = False


@dataclass(slots=True)
class Issue:
    """An issue, or a pull request where `pull` is set (GitHub lists both)."""

    id: int
    number: int
    repo: Repo
    account: Account
    title: str
    body: str | None
    created_s: int
    updated_s: int
    open: bool = True
    reason: str | None = None
    closed_s: int | None = None
    closed_by: Account | None = None
    labels: list[Label] = field(default_factory=list[Label])
    assignees: list[Account] = field(default_factory=list[Account])
    comments: list[Comment] = field(default_factory=list[Comment])
    locked: bool = False
    lock_reason: str | None = None
    pull: bool = False
    gone: bool = False
    moved_to: Issue | None = None


@dataclass(slots=True)
class Repo:
    """A repository: rights by login (what is not named has `read` where it is public), labels by lower-case name."""

    id: int
    owner: Account
    name: str
    private: bool
    created_s: int
    rights: dict[str, int] = field(default_factory=dict[str, int])
    labels: dict[str, Label] = field(default_factory=dict[str, Label])
    issues: dict[int, Issue] = field(default_factory=dict[int, Issue])
    last_number: int = 0

    @property
    def full_name(self) -> str:
        """`owner/name`."""
        return f"{self.owner.login}/{self.name}"

    def visible(self) -> list[Issue]:
        """The issues that lists show: neither deleted nor transferred away."""
        return [issue for issue in self.issues.values() if not issue.gone and issue.moved_to is None]


@dataclass(slots=True)
class Option:
    """One value of a single-select field."""

    id: str
    name: str
    color: str = "GRAY"


@dataclass(slots=True)
class Field:
    """A field of a project; `kind` in the words of the API (`title`, `single_select`, `text`, `number`, `date` …)."""

    id: int
    name: str
    kind: str
    created_s: int
    options: list[Option] = field(default_factory=list[Option])


@dataclass(slots=True)
class Card:
    """An item of a project: the issue, and the values of the fields that people set, by field id."""

    id: int
    issue: Issue
    account: Account
    created_s: int
    updated_s: int
    values: dict[int, Any] = field(default_factory=dict[int, Any])


@dataclass(slots=True)
class Project:
    """A project (v2) of an organization or a user."""

    id: int
    number: int
    owner: Account
    title: str
    created_s: int
    fields: list[Field] = field(default_factory=list[Field])
    cards: dict[int, Card] = field(default_factory=dict[int, Card])


@dataclass(slots=True)
class App:
    """A GitHub App with one installation on all repositories."""

    id: int
    slug: str
    installation_id: int
    bot: Account
    created_s: int


@dataclass(slots=True)
class Identity:
    """Who a token speaks for. `writes` is False for an App token without the permission to write issues."""

    account: Account
    key: str
    app: bool = False
    writes: bool = True
    expires_s: int | None = None


class State:
    """All that is stored, with ids that depend only on the order of creation."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self.repos: dict[str, Repo] = {}
        self.renamed: dict[str, Repo] = {}
        self.comments: dict[int, Comment] = {}
        self.projects: dict[tuple[str, int], Project] = {}
        self.identities: dict[str, Identity] = {}
        self.members: set[str] = set()
        self.associations: dict[str, str] = {}
        self.app: App | None = None
        self._next = dict(_FIRST_ID)

    def next_id(self, kind: str) -> int:
        """A fresh id; ids of one kind only grow."""
        fresh = self._next[kind]
        self._next[kind] = fresh + 1
        return fresh

    def account(self, login: str, *, now_s: int, kind: str = "User") -> Account:
        """The account of that login, made when it does not exist."""
        found = self.accounts.get(login.lower())
        if found is None:
            found = Account(id=self.next_id("account"), login=login, kind=kind, created_s=now_s)
            self.accounts[login.lower()] = found
        return found

    def repo(self, full_name: str) -> Repo | None:
        """The repository of that name (any case), also by a former name."""
        name = full_name.lower()
        return self.repos.get(name) or self.renamed.get(name)

    def level(self, account: Account | None, repo: Repo) -> int:
        """Rank of the rights of an account in a repository."""
        floor = 0 if repo.private else READ
        if account is None:
            return floor
        if account is repo.owner:
            return ADMIN
        return max(floor, repo.rights.get(account.login.lower(), 0))

    def association(self, account: Account, repo: Repo) -> str:
        """How GitHub calls the author's relation to the repository.

        By rights: the owner is `OWNER`; a member of the owning organization `MEMBER`; whoever has more than `read`
        `COLLABORATOR`; all others, and bots of Apps, `NONE`.
        """
        login = account.login.lower()
        if login in self.associations:
            return self.associations[login]
        if account is repo.owner:
            return "OWNER"
        if account.kind == "Bot" or self.level(account, repo) < TRIAGE:
            return "NONE"
        return "MEMBER" if login in self.members else "COLLABORATOR"
