"""The status field of a project (Projects v2), by GitHub's REST endpoints through the edge. Opt-in.

PyGithub has no class for it. A card moved by hand changes nothing on its issue, so the cards are listed in full each
time, page by page with entity tags: a page that has not changed costs nothing of the primary limit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from sharedstate.errors import BadSettings
from sharedstate.store import Document
from sharedstate.sync.board import Conflict, Failed, Item, Parked, Written
from sharedstate.sync.statuses import folded, normal, same
from sharedstate.values import Value
from sharedstate_adapters.github.answers import NotModified, Ok
from sharedstate_adapters.github.edge import PER_PAGE, Edge
from sharedstate_adapters.github.items import is_id, is_issue, moment_of, rows_of
from sharedstate_adapters.github.keys import Place
from sharedstate_adapters.github.memory import Memory

PAGES_MAX: Final = 100
FIELD: Final = "status"
_FRESH_MS: Final = 30_000
_LOOKED_UP_MS: Final = 3_600_000


class Card(Value):
    """An issue's card: its id (0: the issue has none), its status, when it was last changed (Unix milliseconds)."""

    id: int = 0
    status: str | None = None
    updated_ms: int = 0


NO_CARD: Final = Card()


class Cards:
    """The cards of a project at one moment, by issue."""

    def __init__(self, cards: Mapping[str, Card]) -> None:
        self._cards = cards

    def of(self, place: Place) -> Card:
        """The card of an issue."""
        return self._cards.get(str(place).lower(), NO_CARD)

    def statuses(self, repository: str) -> dict[str, str | None]:
        """Status by issue number, for one repository."""
        prefix = f"{repository.lower()}#"
        return {key.removeprefix(prefix): card.status for key, card in self._cards.items() if key.startswith(prefix)}


class Board(Value):
    """Where a project is and what its status field knows: path, id of the field, option ids by name."""

    path: str
    field: int
    options: Mapping[str, str]
    at_ms: int = 0


