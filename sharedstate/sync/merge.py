"""Pure three-way merge of what the fleet and the board say of one task.

Records are agreed upon by rules that every engine applies alike, so that several of them on one board come to rest:
our own ledger's later word replaces its earlier one; the higher fence goes first; what has ended blocks nobody; of two
running attempts the one on the board stays until it falls silent. Cards are merged field by field over their base: what
only one side changed stands; where both did, the policy decides, and by default that is the person at the board.
"""

from __future__ import annotations

from typing import Any, Final

from sharedstate.sync.model import BOARD_PRIMARY, INTERNAL_PRIMARY, MIRROR_ONLY, Card, Loser, RemoteRecord
from sharedstate.sync.statuses import same
from sharedstate.tasks.model import ABANDONED, CLAIMED, COMPLETE, FAILED, NEW
from sharedstate.values import Value

FLEET: Final = "fleet"
BOARD: Final = "board"
_STANDING: Final = {NEW: 0, CLAIMED: 1, ABANDONED: 2, FAILED: 3, COMPLETE: 4}


class Agreement(Value):
    """What the board shall show: the record, whether it is the fleet's (`ours`), and every value that lost."""

    record: RemoteRecord
    ours: bool
    losers: tuple[Loser, ...] = ()


def join(one: RemoteRecord, other: RemoteRecord) -> RemoteRecord:
    """The record both agree on: idempotent, commutative, associative; lowers no fence, attempt, retry or revision.

    The attempt with the higher fence stands; at one fence the ended one, then the newer heartbeat. What is counted is
    the highest of both, and an ignore flag wins over its absence.
    """
    return max((one, other), key=_rank).replace(
        attempts=max(one.attempts, other.attempts),
        retries=max(one.retries, other.retries),
        retries_max=max(one.retries_max, other.retries_max),
        ignored=one.ignored or other.ignored,
        revision=max(one.revision, other.revision),
    )


def agree(
    *,
    mine: RemoteRecord,
    shown: RemoteRecord | None,
    own: bool,
    restarted: bool,
    now_ms: int,
    silent_ms: int,
) -> Agreement:
    """What the board shall show, given the fleet's record and the one it shows.

    `own`: the record shown is an earlier word of this very ledger (an owner that it has seen). `restarted`: the fleet's
    retries were set back by a reopen, so they may fall. A running attempt counts as silent after
    `silent_ms` without a sign of life.

    Fences of ledgers that share nothing are not comparable, but what the board shows must only grow: an attempt that
    replaces another owner's is published under the next higher number.
    """
    if shown is None:
        return Agreement(record=mine, ours=True)
    own = own or (mine.owner is not None and mine.owner == shown.owner)
    if not _goes_first(mine, shown, own=own, now_ms=now_ms, silent_ms=silent_ms):
        return Agreement(record=shown, ours=False, losers=_lost(FLEET, mine, shown))
    lifted = mine.replace(fence=_public_fence(mine, shown))
    record = join(lifted, shown)
    if own:  # the ledger's own word is not for debate, only its counts and the heartbeat never go back
        record = lifted.replace(attempts=record.attempts, retries_max=record.retries_max, retries=record.retries)
        if _is_one_attempt(lifted, shown):
            record = record.replace(heartbeat_ms=max(mine.heartbeat_ms or 0, shown.heartbeat_ms or 0) or None)
    record = record.replace(
        retries=mine.retries if restarted else record.retries,
        ignored=mine.ignored,
        revision=shown.revision,
    )
    return Agreement(record=record, ours=True, losers=() if own else _lost(BOARD, shown, record))


