"""One request being answered: who asks, what for, and the ways to answer or to refuse."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from sharedstate.testing.github.limits import Budget
from sharedstate.testing.github.render import View
from sharedstate.testing.github.state import READ, Account, Identity, Issue, Repo, State
from sharedstate.testing.github.wire import Request, Response

DOCS: Final = "https://docs.github.com/rest"
LOCKING_DOCS: Final = "https://docs.github.com/articles/locking-conversations/"
PER_PAGE, PER_PAGE_MAX = 30, 100
Handler = Callable[["Call"], Response]
# Method, path as GitHub's API description writes it, and who answers.
Route = tuple[str, str, Handler]


class Refusal(Exception):
    """The answer is an error: status, message, and the single errors of a validation."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: Sequence[dict[str, Any]] = (),
        headers: Sequence[tuple[str, str]] = (),
        docs: str = DOCS,
        url: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.errors = status, message, tuple(errors)
        self.headers, self.docs, self.url = tuple(headers), docs, url

    def response(self) -> Response:
        """The refusal as GitHub words it."""
        document: dict[str, Any] = {"message": self.message}
        if self.errors:
            document["errors"] = list(self.errors)
        if self.url is not None:
            document["url"] = self.url
        document |= {"documentation_url": self.docs, "status": str(self.status)}
        return answer(document, status=self.status, headers=self.headers)


def answer(document: Any, *, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Response:
    """A response with a JSON body."""
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return Response(status=status, headers=(("Content-Type", "application/json; charset=utf-8"), *headers), body=body)


def invalid(resource: str, field: str, code: str, message: str | None = None) -> Refusal:
    """The 422 for one wrong field."""
    error = {"resource": resource, "code": code, "field": field}
    if message is not None:
        error["message"] = message
    return Refusal(422, "Validation Failed", errors=(error,))


def not_found() -> Refusal:
    """The 404, also for what the viewer may not know of."""
    return Refusal(404, "Not Found")


class Call:
    """A request with everything an answer depends on. Handlers raise `Refusal` for any answer that is an error."""

    def __init__(
        self,
        *,
        state: State,
        request: Request,
        identity: Identity | None,
        now_s: int,
        view: View,
        arguments: dict[str, str],
        budget: Budget,
    ) -> None:
        self.state = state
        self.request = request
        self.identity = identity
        self.now_s = now_s
        self.view = view
        self.arguments = arguments
        self.budget = budget

    # Who

    @property
    def viewer(self) -> Account | None:
        """Who asks; None without a token."""
        return None if self.identity is None else self.identity.account

    def account(self) -> Account:
        """Who asks; 401 without a token."""
        if self.identity is None:
            raise Refusal(401, "Requires authentication")
        return self.identity.account

    def need(self, level: int, repo: Repo, *, message: str = "Must have admin rights to Repository.") -> Account:
        """Who asks, when they have at least these rights and the token may write; else 401, 403."""
        account = self.account()
        assert self.identity is not None
        if not self.identity.writes:
            raise Refusal(403, "Resource not accessible by integration")
        if self.state.level(account, repo) < level:
            raise Refusal(403, message)
        return account

    def may(self, level: int, repo: Repo) -> bool:
        """Whether the viewer has at least these rights."""
        return self.state.level(self.viewer, repo) >= level

    # What

    def argument(self, name: str) -> str:
        """A part of the path."""
        return self.arguments[name]

    def number(self, name: str) -> int:
        """A part of the path that is a number; 404 when it is none."""
        text = self.arguments[name]
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise not_found()
        return int(text)

    def repo(self) -> Repo:
        """The repository of the path. 404 where the viewer may not see it, a redirect where it has moved."""
        full_name = f"{self.argument('owner')}/{self.argument('repo')}"
        repo = self.state.repo(full_name)
        if repo is None or not self.may(READ, repo):
            raise not_found()
        if repo.full_name.lower() != full_name.lower():
            raise self._moved(repo)
        return repo

    def issue(self, *, redirects: bool = True) -> Issue:
        """The issue of the path: 404 unknown, 410 deleted; transferred 301, or 404 below `comments` as GitHub does."""
        found = self.repo().issues.get(self.number("issue_number"))
        if found is None:
            raise not_found()
        if found.gone:
            raise Refusal(410, "This issue was deleted")
        if (target := found.moved_to) is None:
            return found
        if not redirects or not self.may(READ, target.repo):
            raise not_found()
        rest = "".join(f"/{part}" for part in self.request.path.strip("/").split("/")[5:])
        url = f"{self.view.api}/repositories/{target.repo.id}/issues/{target.number}{rest}"
        raise Refusal(301, "Moved Permanently", url=url, headers=(("Location", url),))

    def body(self) -> dict[str, Any]:
        """The JSON object that was sent; 400 when it is none. An empty body counts as an empty object."""
        if not self.request.body.strip():
            return {}
        try:
            document = json.loads(self.request.body)
        except (ValueError, RecursionError):
            raise Refusal(400, "Problems parsing JSON") from None
        if isinstance(document, list) and self.request.path.endswith("/labels"):
            return {"labels": document}
        if not isinstance(document, dict):
            raise Refusal(400, "Body should be a JSON object")
        return document

    def choice(self, name: str, allowed: Sequence[str], resource: str) -> str:
        """A query parameter with a fixed set of values; the first is the default, 422 for any other."""
        given = self.request.parameter(name)
        if given is None or given == "":
            return allowed[0]
        if given not in allowed:
            raise invalid(resource, name, "invalid")
        return given

    def since_s(self, resource: str) -> int | None:
        """The query parameter `since` in Unix seconds, UTC without an offset; 422 when it is no moment.

        A plus sign that the client did not encode arrives as a space, and is refused.
        """
        given = self.request.parameter("since")
        if not given:
            return None
        try:
            moment = datetime.fromisoformat(given)
        except ValueError:
            raise invalid(resource, "since", "invalid") from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(moment.timestamp())

    # Answers

    def paged(self, items: Sequence[Any], shown: Callable[[Any], Any]) -> Response:
        """One page of items, with links to its neighbours."""
        size = min(self._whole("per_page", PER_PAGE), PER_PAGE_MAX)
        page = self._whole("page", 1)
        last = max(1, -(-len(items) // size))
        links: list[str] = []
        if 1 < page <= last + 1:
            links.append(self._link(page - 1, "prev"))
        if page < last:
            links += (self._link(page + 1, "next"), self._link(last, "last"))
        if page > 1:
            links.append(self._link(1, "first"))
        headers = (("Link", ", ".join(links)),) if links else ()
        return answer([shown(item) for item in items[(page - 1) * size : page * size]], headers=headers)

    def _whole(self, name: str, default: int) -> int:
        given = self.request.parameter(name) or ""
        return int(given) if re.fullmatch(r"0*[1-9][0-9]{0,8}", given) else default

    def _link(self, page: int, relation: str) -> str:
        query = [(name, value) for name, value in self.request.query if name != "page"]
        url = f"{self.view.api}{self.request.path}?{urlencode([*query, ('page', str(page))])}"
        return f'<{url}>; rel="{relation}"'

    def _moved(self, repo: Repo) -> Refusal:
        rest = "".join(f"/{part}" for part in self.request.path.strip("/").split("/")[3:])
        url = f"{self.view.api}/repositories/{repo.id}{rest}"
        status = 301 if self.request.method in ("GET", "HEAD") else 307
        return Refusal(status, "Moved Permanently", url=url, headers=(("Location", url),))
