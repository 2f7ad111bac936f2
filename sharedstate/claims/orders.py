"""What a process and its pacemaker say to each other: one JSON object a line. A token travels in this pipe only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sharedstate import jsonio
from sharedstate.clock import Instant
from sharedstate.errors import Corrupt, SharedStateError
from sharedstate.tasks.outcomes import Holder, Kept, Lost, Unverifiable
from sharedstate.values import Value

if TYPE_CHECKING:
    from sharedstate.claims.service import Claims

Document = dict[str, Any]
Answer = Kept | Lost | Unverifiable
# `poll` sleeps by a clock that stops in suspend: a short nap bounds how long a claim stays unverified after one.
NAP_MS_MAX: Final = 5_000
# A line within PIPE_BUF enters a pipe whole or not at all, also where the reader does not read for hours.
_DETAIL_CHARACTERS_MAX: Final = 300


class Order(Value, hidden=("token",)):
    """A claim to be kept alive: renewed every `interval_ms`, the first time at `due_ms` of the boot clock."""

    task: str
    owner: str
    token: str
    interval_ms: int
    due_ms: int


class Word(Value):
    """What a renewal said of hold `number`; `asked` is the moment before it began: what it confirms is no older."""

    number: int
    asked: Instant
    answer: Answer


def renewed(claims: Claims, order: Order) -> Answer:
    """Renew one claim now; a store that fails makes it unverifiable, never lost."""
    try:
        return claims.renew(order.task, owner=order.owner, token=order.token)
    except SharedStateError as error:
        return Unverifiable(task=order.task, detail=f"{error.code}: {error}")


def line_of_word(word: Word) -> bytes:
    """The pacemaker's line."""
    answer = word.answer
    fields = answer.fields()
    if not isinstance(answer, Kept):
        # A path in an error may hold bytes that are not UTF-8; they would not go through.
        fields["detail"] = answer.detail[:_DETAIL_CHARACTERS_MAX].encode("utf-8", "replace").decode()
    if isinstance(answer, Lost):
        fields["holder"] = None if answer.holder is None else answer.holder.fields()
    kind = type(answer).__name__.lower()
    return jsonio.encode_line({"hold": word.number, "asked": word.asked.fields(), kind: fields})


def word_of_line(line: bytes) -> Word | None:
    """The word in a pacemaker's line; None for a line that is none."""
    try:
        document = jsonio.decode(line, what="word of the pacemaker")
        return Word(number=document["hold"], asked=Instant(**document["asked"]), answer=_answer(document))
    except (Corrupt, KeyError, TypeError):
        return None


def _answer(document: Document) -> Answer:
    if "kept" in document:
        return Kept(**document["kept"])
    if "unverifiable" in document:
        return Unverifiable(**document["unverifiable"])
    fields: Document = dict(document["lost"])
    if fields["holder"] is not None:
        fields["holder"] = Holder(**fields["holder"])
    return Lost(**fields)
