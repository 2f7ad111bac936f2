"""An envelope as a JSON document and back, with the limit of every field; the same form in records and over HTTP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sharedstate import jsonio
from sharedstate.clock import iso_of_ms, ms_of_iso
from sharedstate.errors import InvalidId, InvalidInput
from sharedstate.ids import check_id, fingerprint
from sharedstate.messages.model import (
    BODY_BYTES_MAX,
    EVERYBODY,
    MORE_BYTES_MAX,
    PRIORITY_MAX,
    PRIORITY_MIN,
    RECIPIENTS_MAX,
    SCHEMA,
    WORD_CHARACTERS_MAX,
    Envelope,
)
from sharedstate.store import Document

ID_CHARACTERS: Final = 26
_BASE_32: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford: no I, L, O, U
_DIGITS: Final = frozenset(_BASE_32)
_WORD: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:")
_KNOWN: Final = frozenset(
    (
        "message_schema",
        "message_id",
        "from",
        "to",
        "kind",
        "body",
        "created_at",
        "sequence",
        "lane",
        "phase",
        "correlation_id",
        "reply_to",
        "ack_due",
        "priority",
        "replayed_at",
        "attempts",
    )
)
# What a delivery adds; everything else is the message itself.
_OF_DELIVERY: Final = frozenset(("replayed_at", "attempts"))


def new_message_id(*, at_ms: int, entropy: bytes) -> str:
    """A fresh id, a ULID: 48 bits of Unix milliseconds, 80 random bits (10 bytes), 26 characters that sort by time."""
    number = (at_ms & ((1 << 48) - 1)) << 80 | int.from_bytes(entropy[:10], "big")
    return "".join(_BASE_32[number >> shift & 31] for shift in range(125, -1, -5))


def check_message_id(text: object, *, what: str = "message id") -> str:
    """The id as given, or `InvalidId`: 26 characters of Crockford base 32, upper case, the first from 0 to 7."""
    if not isinstance(text, str) or len(text) != ID_CHARACTERS or not _DIGITS.issuperset(text) or text[0] > "7":
        raise InvalidId(f"{what}: not a message id: {str(text)[:40]!a}", hint="an id has 26 characters, 0-9 and A-Z")
    return text


def check_sender(name: object) -> str:
    """One agent's name, or `InvalidInput`: `*` is everybody, and an answer to it would go to all."""
    sender = check_id(name, what="sender")
    if sender == EVERYBODY:
        raise InvalidInput("* means everybody; a message is from one agent")
    return sender


def check_recipients(names: object) -> tuple[str, ...]:
    """1 to 100 distinct recipients in the order given, or `*` alone. Raises `InvalidInput`."""
    if isinstance(names, str):
        names = (names,)
    if not isinstance(names, Sequence) or not names:
        raise InvalidInput("a message needs at least one recipient")
    checked = tuple(dict.fromkeys(check_id(name, what="recipient") for name in names))
    if len(checked) > RECIPIENTS_MAX:
        raise InvalidInput(f"{len(checked)} recipients; at most {RECIPIENTS_MAX} are allowed, or * for everybody")
    if EVERYBODY in checked and len(checked) > 1:
        raise InvalidInput("* means everybody; it stands alone")
    return checked


def check_word(text: object, *, what: str) -> str:
    """A kind, lane or phase: up to 60 of `A-Z a-z 0-9 - _ . / :`, possibly none. Raises `InvalidInput`."""
    if not isinstance(text, str) or len(text) > WORD_CHARACTERS_MAX or not _WORD.issuperset(text):
        raise InvalidInput(f"{what}: at most {WORD_CHARACTERS_MAX} of A-Z a-z 0-9 - _ . / : ({str(text)[:40]!a})")
    return text


def check_body(text: object) -> str:
    """The body as given: text of at most 65,536 bytes in UTF-8, without NUL. Raises `InvalidInput`."""
    if not isinstance(text, str) or "\0" in text:
        raise InvalidInput("the body of a message is text without NUL")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidInput("the body of a message is not valid Unicode (a lone surrogate)") from None
    if size > BODY_BYTES_MAX:
        raise InvalidInput(
            f"a body of {size} bytes; at most {BODY_BYTES_MAX} are allowed",
            hint="put the long text into a file that the recipient can read, and send its path",
        )
    return text


