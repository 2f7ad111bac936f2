"""What a gateway's answer says about letters; what is no letter is told as such, never guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sharedstate.clock import ms_of_iso
from sharedstate.errors import InvalidInput, StoreUnavailable
from sharedstate.ids import check_id
from sharedstate.messages.model import Letter
from sharedstate.messages.wire import check_message_id, check_word, envelope_of

_SUMMARY_CHARACTERS: Final = 200


def letter_of(told: object) -> Letter:
    """A letter as a gateway tells it. Raises `StoreUnavailable` for what is none."""
    if not isinstance(told, dict):
        raise StoreUnavailable("the gateway's answer holds something other than letters")
    try:
        raw = told.get("message")
        envelope = None if raw is None else envelope_of(raw)
        identity = check_message_id(told.get("id"))  # it is shown in commands to be copied
        if envelope is not None and envelope.id != identity:
            raise InvalidInput(f"it holds the message {envelope.id}")
        acknowledged = told.get("acknowledged_at")
        letter = Letter(
            sequence=number_of(told, "sequence"),
            id=identity,
            received_at_ms=ms_of_iso(told["received_at"]),
            unread=told.get("unread") is True,
            envelope=envelope,
            acknowledged_at_ms=None if acknowledged is None else ms_of_iso(acknowledged),
            problem=str(told.get("problem", ""))[:_SUMMARY_CHARACTERS],
            **_gist(told.get("gist", {})),
        )
    except (InvalidInput, KeyError, TypeError, ValueError) as error:
        raise StoreUnavailable(f"the gateway's answer holds a letter that is none: {error}") from None
    if envelope is None:
        return letter
    names = ("sender", "kind", "lane", "phase", "priority", "correlation_id", "reply_to", "ack_due_ms")
    same = {name: value for name, value in envelope.fields().items() if name in names}
    return letter.replace(**same, summary=envelope.body[:_SUMMARY_CHARACTERS])


def _gist(told: object) -> dict[str, Any]:
    """What a gateway tells of a letter whose envelope it cannot give."""
    if not isinstance(told, dict):
        raise InvalidInput("the gist of a letter is an object")
    names = ("lane", "phase", "correlation_id", "reply_to", "summary")
    gist: dict[str, Any] = {name: str(told.get(name, ""))[:_SUMMARY_CHARACTERS] for name in names}
    if told:
        gist["sender"] = check_id(told.get("from"), what="sender")
        gist["kind"] = check_word(told.get("kind", "message"), what="kind")
    return gist


def list_of(document: Mapping[str, Any], name: str) -> Sequence[Any]:
    """A list in an answer. Raises `StoreUnavailable` where there is none."""
    found = document.get(name)
    if not isinstance(found, list):
        raise StoreUnavailable(f"the gateway's answer has no {name}")
    return found


def number_of(document: Mapping[str, Any], name: str) -> int:
    """A whole number, 0 or more, in an answer. Raises `StoreUnavailable` where there is none."""
    found = document.get(name)
    if type(found) is not int or found < 0:
        raise StoreUnavailable(f"the gateway's answer has no {name}")
    return found
