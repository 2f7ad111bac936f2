"""The issues of one repository on GitHub, over the edge: each call is one request, or one list paged to its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from sharedstate.clock import iso_of_ms
from sharedstate.sync.board import Failed, Parked
from sharedstate.values import Value
from sharedstate_adapters.github.answers import Answer, NotModified, Ok
from sharedstate_adapters.github.edge import PER_PAGE, Edge
from sharedstate_adapters.github.items import moment_of, rows_of

PAGES_MAX: Final = 1_000


class Pages(Value):
    """A whole list: its rows, GitHub's own clock at the first page, and the tag to ask for it again.

    The tag is empty where a second page may come or go unseen behind an unchanged first one. `complete` is False when
    there were more pages than we read.
    """

    rows: tuple[Any, ...]
    tag: str = ""
    date_ms: int | None = None
    complete: bool = True


def read_pages(
    edge: Edge, path: str, *, query: Mapping[str, str | int], etag: str = "", pages_max: int = PAGES_MAX
) -> Pages | NotModified | Parked | Failed:
    """A list, paged to the end; a page that fails fails the list."""
    answer = edge.call("GET", path, query={**query, "per_page": PER_PAGE}, etag=etag)
    if not isinstance(answer, Ok):
        return answer
    first, rows, count = answer, _rows(answer), 1
    while (following := answer.next_url) is not None and count < pages_max:
        answer = edge.call("GET", following)
        if not isinstance(answer, Ok):
            return (
                Failed(kind="transient", detail="a page did not answer") if isinstance(answer, NotModified) else answer
            )
        rows += _rows(answer)
        count += 1
    tag = first.headers.get("etag", "") if count == 1 and len(rows) < PER_PAGE else ""
    return Pages(rows=tuple(rows), tag=tag, date_ms=first.date_ms, complete=answer.next_url is None)


def read_changes(
    edge: Edge, path: str, *, query: Mapping[str, str | int], since_ms: int | None, etag: str = ""
) -> Pages | NotModified | Parked | Failed:
    """What has changed at or after `since_ms`, oldest change first; a page that fails fails the list.

    Each page is asked for from the moment at which the last one ended, not by its number: so nothing that leaves the
    list meanwhile (deleted, moved, changed again) shifts another past us. Only where one second fills a whole page do
    page numbers help on.
    """
    rows: dict[Any, Any] = {}
    first: Ok | None = None
    following: str | None = None
    since, ended = since_ms, False
    for count in range(PAGES_MAX):
        order = {**query, "sort": "updated", "direction": "asc", **_since(since), "per_page": PER_PAGE}
        tag = "" if count else etag
        answer = edge.call("GET", path, query=order, etag=tag) if following is None else edge.call("GET", following)
        if isinstance(answer, NotModified) and first is not None:
            return Failed(kind="transient", detail="a page did not answer")
        if not isinstance(answer, Ok):
            return answer
        first = first or answer
        page = rows_of(answer.document)
        rows |= {str(row.get("id")): row for row in page}
        ended = answer.next_url is None
        if ended:
            break
        last_ms = max(map(moment_of, page), default=0)
        following = answer.next_url if last_ms <= (since or 0) else None
        since = max(last_ms, since or 0)
    assert first is not None
    tag = first.headers.get("etag", "") if first.next_url is None and len(rows) < PER_PAGE else ""
    return Pages(rows=tuple(rows.values()), tag=tag, date_ms=first.date_ms, complete=ended)


class Repository:
    """`owner/name` over an edge. Every answer is a value; see `Edge.call`."""

    def __init__(self, edge: Edge, name: str) -> None:
        self.name = name
        self._edge = edge
        self._root = f"/repos/{name}"

    def issues(self, *, since_ms: int | None, etag: str = "") -> Pages | NotModified | Parked | Failed:
        """Issues and pull requests, open and closed, changed at or after `since_ms`.

        What changes while we read moves to the end, and is met there again.
        """
        path = f"{self._root}/issues"
        return read_changes(self._edge, path, query={"state": "all"}, since_ms=since_ms, etag=etag)

    def comments(self, *, since_ms: int | None, etag: str = "") -> Pages | NotModified | Parked | Failed:
        """Comments of all issues, changed at or after `since_ms`. All of them are read from the newest back.

        Where there are more than we read, the newest are those that matter; what a deletion shifts past us then is
        found again when its issue is written to.
        """
        path = f"{self._root}/issues/comments"
        if since_ms is not None:
            return read_changes(self._edge, path, query={}, since_ms=since_ms, etag=etag)
        return read_pages(self._edge, path, query={"sort": "updated", "direction": "desc"}, etag=etag)

    def comments_of(self, number: int, *, since_ms: int | None = None) -> Pages | NotModified | Parked | Failed:
        """Comments of one issue."""
        return read_pages(self._edge, f"{self._root}/issues/{number}/comments", query=_since(since_ms))

    def issue(self, number: int) -> Answer:
        """One issue."""
        return self._edge.call("GET", f"{self._root}/issues/{number}")

    def comment(self, comment_id: int) -> Answer:
        """One comment."""
        return self._edge.call("GET", f"{self._root}/issues/comments/{comment_id}")

    def create_comment(self, number: int, body: str) -> Answer:
        """A new comment: people are told."""
        return self._edge.call("POST", f"{self._root}/issues/{number}/comments", body={"body": body}, notifies=True)

    def wait_to_comment(self) -> Parked | None:
        """How long a new comment would have to wait now. Asks nobody."""
        return self._edge.wait_to_notify()

    def edit_comment(self, comment_id: int, body: str) -> Answer:
        """Another text: nobody is told."""
        return self._edge.call("PATCH", f"{self._root}/issues/comments/{comment_id}", body={"body": body})

    def delete_comment(self, comment_id: int) -> Answer:
        """Remove a comment."""
        return self._edge.call("DELETE", f"{self._root}/issues/comments/{comment_id}")

    def create_label(self, name: str, *, color: str, description: str) -> Answer:
        """A label for the repository."""
        body = {"name": name, "color": color, "description": description}
        return self._edge.call("POST", f"{self._root}/labels", body=body)

    def add_label(self, number: int, name: str) -> Answer:
        """Put a label on an issue; answers with all its labels."""
        return self._edge.call("POST", f"{self._root}/issues/{number}/labels", body={"labels": [name]})

    def remove_label(self, number: int, name: str) -> Answer:
        """Take a label off an issue; answers with all that are left."""
        return self._edge.call("DELETE", f"{self._root}/issues/{number}/labels/{quote(name, safe='')}")

    def assign(self, number: int, login: str, *, wanted: bool) -> Answer:
        """Assign an account to an issue, or no longer."""
        path = f"{self._root}/issues/{number}/assignees"
        if wanted:
            return self._edge.call("POST", path, body={"assignees": [login]}, notifies=True)
        return self._edge.call("DELETE", path, body={"assignees": [login]})


def _since(since_ms: int | None) -> dict[str, str]:
    """The query parameter in UTC with `Z`: an offset with a plus sign would arrive as a space."""
    return {} if since_ms is None else {"since": iso_of_ms(since_ms)[:19] + "Z"}


def _rows(answer: Ok) -> list[Any]:
    return answer.document if isinstance(answer.document, list) else []