def document_of(envelope: Envelope) -> Document:
    """The envelope as a JSON object; fields that are empty are left out."""
    whole: Document = {
        **envelope.more,
        "message_schema": SCHEMA,
        "message_id": envelope.id,
        "from": envelope.sender,
        "to": list(envelope.recipients),
        "kind": envelope.kind,
        "body": envelope.body,
        "created_at": iso_of_ms(envelope.created_at_ms),
        "sequence": envelope.sequence,
        "lane": envelope.lane or None,
        "phase": envelope.phase or None,
        "correlation_id": envelope.correlation_id or None,
        "reply_to": envelope.reply_to or None,
        "ack_due": None if envelope.ack_due_ms is None else iso_of_ms(envelope.ack_due_ms),
        "priority": envelope.priority or None,
        "replayed_at": None if envelope.replayed_at_ms is None else iso_of_ms(envelope.replayed_at_ms),
        "attempts": envelope.attempts or None,
    }
    return {name: value for name, value in whole.items() if value is not None}


def envelope_of(document: Mapping[str, Any]) -> Envelope:
    """The envelope in a JSON object, every field checked; unknown fields are kept. Raises `InvalidInput`."""
    _check_schema(document.get("message_schema", SCHEMA))
    more = {name: value for name, value in document.items() if name not in _KNOWN}
    _check_more(more)
    identity = check_message_id(document.get("message_id"))
    correlation = document.get("correlation_id")
    reply_to = document.get("reply_to")
    return Envelope(
        id=identity,
        sender=check_sender(document.get("from")),
        recipients=check_recipients(document.get("to")),
        kind=check_word(document.get("kind", "message"), what="kind") or "message",
        body=check_body(document.get("body")),
        created_at_ms=_moment(document.get("created_at"), what="created_at"),
        sequence=_number(document.get("sequence", 0), what="sequence", low=0, high=jsonio.COUNT_MAX),
        lane=check_word(document.get("lane", ""), what="lane"),
        phase=check_word(document.get("phase", ""), what="phase"),
        correlation_id=identity if correlation is None else check_message_id(correlation, what="correlation_id"),
        reply_to="" if reply_to is None else check_message_id(reply_to, what="reply_to"),
        ack_due_ms=_moment_or_none(document.get("ack_due"), what="ack_due"),
        priority=_number(document.get("priority", 0), what="priority", low=PRIORITY_MIN, high=PRIORITY_MAX),
        replayed_at_ms=_moment_or_none(document.get("replayed_at"), what="replayed_at"),
        attempts=_number(document.get("attempts", 0), what="attempts", low=0, high=jsonio.COUNT_MAX),
        more=more,
    )


def content_digest(envelope: Envelope) -> str:
    """Fingerprint of the message itself, without what a delivery adds: the same id must always have the same."""
    document = {name: value for name, value in document_of(envelope).items() if name not in _OF_DELIVERY}
    return fingerprint(jsonio.encode(document), size=16, person=b"sharedstate-msg")


def _check_schema(schema: object) -> None:
    if type(schema) is not int or schema < 1:
        raise InvalidInput("message_schema is not a number")
    if schema > SCHEMA:
        raise InvalidInput(
            f"a message of format {schema}; this version knows {SCHEMA}", hint="upgrade sharedstate here"
        )


def _check_more(more: Document) -> None:
    try:
        size = len(jsonio.encode(more))
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"a message is a JSON object: {error}") from None
    if more and size > MORE_BYTES_MAX:
        raise InvalidInput(f"{size} bytes of unknown fields; at most {MORE_BYTES_MAX} are kept")


def _moment(text: object, *, what: str) -> int:
    try:
        return ms_of_iso(text) if isinstance(text, str) else _refuse_moment(what)
    except ValueError:
        return _refuse_moment(what)


def _moment_or_none(text: object, *, what: str) -> int | None:
    return None if text is None else _moment(text, what=what)


def _refuse_moment(what: str) -> int:
    raise InvalidInput(f"{what}: not a moment such as 2026-03-01T12:00:30Z")


def _number(value: object, *, what: str, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise InvalidInput(f"{what}: a whole number from {low} to {high}")
    return value
