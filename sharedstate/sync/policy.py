"""Pure decisions of a sync: what a person's change on the board means, and what the fleet writes there."""

from __future__ import annotations

from typing import Final, Literal

from sharedstate.clock import ms_of_iso
from sharedstate.masking import masked
from sharedstate.sync import statuses
from sharedstate.sync.model import Card, RemoteRecord
from sharedstate.tasks.model import CLAIMED, COMPLETE, ENDINGS, NEW, TaskState
from sharedstate.values import Value

IGNORE: Final = "ignore"
UNIGNORE: Final = "unignore"
REOPEN: Final = "reopen"
COMPLETE_IT: Final = "complete"
CANCEL: Final = "cancel"
CANCELLED_REASON: Final = "cancelled on the board"
IGNORE_LABEL: Final = "ignore"
ERROR_CHARACTERS_MAX: Final = 500  # of the last error on the board
Kind = Literal["ignore", "unignore", "reopen", "complete", "cancel"]

# What the fleet wants, and what it takes for the same: review is a person's word for work or for its end.
_AS_GOOD_AS: Final = frozenset(
    (
        (statuses.IN_PROGRESS, statuses.IN_REVIEW),
        (statuses.DONE, statuses.IN_REVIEW),
        (statuses.TO_DO, statuses.BLOCKED),
    )
)
_OVER: Final = (statuses.CANCELLED, statuses.DONE)


class Action(Value):
    """What the fleet does because a person changed the board: ignore, unignore, reopen, complete or cancel; and why."""

    kind: Kind
    reason: str


# What the fleet shows


def record_of(state: TaskState, *, heartbeat_ms: int | None, retries_max: int) -> RemoteRecord:
    """The public record of a task: what a state comment may say. No token, no digest, no host details.

    The last error is what a program printed: secrets in it are masked, and it is cut to 500 characters.
    """
    lease = state.lease if state.status == CLAIMED else None
    return RemoteRecord(
        task=state.task,
        status=state.status,
        owner=None if state.lease is None else state.lease.owner,
        fence=state.fence,
        attempts=state.attempts,
        retries=state.retries,
        retries_max=retries_max,
        since_ms=_since_ms(state) if lease is None else lease.began.at_ms,
        heartbeat_ms=heartbeat_ms if lease is not None else None,
        last_error=_public(state.last_error),
        ignored=state.ignored is not None,
    )


def _public(error: str | None) -> str | None:
    return None if error is None else masked(error, characters_max=ERROR_CHARACTERS_MAX)


def owners_of(state: TaskState) -> frozenset[str]:
    """Everybody who, as far as this ledger remembers, has held the task."""
    known = {entry["owner"] for entry in state.history if isinstance(entry.get("owner"), str)}
    return frozenset(known if state.lease is None else {*known, state.lease.owner})


def is_cancelled(state: TaskState) -> bool:
    """Whether a person has cancelled the task on the board: nobody begins it until it is reopened there."""
    return state.ignored is not None and state.ignored.reason == CANCELLED_REASON


def wish_of(state: TaskState, *, retries_max: int) -> str:
    """Where the fleet would put the card of the task; what was cancelled reads back as cancelled."""
    if is_cancelled(state):
        return statuses.CANCELLED
    return statuses.status_of_task(state.status, exhausted=state.retries >= retries_max)


def is_as_good(shown: str, *, wish: str) -> bool:
    """Whether a card at `shown` says the same as the fleet's wish, so that it stays where its reviewer put it."""
    return statuses.same(shown, wish) or (wish, statuses.known(shown)) in _AS_GOOD_AS


def card_of(state: TaskState | None, *, base: Card, wanted: str | None, wish: str | None) -> Card:
    """The fleet's card for the merge over `base`: only a change of mind since `wanted` differs from what was agreed.

    The fleet opens and closes no issue.
    """
    if state is None:
        return base
    changed = base.status is not None and wanted is not None and wish is not None and not statuses.same(wish, wanted)
    ignored = base.ignored if is_cancelled(state) else state.ignored is not None
    return base.replace(status=wish if changed else base.status, ignored=ignored)


