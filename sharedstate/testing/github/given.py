"""Reading what a client sent: each function returns the checked value of one field, or refuses with a 422."""

from __future__ import annotations

import re
from typing import Any, Final

from sharedstate.testing.github.call import invalid

BODY_CHARACTERS_MAX: Final = 65_536
TITLE_CHARACTERS_MAX: Final = 256
LABEL_CHARACTERS_MAX: Final = 50
LABELS_MAX: Final = 100
ASSIGNEES_MAX: Final = 10
CLOSE_REASONS: Final = ("completed", "not_planned", "duplicate")
LOCK_REASONS: Final = ("off-topic", "too heated", "resolved", "spam")

Document = dict[str, Any]


def title(given: Document) -> str | None:
    """The title of an issue; None when none was sent."""
    sent = given.get("title")
    if sent is None:
        return None
    if isinstance(sent, bool) or not isinstance(sent, str | int):
        raise invalid("Issue", "title", "invalid")
    if len(str(sent)) > TITLE_CHARACTERS_MAX:
        raise invalid("Issue", "title", "custom", f"title is too long (maximum is {TITLE_CHARACTERS_MAX} characters)")
    if not str(sent).strip():
        raise invalid("Issue", "title", "missing_field")
    return str(sent).strip()


def issue_body(given: Document) -> str | None:
    """The text of an issue."""
    sent = given.get("body")
    if sent is None:
        return None
    if not isinstance(sent, str):
        raise invalid("Issue", "body", "invalid")
    if len(sent) > BODY_CHARACTERS_MAX:
        raise invalid("Issue", "body", "custom", f"body is too long (maximum is {BODY_CHARACTERS_MAX} characters)")
    return sent


def comment_body(given: Document) -> str:
    """The text of a comment, which may not be blank."""
    sent = given.get("body")
    if sent is None or sent == "":
        raise invalid("IssueComment", "body", "missing_field")
    if not isinstance(sent, str):
        raise invalid("IssueComment", "body", "invalid")
    if len(sent) > BODY_CHARACTERS_MAX:
        message = f"Body is too long (maximum is {BODY_CHARACTERS_MAX} characters)"
        raise invalid("IssueComment", "data", "unprocessable", message)
    if not sent.strip():
        raise invalid("IssueComment", "body", "custom", "body can't be blank")
    return sent


def state(given: Document) -> tuple[str | None, str | None]:
    """State and its reason, as wished."""
    wished, reason = given.get("state"), given.get("state_reason")
    if wished not in (None, "open", "closed"):
        raise invalid("Issue", "state", "invalid")
    if reason not in (None, "reopened", *CLOSE_REASONS) or (wished == "closed" and reason == "reopened"):
        raise invalid("Issue", "state_reason", "invalid")
    return wished, reason


def lock_reason(given: Document) -> str | None:
    """Why a conversation is locked."""
    reason = given.get("lock_reason")
    if reason is not None and reason not in LOCK_REASONS:
        raise invalid("Issue", "lock_reason", "invalid")
    return reason


def logins(given: Document) -> list[str] | None:
    """Logins of `assignees` (texts, or objects with a login) or of the older `assignee`; None when neither was sent."""
    listed = given.get("assignees")
    if listed is None and "assignee" in given:
        listed = [given["assignee"]] if given["assignee"] else []
    if listed is None:
        return None
    if not isinstance(listed, list):
        raise invalid("Issue", "assignees", "invalid")
    named = [entry.get("login") if isinstance(entry, dict) else entry for entry in listed]
    if not all(isinstance(login, str) for login in named):
        raise invalid("Issue", "assignees", "invalid")
    return [str(login) for login in named][:ASSIGNEES_MAX]


def label_names(given: Document) -> list[str] | None:
    """Names of `labels` (texts, or objects with a name); None when none were sent."""
    listed = given.get("labels")
    if listed is None:
        return None
    if not isinstance(listed, list) or len(listed) > LABELS_MAX:
        raise invalid("Label", "name", "invalid")
    return [label_name(entry.get("name") if isinstance(entry, dict) else entry) for entry in listed]


def label_name(sent: Any) -> str:
    """The name of a label."""
    if not isinstance(sent, str) or not sent.strip():
        raise invalid("Label", "name", "missing_field")
    if len(sent) > LABEL_CHARACTERS_MAX:
        raise invalid("Label", "name", "custom", f"name is too long (maximum is {LABEL_CHARACTERS_MAX} characters)")
    return sent.strip()


def color(sent: Any) -> str:
    """Six hexadecimal digits."""
    if not isinstance(sent, str) or not re.fullmatch(r"[0-9a-fA-F]{6}", sent):
        raise invalid("Label", "color", "invalid")
    return sent.lower()


def text_or_none(given: Document, name: str, *, resource: str, default: str | None = None) -> str | None:
    """A field that is text or null."""
    sent = given.get(name, default)
    if sent is not None and not isinstance(sent, str):
        raise invalid(resource, name, "invalid")
    return sent
