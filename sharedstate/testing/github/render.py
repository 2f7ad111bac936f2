"""Stored records as the documents of the API. Every URL carries the host and port that the client used."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import formatdate
from html import escape
from typing import Any, Final
from urllib.parse import quote

from sharedstate.testing.github.state import RIGHTS, Account, App, Comment, Issue, Label, Repo, State
from sharedstate.values import Value

Document = dict[str, Any]
_REACTIONS: Final = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")
# Links of a repository that are a plain folder below its URL, and those with a template behind them.
_REPO_LINKS: Final = (
    *("contributors", "deployments", "downloads", "events", "forks", "hooks", "languages", "merges", "stargazers"),
    *("subscribers", "subscription", "tags", "teams"),
)
_REPO_TEMPLATES: Final = {
    "archive": "{archive_format}{/ref}",
    "assignees": "assignees{/user}",
    "blobs": "git/blobs{/sha}",
    "branches": "branches{/branch}",
    "collaborators": "collaborators{/collaborator}",
    "comments": "comments{/number}",
    "commits": "commits{/sha}",
    "compare": "compare/{base}...{head}",
    "contents": "contents/{+path}",
    "git_commits": "git/commits{/sha}",
    "git_refs": "git/refs{/sha}",
    "git_tags": "git/tags{/sha}",
    "issue_comment": "issues/comments{/number}",
    "issue_events": "issues/events{/number}",
    "issues": "issues{/number}",
    "keys": "keys{/key_id}",
    "labels": "labels{/name}",
    "milestones": "milestones{/number}",
    "notifications": "notifications{?since,all,participating}",
    "pulls": "pulls{/number}",
    "releases": "releases{/id}",
    "statuses": "statuses/{sha}",
    "trees": "git/trees{/sha}",
}
_USER_LINKS: Final = {
    "followers": "/followers",
    "following": "/following{/other_user}",
    "gists": "/gists{/gist_id}",
    "starred": "/starred{/owner}{/repo}",
    "subscriptions": "/subscriptions",
    "organizations": "/orgs",
    "repos": "/repos",
    "events": "/events{/privacy}",
    "received_events": "/received_events",
}


def iso(at_s: int) -> str:
    """A moment as GitHub writes it: `2026-03-01T00:00:00Z`."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def http_date(at_s: int) -> str:
    """A moment as HTTP headers write it."""
    return formatdate(at_s, usegmt=True)


def iso_or_none(at_s: int | None) -> str | None:
    """The same, for moments that may be missing."""
    return None if at_s is None else iso(at_s)