def labels_of(state: TaskState, *, stale: bool, working: bool, shown: frozenset[str]) -> frozenset[str]:
    """Our labels for a task: one of `claimed`, `working` (alive since it was claimed), `stale`; and `ignore`.

    An `ignore` that is shown stays; a cancelled task needs none.
    """
    labels = shown & {IGNORE_LABEL}
    if state.ignored is not None and not is_cancelled(state):
        labels |= {IGNORE_LABEL}
    if state.status != CLAIMED:
        return labels
    return labels | {"stale" if stale else "working" if working else "claimed"}


def needs_write(shown: RemoteRecord | None, wanted: RemoteRecord, *, window_ms: int) -> bool:
    """Whether the state comment is worth an edit: a change at once, a newer heartbeat only after `window_ms`.

    A task that nobody ever claimed needs no comment: issue, card and label say it all.
    """
    if shown is None:
        return wanted.attempts > 0
    if wanted.replace(revision=shown.revision, heartbeat_ms=shown.heartbeat_ms) != shown:
        return True
    if wanted.heartbeat_ms is None:
        return False
    return wanted.heartbeat_ms - max(shown.heartbeat_ms or 0, shown.since_ms or 0) >= window_ms


# What a person's change means


def decide_actions(*, base: Card, merged: Card, state: TaskState | None) -> tuple[Action, ...]:
    """What the fleet does about the merged card: only a change since `base` obliges, and only once.

    A task that the fleet has never heard of starts from an open card without marks: an ignore label, a closed issue and
    a cancelled card count from the first look. A label on the board always counts.
    """
    ending = _ending(base, merged)
    cancelled = state is not None and is_cancelled(state)
    actions: list[Action] = []
    if ending == CANCEL:
        return () if cancelled else (Action(kind=CANCEL, reason=CANCELLED_REASON),)
    if cancelled and ending is not None:
        actions.append(Action(kind=UNIGNORE, reason="not cancelled any more on the board"))
    if ending == COMPLETE_IT and (state is None or state.status != COMPLETE):
        actions.append(Action(kind=COMPLETE_IT, reason="done on the board"))
    if ending == REOPEN and state is not None and state.status in ENDINGS:
        actions.append(Action(kind=REOPEN, reason="reopened on the board"))
    ignored = state is not None and state.ignored is not None and not (cancelled and actions)
    if merged.ignored and not ignored:
        actions.append(Action(kind=IGNORE, reason="ignore label on the board"))
    if base.ignored and not merged.ignored and ignored and not cancelled:
        actions.append(Action(kind=UNIGNORE, reason="ignore label removed on the board"))
    return tuple(actions)


def _ending(base: Card, merged: Card) -> str | None:
    """What a change of issue or card says about the end of the task; the issue speaks before the card.

    Compared are the changes, not where both stand: after a reopen the card may long stand where the end had put it.
    """
    if not merged.open:
        changed = base.open or _is_dropped(base) != _is_dropped(merged)
        return (CANCEL if _is_dropped(merged) else COMPLETE_IT) if changed else None
    was, now = _meaning(base), _meaning(merged)
    if not base.open and was == now:
        return REOPEN
    if was == now:
        return None
    over = was in _OVER or not base.open
    return {statuses.CANCELLED: CANCEL, statuses.DONE: COMPLETE_IT}.get(now, REOPEN if over else None)


def _is_dropped(card: Card) -> bool:
    return card.reason == "not_planned"


def _meaning(card: Card) -> str:
    return statuses.known(card.status or "") or statuses.TO_DO


def _since_ms(state: TaskState) -> int:
    """When the task came to its present status: an ignore flag set later is no new ending."""
    since_ms = state.updated_ms
    for entry in reversed(state.history):
        if entry.get("status") != state.status:
            break
        try:
            since_ms = ms_of_iso(entry["at"])
        except (KeyError, TypeError, ValueError):
            break
    return since_ms


def is_unspoken(state: TaskState) -> bool:
    """Whether the fleet has nothing to say of the task: nobody began it, no person ended it."""
    return state.status == NEW and state.attempts == 0 and not is_cancelled(state)
