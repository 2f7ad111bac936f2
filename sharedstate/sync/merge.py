"""Pure three-way merge of what the fleet and the board say of one task.

Records join by fixed rules that do not depend on who is asked first: the higher fence wins the ownership; at one
fence an ended attempt wins over a running one, then the newer heartbeat, then the greater owner name, so that
everybody picks the same. Counts never go down. The card is merged field by field over its base: what only one side
changed stands; where both did, the policy decides, and by default that is the person at the board.
"""

from __future__ import annotations

from typing import Any

from sharedstate.sync.model import BOARD_PRIMARY, INTERNAL_PRIMARY, MIRROR_ONLY, Card, Loser, Merged, RemoteRecord, Side
from sharedstate.sync.statuses import same
from sharedstate.tasks.model import CLAIMED, ENDINGS, NEW

_COUNTED = ("revision",)


def join(one: RemoteRecord, other: RemoteRecord) -> RemoteRecord:
    """The record both agree on: idempotent, commutative, associative.

    Never lowers a fence, an attempt or a retry count.
    """
    winner, loser = (one, other) if _rank(one) >= _rank(other) else (other, one)
    same_attempt = winner.fence == loser.fence and winner.owner == loser.owner
    return winner.replace(
        attempts=max(one.attempts, other.attempts),
        retries=max(one.retries, other.retries),
        retries_max=max(one.retries_max, other.retries_max),
        heartbeat_ms=_newest(one, other) if same_attempt else winner.heartbeat_ms,
        ignored=one.ignored or other.ignored,
        revision=max(one.revision, other.revision),
    )


def merge(*, base: Side, mine: Side, theirs: Side, policy: str = BOARD_PRIMARY) -> Merged:
    """Both sides merged over their last agreement, and every value that lost.

    `policy`: `board-primary` lets the board win a card field that both changed, `internal-primary` the fleet; with
    `mirror-only` the fleet always wins and the board only shows. The ignore flag wins over its absence whenever both
    sides changed it.
    """
    record = _merge_records(mine.record, theirs.record)
    card = _merge_cards(base.card, mine.card, theirs.card, policy)
    merged = Side(record=record, card=card)
    return Merged(
        side=merged, losers=(*_record_losers(base, mine, theirs, record), *_card_losers(base, mine, theirs, card))
    )


def is_fresher(theirs: RemoteRecord, mine: RemoteRecord) -> bool:
    """Whether another owner's running attempt on the board goes before ours: then a push is skipped.

    Our own claim never blocks our own push; what is released or ended blocks nobody.
    """
    if theirs.owner is None or theirs.owner == mine.owner or theirs.status != CLAIMED:
        return False
    return _rank(theirs) > _rank(mine)


def _rank(record: RemoteRecord) -> tuple[Any, ...]:
    return (
        record.fence,
        record.status in ENDINGS,
        record.status != NEW,
        record.heartbeat_ms or 0,
        record.owner or "",
        record.status,
        record.since_ms or 0,
        record.last_error or "",
        record.task,
    )


def _newest(one: RemoteRecord, other: RemoteRecord) -> int | None:
    moments = [moment for moment in (one.heartbeat_ms, other.heartbeat_ms) if moment is not None]
    return max(moments, default=None)


def _merge_records(mine: RemoteRecord | None, theirs: RemoteRecord | None) -> RemoteRecord | None:
    if mine is None or theirs is None:
        return mine or theirs
    return join(mine, theirs)


def _merge_cards(base: Card, mine: Card, theirs: Card, policy: str) -> Card:
    if policy == MIRROR_ONLY:
        return mine
    prefer_mine = policy == INTERNAL_PRIMARY
    fields: dict[str, Any] = {}
    for name in ("open", "status", "ignored"):
        ours, board, before = getattr(mine, name), getattr(theirs, name), getattr(base, name)
        i_changed, they_changed = not _equal(name, ours, before), not _equal(name, board, before)
        fields[name] = board if they_changed and not (i_changed and prefer_mine) else ours
        if name == "ignored" and i_changed and they_changed:
            fields[name] = ours or board
    fields["reason"] = theirs.reason if fields["open"] == theirs.open else mine.reason
    return Card(**fields)


def _equal(name: str, one: Any, other: Any) -> bool:
    return same(one, other) if name == "status" else one == other


def _record_losers(base: Side, mine: Side, theirs: Side, winner: RemoteRecord | None) -> tuple[Loser, ...]:
    if winner is None or mine.record is None or theirs.record is None:
        return ()
    before = {} if base.record is None else base.record.fields()
    won = winner.fields()
    lost: list[Loser] = []
    for side, record in (("fleet", mine.record), ("board", theirs.record)):
        for name, value in record.fields().items():
            if name not in _COUNTED and value != won[name] and value != before.get(name):
                lost.append(Loser(field=name, side=side, value=value, winner=won[name]))
    return tuple(lost)


def _card_losers(base: Side, mine: Side, theirs: Side, winner: Card) -> tuple[Loser, ...]:
    lost: list[Loser] = []
    for side, card in (("fleet", mine.card), ("board", theirs.card)):
        for name in ("open", "status", "ignored"):
            value, won = getattr(card, name), getattr(winner, name)
            if not _equal(name, value, won) and not _equal(name, value, getattr(base.card, name)):
                lost.append(Loser(field=name, side=side, value=value, winner=won))
    return tuple(lost)