class View(Value):
    """How to show records to one client: base URL of the API and of the pages, and the wished form of bodies."""

    state: State
    api: str
    html: str
    media: str = "raw"

    # Accounts

    def user(self, account: Account) -> Document:
        """An account in short."""
        url = f"{self.api}/users/{quote(account.login)}"
        return {
            "login": account.login,
            "id": account.id,
            "node_id": f"U_{account.id}",
            "avatar_url": f"{self.html}/avatars/u/{account.id}",
            "gravatar_id": "",
            "url": url,
            "html_url": f"{self.html}/{quote(account.login)}",
            **{f"{name}_url": url + rest for name, rest in _USER_LINKS.items()},
            "type": account.kind,
            "user_view_type": "public",
            "site_admin": False,
        }

    def profile(self, account: Account, *, own: bool) -> Document:
        """An account with its profile; `own` adds what only the account itself sees."""
        empty = dict.fromkeys(("company", "location", "email", "hireable", "bio", "twitter_username"))
        shown = {
            **self.user(account),
            **empty,
            "name": account.login,
            "blog": "",
            "public_repos": 0,
            "public_gists": 0,
            "followers": 0,
            "following": 0,
            "created_at": iso(account.created_s),
            "updated_at": iso(account.created_s),
        }
        if own:
            counts = ("private_gists", "total_private_repos", "owned_private_repos", "disk_usage", "collaborators")
            shown |= dict.fromkeys(counts, 0) | {"two_factor_authentication": True, "user_view_type": "private"}
        return shown

    # Repositories

    def repo(self, repo: Repo, level: int) -> Document:
        """A repository in full, with the viewer's rights."""
        url = self.repo_url(repo)
        page = f"{self.html}/{repo.full_name}"
        counts = ("forks", "forks_count", "stargazers_count", "watchers", "watchers_count", "network_count", "size")
        open_count = sum(issue.open for issue in repo.visible())
        return {
            **self.short_repo(repo),
            **dict.fromkeys((*counts, "subscribers_count"), 0),
            **dict.fromkeys(("homepage", "language", "mirror_url", "license")),
            **dict.fromkeys(("has_wiki", "has_pages", "has_discussions", "archived", "disabled", "is_template"), False),
            **{f"{name}_url": f"{url}/{rest}" for name, rest in _REPO_TEMPLATES.items()},
            **{f"{name}_url": f"{url}/{name}" for name in _REPO_LINKS},
            "visibility": "private" if repo.private else "public",
            "default_branch": "main",
            "git_url": f"git:{page.partition(':')[2]}.git",
            "ssh_url": f"git@localhost:{repo.full_name}.git",
            "clone_url": f"{page}.git",
            "svn_url": page,
            "has_issues": True,
            "has_projects": True,
            "has_downloads": True,
            "open_issues": open_count,
            "open_issues_count": open_count,
            "pushed_at": iso(repo.created_s),
            "created_at": iso(repo.created_s),
            "updated_at": iso(repo.created_s),
            "permissions": permissions(level),
        }

    def listed_repo(self, repo: Repo, level: int) -> Document:
        """A repository as lists show it."""
        document = self.repo(repo, level)
        del document["network_count"], document["subscribers_count"]
        return document

    def short_repo(self, repo: Repo) -> Document:
        """A repository by its names."""
        return {
            "id": repo.id,
            "node_id": f"R_{repo.id}",
            "name": repo.name,
            "full_name": repo.full_name,
            "private": repo.private,
            "owner": self.user(repo.owner),
            "html_url": f"{self.html}/{repo.full_name}",
            "description": None,
            "fork": False,
            "url": self.repo_url(repo),
        }

    def repo_url(self, repo: Repo) -> str:
        """URL of a repository."""
        return f"{self.api}/repos/{repo.full_name}"

    # Issues

    def issue(self, issue: Issue) -> Document:
        """An issue as lists and single reads show it."""
        repo, shown_by = issue.repo, issue.closed_by
        url = f"{self.repo_url(repo)}/issues/{issue.number}"
        page = f"{self.html}/{repo.full_name}/{'pull' if issue.pull else 'issues'}/{issue.number}"
        assignees = [self.user(account) for account in issue.assignees]
        document = {
            "url": url,
            "repository_url": self.repo_url(repo),
            "labels_url": f"{url}/labels{{/name}}",
            "comments_url": f"{url}/comments",
            "events_url": f"{url}/events",
            "timeline_url": f"{url}/timeline",
            "html_url": page,
            "id": issue.id,
            "node_id": f"{'PR' if issue.pull else 'I'}_{issue.id}",
            "number": issue.number,
            "title": issue.title,
            "user": self.user(issue.account),
            "labels": [self.label(repo, label) for label in issue.labels],
            "state": "open" if issue.open else "closed",
            "state_reason": issue.reason,
            "locked": issue.locked,
            "active_lock_reason": issue.lock_reason,
            "assignee": assignees[0] if assignees else None,
            "assignees": assignees,
            "milestone": None,
            "comments": len(issue.comments),
            "created_at": iso(issue.created_s),
            "updated_at": iso(issue.updated_s),
            "closed_at": iso_or_none(issue.closed_s),
            "closed_by": None if shown_by is None else self.user(shown_by),
            "author_association": self.state.association(issue.account, repo),
            "reactions": self._reactions(url),
            "performed_via_github_app": None,
            **self._body(issue.body),
        }
        if issue.pull:
            pull = f"{self.repo_url(repo)}/pulls/{issue.number}"
            links = {"url": pull, "html_url": page, "diff_url": f"{page}.diff", "patch_url": f"{page}.patch"}
            document |= {"draft": False, "pull_request": {**links, "merged_at": None}}
        return document

    def label(self, repo: Repo, label: Label) -> Document:
        """A label."""
        return {
            "id": label.id,
            "node_id": f"LA_{label.id}",
            "url": f"{self.repo_url(repo)}/labels/{quote(label.name, safe='')}",
            "name": label.name,
            "description": label.description,
            "color": label.color,
            "default": False,
        }

    def comment(self, comment: Comment) -> Document:
        """A comment."""
        issue = comment.issue
        url = f"{self.repo_url(issue.repo)}/issues/comments/{comment.id}"
        page = f"{self.html}/{issue.repo.full_name}/issues/{issue.number}#issuecomment-{comment.id}"
        app = self.state.app
        return {
            "url": url,
            "html_url": page,
            "issue_url": f"{self.repo_url(issue.repo)}/issues/{issue.number}",
            "id": comment.id,
            "node_id": f"IC_{comment.id}",
            "user": self.user(comment.account),
            "created_at": iso(comment.created_s),
            "updated_at": iso(comment.updated_s),
            "author_association": self.state.association(comment.account, issue.repo),
            "reactions": self._reactions(url),
            "performed_via_github_app": self.app(app) if app is not None and comment.app else None,
            **self._body(comment.body),
        }

    def _body(self, body: str | None) -> Document:
        if self.media == "raw":
            return {"body": body}
        text = body or ""
        forms = {"body": body, "body_text": text, "body_html": f"<p>{escape(text)}</p>"}
        wanted = {"text": ("body_text",), "html": ("body_html",), "full": tuple(forms)}[self.media]
        return {name: forms[name] for name in wanted}

    def _reactions(self, url: str) -> Document:
        return {"url": f"{url}/reactions", "total_count": 0, **dict.fromkeys(_REACTIONS, 0)}

    # Apps

    def app(self, app: App) -> Document:
        """An App."""
        owner = next(iter(self.state.repos.values())).owner
        return {
            "id": app.id,
            "slug": app.slug,
            "node_id": f"A_{app.id}",
            "client_id": f"Iv1.{app.id:016x}",
            "owner": self.user(owner),
            "name": app.slug,
            "description": None,
            "external_url": f"{self.html}/{app.slug}",
            "html_url": f"{self.html}/apps/{app.slug}",
            "created_at": iso(app.created_s),
            "updated_at": iso(app.created_s),
            "permissions": {"issues": "write", "metadata": "read"},
            "events": [],
            "installations_count": 1,
        }

    def installation(self, app: App) -> Document:
        """The installation of an App."""
        owner = next(iter(self.state.repos.values())).owner
        return {
            "id": app.installation_id,
            "client_id": f"Iv1.{app.id:016x}",
            "account": self.user(owner),
            "repository_selection": "all",
            "access_tokens_url": f"{self.api}/app/installations/{app.installation_id}/access_tokens",
            "repositories_url": f"{self.api}/installation/repositories",
            "html_url": f"{self.html}/organizations/{owner.login}/settings/installations/{app.installation_id}",
            "app_id": app.id,
            "app_slug": app.slug,
            "target_id": owner.id,
            "target_type": owner.kind,
            "permissions": {"issues": "write", "metadata": "read"},
            "events": [],
            "created_at": iso(app.created_s),
            "updated_at": iso(app.created_s),
            "single_file_name": None,
            "has_multiple_single_files": False,
            "single_file_paths": [],
            "suspended_by": None,
            "suspended_at": None,
        }


def permissions(level: int) -> Document:
    """The rights of a viewer as flags."""
    return {
        "admin": level >= RIGHTS.index("admin"),
        "maintain": level >= RIGHTS.index("maintain"),
        "push": level >= RIGHTS.index("write"),
        "triage": level >= RIGHTS.index("triage"),
        "pull": level >= RIGHTS.index("read"),
    }