def merge_cards(*, base: Card, mine: Card, theirs: Card, policy: str = BOARD_PRIMARY) -> tuple[Card, tuple[Loser, ...]]:
    """Both cards merged over their last agreement, and every value that lost.

    `board-primary` lets the board win a field that both changed, `internal-primary` the fleet; with `mirror-only` the
    fleet always wins and the board only shows. An ignore label on the board wins whoever changed what.
    """
    if policy == MIRROR_ONLY:
        return mine, _lost_fields(base, mine, theirs, mine)
    fields: dict[str, Any] = {}
    for name in ("open", "status"):
        ours, board, before = getattr(mine, name), getattr(theirs, name), getattr(base, name)
        we_changed, they_changed = not _equal(name, ours, before), not _equal(name, board, before)
        fields[name] = board if they_changed and not (we_changed and policy == INTERNAL_PRIMARY) else ours
    fields["ignored"] = theirs.ignored or (mine.ignored and not base.ignored)
    fields["reason"] = theirs.reason if fields["open"] == theirs.open else mine.reason
    card = Card(**fields)
    return card, _lost_fields(base, mine, theirs, card)


def is_silent(record: RemoteRecord, *, now_ms: int, silent_ms: int) -> bool:
    """Whether a running attempt has shown no sign of life for longer than `silent_ms`."""
    return now_ms - max(record.heartbeat_ms or 0, record.since_ms or 0) > silent_ms


def _goes_first(mine: RemoteRecord, shown: RemoteRecord, *, own: bool, now_ms: int, silent_ms: int) -> bool:
    """Whether the fleet's record replaces the one shown. Without `own` this order has no cycles, so engines settle."""
    if own:
        return True
    if mine.owner is None:  # nobody ever held the task here: there is nothing to show
        return False
    if shown.owner is None or mine.fence > shown.fence:
        return True
    if shown.status == CLAIMED:
        return (
            mine.status == CLAIMED
            and is_silent(shown, now_ms=now_ms, silent_ms=silent_ms)
            and not is_silent(mine, now_ms=now_ms, silent_ms=silent_ms)
        )
    return mine.status == CLAIMED or _ending(mine) > _ending(shown)


def _public_fence(mine: RemoteRecord, shown: RemoteRecord) -> int:
    if mine.owner != shown.owner:
        return max(mine.fence, shown.fence + 1)
    begun_anew = mine.status == CLAIMED != shown.status and mine.fence <= shown.fence
    return max(mine.fence, shown.fence + begun_anew)


def _is_one_attempt(mine: RemoteRecord, shown: RemoteRecord) -> bool:
    running = mine.status == CLAIMED == shown.status
    return running and (mine.owner, mine.fence) == (shown.owner, shown.fence)


def _ending(record: RemoteRecord) -> tuple[bool, int, str]:
    """Orders attempts of different owners that are over: complete before the rest, then the later one.

    Of two that are complete the earlier one: the others were told so by the card, and did not do it.
    """
    complete, since_ms = record.status == COMPLETE, record.since_ms or 0
    return complete, -since_ms if complete else since_ms, record.owner or ""


def _rank(record: RemoteRecord) -> tuple[Any, ...]:
    """A total order over all that `join` does not take from both."""
    return (
        record.fence,
        _STANDING.get(record.status, 0),
        *_moment(record.heartbeat_ms),
        *_moment(record.since_ms),
        *_text(record.owner),
        *_text(record.last_error),
        record.status,
        record.task,
    )


def _moment(at_ms: int | None) -> tuple[bool, int]:
    return at_ms is not None, at_ms or 0


def _text(text: str | None) -> tuple[bool, str]:
    return text is not None, text or ""


def _equal(name: str, one: Any, other: Any) -> bool:
    return same(one, other) if name == "status" else bool(one == other)


def _lost(side: str, loser: RemoteRecord, winner: RemoteRecord) -> tuple[Loser, ...]:
    won = winner.fields()
    return tuple(
        Loser(field=name, side=side, value=value, winner=won[name])
        for name, value in loser.fields().items()
        if name != "revision" and value != won[name]
    )


def _lost_fields(base: Card, mine: Card, theirs: Card, winner: Card) -> tuple[Loser, ...]:
    lost: list[Loser] = []
    for side, card in ((FLEET, mine), (BOARD, theirs)):
        for name in ("open", "reason", "status", "ignored"):
            value, won = getattr(card, name), getattr(winner, name)
            if not _equal(name, value, won) and not _equal(name, value, getattr(base, name)):
                lost.append(Loser(field=name, side=side, value=value, winner=won))
    return tuple(lost)
