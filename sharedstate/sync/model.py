"""What the board and the fleet know of one task, as frozen values that merge."""

from __future__ import annotations

from typing import Any, Final

from sharedstate.errors import Corrupt
from sharedstate.tasks.model import NEW, STATUSES
from sharedstate.values import Value

BOARD_PRIMARY: Final = "board-primary"
INTERNAL_PRIMARY: Final = "internal-primary"
MIRROR_ONLY: Final = "mirror-only"
POLICIES: Final = (BOARD_PRIMARY, INTERNAL_PRIMARY, MIRROR_ONLY)
COUNT_MAX: Final = 2**53 - 1  # what every JSON reader takes exactly; beyond it a number is no count of ours


class RemoteRecord(Value):
    """What a state comment says of a task: never a token, and nothing that could free, steal or raise a claim.

    Moments are Unix milliseconds, None where unknown. `revision` counts the writes of the comment (1, 2, 3 …).
    """

    task: str
    status: str = NEW
    owner: str | None = None
    fence: int = 0
    attempts: int = 0
    retries: int = 0
    retries_max: int = 0
    since_ms: int | None = None
    heartbeat_ms: int | None = None
    last_error: str | None = None
    ignored: bool = False
    revision: int = 0


class Card(Value):
    """What people can change on the board: is the issue open, why was it closed, the card's status, the ignore label.

    `reason` is `completed`, `not_planned`, `reopened` or None. `status` is one of ours, unknown text, or None when
    the board has no status field.
    """

    open: bool = True
    reason: str | None = None
    status: str | None = None
    ignored: bool = False


class Side(Value):
    """What was last agreed on a task, kept as the base of the next merge. `record` is None where there was none."""

    record: RemoteRecord | None = None
    card: Card = Card()


class Loser(Value):
    """A value that lost a merge: which field, whose (`fleet` or `board`), what it was, and what won."""

    field: str
    side: str
    value: Any
    winner: Any


def dump_record(record: RemoteRecord) -> dict[str, Any]:
    """The record as a JSON object, in the field names of the state comment."""
    return record.fields()


def load_record(document: dict[str, Any]) -> RemoteRecord:
    """A record from a JSON object; raises `Corrupt` on a missing field or a wrong type.

    Unknown fields are ignored.
    """
    known = {name: document[name] for name in RemoteRecord(task="").fields() if name in document}
    task, status = known.get("task"), known.get("status", NEW)
    if not isinstance(task, str) or not task or status not in STATUSES:
        raise Corrupt("state record: task or status is missing or unknown")
    for name in ("fence", "attempts", "retries", "retries_max", "revision"):
        if not is_count(known.get(name, 0)):
            raise Corrupt(f"state record: {name} is not a whole number from 0 to 2^53 - 1")
    for name in ("since_ms", "heartbeat_ms"):
        if known.get(name) is not None and not is_count(known[name]):
            raise Corrupt(f"state record: {name} is not a moment")
    for name in ("owner", "last_error"):
        if known.get(name) is not None and not isinstance(known[name], str):
            raise Corrupt(f"state record: {name} is not text")
    if not isinstance(known.get("ignored", False), bool):
        raise Corrupt("state record: ignored is not true or false")
    return RemoteRecord(**known)


def dump_side(side: Side) -> dict[str, Any]:
    """A side as a JSON object: what is kept as the base of the next merge."""
    return {"record": None if side.record is None else dump_record(side.record), "card": side.card.fields()}


def load_side(document: object) -> Side:
    """The side in a JSON object written by `dump_side`; raises `Corrupt`."""
    if not isinstance(document, dict):
        raise Corrupt("merge base: not an object")
    record, card = document.get("record"), document.get("card")
    if not isinstance(card, dict) or not (record is None or isinstance(record, dict)):
        raise Corrupt("merge base: card is missing")
    try:
        side = Side(record=None if record is None else load_record(record), card=Card(**card))
    except TypeError as error:
        raise Corrupt(f"merge base: {error}") from None
    marks, texts = (side.card.open, side.card.ignored), (side.card.reason or "", side.card.status or "")
    if not all(isinstance(one, bool) for one in marks) or not all(isinstance(one, str) for one in texts):
        raise Corrupt("merge base: a field of the card has a wrong type")
    return side


def is_count(value: object) -> bool:
    """Whether a value from a JSON object is a count or a moment: a whole number from 0 to 2^53 - 1."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= COUNT_MAX
