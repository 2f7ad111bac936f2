"""GitHub's documents as our values. Pure; a document that is not what it should be is `Corrupt`, and only that one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, TypeGuard

from sharedstate.clock import ms_of_iso
from sharedstate.errors import Corrupt
from sharedstate.sync.board import Item
from sharedstate.sync.model import Card
from sharedstate_adapters.github.keys import Handle, Keys, Place
from sharedstate_adapters.github.trust import Chosen, Comment

WORDS: Final = ("claimed", "working", "stale", "ignore")
_REASONS: Final = {"completed": "completed", "not_planned": "not_planned", "duplicate": "not_planned"}
Document = Mapping[str, Any]


def is_id(value: Any) -> TypeGuard[int]:
    """Whether a value can be an id or a number of GitHub's, and be kept by us: 1 to 2^63 - 1."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63


def rows_of(document: Any) -> list[dict[str, Any]]:
    """The objects of a list; what is no object, or no list, is left out."""
    return [row for row in document if isinstance(row, dict)] if isinstance(document, list) else []


def is_issue(document: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a listed document is an issue; GitHub lists pull requests among them."""
    return isinstance(document, dict) and is_id(document.get("number")) and "pull_request" not in document


def item_of(
    document: Document,
    *,
    place: Place,
    keys: Keys,
    prefix: str,
    chosen: Chosen,
    card_id: int,
    status: str | None,
    moment_ms: int,
) -> Item:
    """One issue as the engine sees it. The project card, if it has one, has an id, a status and a moment of change."""
    labels = own_labels(document.get("labels"), prefix)
    is_open = document.get("state") == "open"
    reason = str(document.get("state_reason") or "")
    comment_id = 0 if chosen.comment is None else chosen.comment.id
    return Item(
        task=keys.task_of(place),
        title=str(document.get("title") or ""),
        url=str(document.get("html_url") or ""),
        card=Card(
            open=is_open,
            reason=("reopened" if reason == "reopened" else None) if is_open else _REASONS.get(reason, "completed"),
            status=status,
            ignored="ignore" in labels,
        ),
        labels=labels,
        record=chosen.record,
        locked=bool(document.get("locked")),
        updated_ms=max(moment_of(document), moment_ms, 0 if chosen.comment is None else chosen.comment.updated_ms),
        handle=Handle(place=place, comment_id=comment_id, card_id=card_id).text(),
    )


def own_labels(labels: Any, prefix: str) -> frozenset[str]:
    """Which of our labels are among an issue's labels, without their prefix. Case does not matter, as on GitHub."""
    names = (label.get("name") if isinstance(label, dict) else label for label in labels or ())
    known = {f"{prefix}{word}".lower(): word for word in WORDS}
    return frozenset(known[name.lower()] for name in names if isinstance(name, str) and name.lower() in known)


def comment_of(document: Any) -> Comment:
    """A comment; raises `Corrupt`."""
    if not isinstance(document, dict) or not is_id(document.get("id")):
        raise Corrupt("a comment without an id")
    author = document.get("user")
    author = author if isinstance(author, dict) else {}  # null when the account is gone
    author_id = author.get("id")
    return Comment(
        id=document["id"],
        author_id=author_id if is_id(author_id) else 0,
        author=str(author.get("login") or "ghost"),
        kind=str(author.get("type") or ""),
        association=str(document.get("author_association") or ""),
        body=str(document.get("body") or ""),
        updated_ms=moment_of(document),
        url=str(document.get("html_url") or ""),
    )


def number_of(document: Any) -> int:
    """The issue that a comment belongs to; raises `Corrupt`."""
    url = document.get("issue_url") if isinstance(document, dict) else None
    found = re.search(r"/issues/([1-9][0-9]{0,9})$", url) if isinstance(url, str) else None
    if found is None:
        raise Corrupt("a comment without an issue")
    return int(found[1])


def moment_of(document: Document) -> int:
    """When a document was last changed, Unix milliseconds; 0 when it does not say."""
    try:
        return ms_of_iso(str(document.get("updated_at")))
    except ValueError:
        return 0