class Project:
    """One project, named `owner/number`. Raises `BadSettings` for another shape of name."""

    def __init__(self, edge: Edge, memory: Memory, *, name: str) -> None:
        found = re.fullmatch(r"([A-Za-z0-9-]{1,39})/([1-9][0-9]{0,8})", name)
        if found is None:
            raise BadSettings(f"SHARED_STATE_PROJECT: expected owner/number, not {name[:120]!r}")
        self._owner, self._number = found[1], int(found[2])
        self._edge = edge
        self._memory = memory
        self._fact = f"project {name.lower()}"
        self._cards: Cards | None = None
        self._cards_ms = 0

    def cards(self, *, fresh: bool) -> Cards | Parked | Failed:
        """All cards. Without `fresh`, those of the last half minute will do."""
        now_ms = self._edge.now_ms()
        if not fresh and self._cards is not None and 0 <= now_ms - self._cards_ms < _FRESH_MS:
            return self._cards
        board = self._board(now_ms)
        if not isinstance(board, Board):
            return board
        rows = self._rows(board)
        if isinstance(rows, Parked | Failed):
            return rows
        self._cards, self._cards_ms = Cards(rows), now_ms
        return self._cards

    def move(self, item: Item, card_id: int, status: str) -> Written | Conflict | Parked | Failed:
        """Set the status of a card; nothing where the issue has no card or the field has no such status.

        `Conflict` when the card shows another status than `item`: somebody has just moved it.
        """
        board = self._board(self._edge.now_ms())
        if not isinstance(board, Board):
            return board
        option = option_for(status, board.options)
        if not card_id or option is None or same(status, item.card.status):
            return Written(item=item, changed=False)
        path = f"{board.path}/items/{card_id}"
        before = self._edge.call("GET", path, query={"fields": board.field})
        is_gone = isinstance(before, Failed) and before.kind == "gone"  # taken off the board, as good as moved
        if not isinstance(before, Ok) and not is_gone:
            return _refused(before)
        shown = _status(before.document) if isinstance(before, Ok) else None
        if not same(shown, item.card.status):
            return Conflict(item=item.replace(card=item.card.replace(status=shown)))
        body = {"fields": [{"id": board.field, "value": board.options[option]}]}
        answer = self._edge.call("PATCH", path, body=body)
        self._cards = None
        if isinstance(answer, Failed) and answer.kind == "conflict":
            self._memory.keep_fact(self._fact, {})  # an option has gone: look the field up again
        if not isinstance(answer, Ok):
            return _refused(answer)
        card = item.card.replace(status=_status(answer.document) or option)
        return Written(item=item.replace(card=card, updated_ms=max(item.updated_ms, moment_of(answer.document))))

    def _board(self, now_ms: int) -> Board | Parked | Failed:
        """Where the project is, looked up at most once an hour."""
        held = self._memory.fact(self._fact)
        if held and 0 <= now_ms - int(held.get("at_ms", 0)) < _LOOKED_UP_MS:
            return Board(**held)
        found: Board | Parked | Failed = Failed(kind="gone", detail="no such project")
        for folder in ("orgs", "users"):
            found = self._look_up(f"/{folder}/{self._owner}/projectsV2/{self._number}", now_ms)
            if not (isinstance(found, Failed) and found.kind == "gone"):
                break
        if isinstance(found, Board):
            self._memory.keep_fact(self._fact, found.replace(options=dict(found.options)).fields())
        return found

    def _look_up(self, path: str, now_ms: int) -> Board | Parked | Failed:
        answer = self._edge.call("GET", f"{path}/fields", query={"per_page": PER_PAGE})
        if not isinstance(answer, Ok):
            return _refused(answer)
        for field in rows_of(answer.document):
            is_status = folded(str(field.get("name"))) == FIELD and field.get("data_type") == "single_select"
            if is_status and is_id(field.get("id")):
                options = {_text(one.get("name")): str(one.get("id")) for one in rows_of(field.get("options"))}
                return Board(path=path, field=field["id"], options=options, at_ms=now_ms)
        return Failed(kind="conflict", detail="the project has no single-select field called Status")

    def _rows(self, board: Board) -> dict[str, Card] | Parked | Failed:
        url: str | None = f"{board.path}/items?fields={board.field}&per_page={PER_PAGE}"
        kept = self._memory.fact(f"{self._fact} pages") or {}
        pages: Document = {}
        rows: dict[str, Card] = {}
        while url is not None and len(pages) < PAGES_MAX:
            held: Document | None = kept.get(url)
            answer = self._edge.call("GET", url, etag=held["tag"] if held else "")
            if isinstance(answer, Parked | Failed):
                return answer
            if isinstance(answer, Ok):
                held = {"tag": answer.headers.get("etag", ""), "next": answer.next_url, "rows": _read(answer.document)}
            if held is None:
                return _refused(answer)
            pages[url] = held
            rows |= {key: Card(id=card, status=status, updated_ms=at) for key, card, status, at in held["rows"]}
            url = held["next"]
        self._memory.keep_fact(f"{self._fact} pages", pages)
        return rows


def option_for(status: str, options: Mapping[str, str]) -> str | None:
    """The name of the option that means `status`: the same text before the same meaning; None when there is none."""
    alike = next((name for name in options if folded(name) == folded(status)), None)
    return alike or next((name for name in options if same(normal(name), status)), None)


def _read(document: Any) -> list[list[Any]]:
    """Issue, card, status and moment of each item on a page; drafts, pull requests and archived cards are left out."""
    found: list[list[Any]] = []
    for row in rows_of(document):
        content = row.get("content")
        is_shown = row.get("content_type") == "Issue" and not row.get("archived_at")
        if not is_shown or not is_issue(content) or not is_id(row.get("id")):
            continue
        where = re.search(r"/repos/([^/]+/[^/]+)$", str(content.get("repository_url")))
        if where is not None:
            found.append([f"{where[1]}#{content['number']}".lower(), row["id"], _status(row), moment_of(row)])
    return found


def _status(document: Any) -> str | None:
    """The status that an item shows."""
    fields = document.get("fields") if isinstance(document, dict) else None
    for field in rows_of(fields):
        if folded(str(field.get("name"))) == FIELD:
            value = field.get("value")
            return None if value is None else _text(value.get("name") if isinstance(value, dict) else value)
    return None


def _text(value: Any) -> str:
    return str(value.get("raw", "")) if isinstance(value, dict) else str(value)


def _refused(answer: Ok | NotModified | Parked | Failed) -> Parked | Failed:
    if isinstance(answer, Parked | Failed):
        return answer
    return Failed(kind="transient", detail="an answer without content")
