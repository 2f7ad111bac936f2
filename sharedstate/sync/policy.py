"""Pure decisions of a sync: what a person's change on the board means, and what the fleet writes there."""

from __future__ import annotations

from typing import Final, Literal

from sharedstate.sync import statuses
from sharedstate.sync.model import Card, RemoteRecord
from sharedstate.tasks.model import CLAIMED, COMPLETE, ENDINGS, TaskState
from sharedstate.values import Value

IGNORE: Final = "ignore"
UNIGNORE: Final = "unignore"
REOPEN: Final = "reopen"
COMPLETE_IT: Final = "complete"
CANCEL: Final = "cancel"
CANCELLED_REASON: Final = "cancelled on the board"
Kind = Literal["ignore", "unignore", "reopen", "complete", "cancel"]


class Action(Value):
    """What the fleet does because a person changed the board: ignore, unignore, reopen, complete or cancel; and why."""

    kind: Kind
    reason: str


def record_of(state: TaskState, *, heartbeat_ms: int | None, retries_max: int) -> RemoteRecord:
    """The public record of a task: what a state comment may say. No token, no digest, no host details."""
    lease = state.lease if state.status == CLAIMED else None
    return RemoteRecord(
        task=state.task,
        status=state.status,
        owner=None if state.lease is None else state.lease.owner,
        fence=state.fence,
        attempts=state.attempts,
        retries=state.retries,
        retries_max=retries_max,
        since_ms=state.updated_ms if lease is None else lease.began.at_ms,
        heartbeat_ms=heartbeat_ms if lease is not None else None,
        last_error=state.last_error,
        ignored=state.ignored is not None,
    )


def card_of(state: TaskState | None, *, retries_max: int, shown: Card) -> Card:
    """The card that the fleet would show for a task, given what is `shown` now.

    An issue is never closed or opened by the fleet, and a status that says the same in other words is left as it is
    (an `inreview` card of a complete task stays where its reviewer put it).
    """
    if state is None:
        return shown
    exhausted = state.retries >= retries_max
    wanted = statuses.status_of_task(state.status, exhausted=exhausted)
    if shown.status is not None and (wanted, statuses.known(shown.status)) in _AS_GOOD_AS:
        wanted = shown.status
    status = None if shown.status is None else wanted
    return shown.replace(status=status, ignored=state.ignored is not None)


# What the fleet wants, and what it takes for the same: review is a person's word for work or for its end.
_AS_GOOD_AS: Final = frozenset(
    (
        (statuses.IN_PROGRESS, statuses.IN_REVIEW),
        (statuses.DONE, statuses.IN_REVIEW),
        (statuses.DONE, statuses.CANCELLED),
        (statuses.TODO, statuses.BLOCKED),
        (statuses.TODO, statuses.CANCELLED),
    )
)


def labels_of(state: TaskState | None, *, stale: bool) -> frozenset[str]:
    """Our labels for a task: `claimed`, `working` (has shown life since it was claimed), `stale`, `ignore`."""
    if state is None:
        return frozenset()
    labels = {"ignore"} if state.ignored is not None else set()
    if state.status == CLAIMED:
        labels.add("stale" if stale else "claimed")
    return frozenset(labels)


def decide_actions(*, base: Card, merged: Card, state: TaskState | None) -> tuple[Action, ...]:
    """What the fleet does about the merged card: only a change since `base` obliges, and only once.

    A task that the fleet has never heard of starts from an open card without marks: an ignore label, a closed issue and
    a cancelled card count from the first look.
    """
    actions: list[Action] = []
    if merged.ignored != base.ignored:
        if merged.ignored and (state is None or state.ignored is None):
            actions.append(Action(kind=IGNORE, reason="ignore label on the board"))
        if not merged.ignored and state is not None and state.ignored is not None:
            actions.append(Action(kind=UNIGNORE, reason="ignore label removed on the board"))
    ending = _ending(base, merged)
    if ending == CANCEL and (state is None or not _is_cancelled(state)):
        actions.append(Action(kind=CANCEL, reason=CANCELLED_REASON))
    if ending == COMPLETE_IT and (state is None or state.status != COMPLETE):
        actions.append(Action(kind=COMPLETE_IT, reason="done on the board"))
    if ending == REOPEN and state is not None and (state.status in ENDINGS or _is_cancelled(state)):
        actions.append(Action(kind=REOPEN, reason="reopened on the board"))
    return tuple(actions)


def _ending(base: Card, theirs: Card) -> str | None:
    """What a change of card or issue says about the end of the task; the issue speaks before the card."""
    was, now = _stand(base), _stand(theirs)
    if was == now:
        return None
    return {statuses.CANCELLED: CANCEL, statuses.DONE: COMPLETE_IT}.get(now, REOPEN if was in _OVER else None)


_OVER: Final = (statuses.CANCELLED, statuses.DONE)


def _stand(card: Card) -> str:
    if not card.open:
        return statuses.CANCELLED if card.reason == "not_planned" else statuses.DONE
    return statuses.known(card.status or "") or statuses.TODO


def _is_cancelled(state: TaskState) -> bool:
    return state.ignored is not None and state.ignored.reason == CANCELLED_REASON


def needs_write(shown: RemoteRecord | None, wanted: RemoteRecord, *, now_ms: int, window_ms: int) -> bool:
    """Whether the state comment is worth an edit: a change at once, a newer heartbeat only after `window_ms`.

    A task that nobody ever claimed or ignored needs no comment at all.
    """
    if shown is None:
        return wanted.attempts > 0 or wanted.ignored
    same = wanted.replace(revision=shown.revision, heartbeat_ms=shown.heartbeat_ms) == shown
    if not same:
        return True
    if wanted.heartbeat_ms is None or wanted.heartbeat_ms <= (shown.heartbeat_ms or 0):
        return False
    return wanted.heartbeat_ms - (shown.heartbeat_ms or shown.since_ms or 0) >= window_ms
