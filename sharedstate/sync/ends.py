"""What pull and push work between: the tasks of the fleet, the board, the memory of both; and what both need."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from zlib import crc32

from sharedstate.events import event
from sharedstate.store import Entry
from sharedstate.sync import policy
from sharedstate.sync.board import Board, Conflict, Failed, Item, Parked
from sharedstate.sync.cycle import Cycle
from sharedstate.sync.memory import Known, Memory
from sharedstate.sync.merge import Agreement, agree
from sharedstate.sync.model import BOARD_PRIMARY, Loser, RemoteRecord, Side
from sharedstate.tasks.service import Tasks, TaskView
from sharedstate.values import Value

JOURNAL: Final = "events"
LOST_RECORD: Final = "record_lost"
LOST_CARD: Final = "card_lost"
RETRY_MS_MIN: Final = 5_000
RETRY_MS_MAX: Final = 3_600_000
HOPELESS: Final = frozenset(("forbidden", "gone", "moved", "locked"))


class SyncRules(Value):
    """How to sync: the policy, how many retries a task has, and the times, in milliseconds.

    `heartbeat_window_ms`: how often a mere heartbeat is worth an edit. After three windows without a sign of life
    another ledger's running attempt on the board blocks nobody. `full_every_ms`: how often the whole board is listed,
    by which deleted items are noticed. `absent_ms`: for how long a task that the board does not have is not asked for
    again. `changes_max`: how many journal entries one cycle reads.
    """

    policy: str = BOARD_PRIMARY
    retries_max: int = 3
    heartbeat_window_ms: int = 600_000
    full_every_ms: int = 21_600_000
    absent_ms: int = 3_600_000
    changes_max: int = 2_000

    @property
    def silent_ms(self) -> int:
        """After how long a running attempt on the board counts as silent."""
        return 3 * self.heartbeat_window_ms


class Ends:
    """Both ends of one sync, and the memory between them."""

    def __init__(self, *, tasks: Tasks, board: Board, memory: Memory, rules: SyncRules) -> None:
        self.tasks = tasks
        self.board = board
        self.memory = memory
        self.rules = rules

    def record(self, view: TaskView) -> RemoteRecord:
        """The fleet's public record of a task."""
        seen_ms = None if view.beat is None or view.beat.fence != view.state.fence else view.beat.seen.at_ms
        return policy.record_of(view.state, heartbeat_ms=seen_ms, retries_max=self.rules.retries_max)

    def agreement(self, view: TaskView, shown: RemoteRecord | None, known: Known, *, now_ms: int) -> Agreement:
        """What the board shall show of a task that the fleet knows."""
        mine = self.record(view)
        return agree(
            mine=mine,
            shown=shown,
            own=shown is not None and shown.owner in policy.owners_of(view.state),
            restarted=mine.retries < known.retries,
            now_ms=now_ms,
            silent_ms=self.rules.silent_ms,
        )

    def recalled(self, item: Item, view: TaskView | None) -> Known | None:
        """What must have been agreed on an item of which nothing is remembered; None when the fleet knows no task."""
        if view is None:
            return None
        base, wanted = policy.base_of(item.record, item.card, view.state, shown_ms=item.updated_ms)
        return Known(base=Side(record=item.record, card=base), wanted=wanted)

    def labels(self, view: TaskView, shown: frozenset[str]) -> frozenset[str]:
        """Our labels for a task that the fleet knows."""
        lease, beat = view.state.lease, view.beat
        working = False
        if lease is not None and beat is not None and beat.fence == view.state.fence:
            working = beat.seen.at_ms > lease.began.at_ms
        return policy.labels_of(view.state, stale=view.stale, working=working, shown=shown)

    def wish(self, view: TaskView) -> str:
        """Where the fleet would put the card."""
        return policy.wish_of(view.state, retries_max=self.rules.retries_max)

    def tell(self, task: str, reason: str, losers: Iterable[Loser], **facts: Any) -> None:
        """Write down what lost a merge: nothing is overwritten silently."""
        lost = {f"{one.side} {one.field}": {"lost": one.value, "won": one.winner} for one in losers}
        if lost:
            self.tasks.store.append(JOURNAL, event("conflict", task=task, reason=reason, detail=lost, **facts))

    def trouble(self, cycle: Cycle, task: str, answer: Parked | Failed | Conflict, *, tries: int, what: str) -> None:
        """Count what went wrong with one item, and let it wait."""
        if isinstance(answer, Parked):
            (cycle.paced if answer.alone else cycle.rate_limited)(answer)
            self.park(cycle, task, answer.until_ms - cycle.now.at_ms, answer.reason, counts=False)
        elif isinstance(answer, Conflict):
            self.park(cycle, task, delay_ms(tries, task=task, now_ms=cycle.now_ms), "the board moves on", look=True)
        elif answer.kind == "gone":
            cycle.gone(task)
            self.miss(cycle, task)
        else:
            cycle.failed(task, f"{what}: {answer.kind}: {answer.detail}", kind=answer.kind)
            wait_ms = RETRY_MS_MAX if answer.kind in HOPELESS else delay_ms(tries, task=task, now_ms=cycle.now_ms)
            self.park(cycle, task, wait_ms, answer.kind, look=answer.applied or answer.kind in HOPELESS)

    def park(
        self,
        cycle: Cycle,
        task: str,
        wait_ms: int,
        reason: str,
        *,
        look: bool = False,
        seen_ms: int = 0,
        counts: bool = True,
    ) -> None:
        """Let a task wait; `look` asks for the item to be read afresh then, at least as new as `seen_ms`."""
        not_before_ms = cycle.now_ms + max(0, wait_ms)
        self.memory.park(task, not_before_ms=not_before_ms, reason=reason, look=look, seen_ms=seen_ms, counts=counts)

    def miss(self, cycle: Cycle, task: str) -> None:
        """The board does not have the task: remembered, so that it is not asked for again and again."""
        known = self.memory.known(task) or Known()
        self.memory.remember(task, known.replace(absent_ms=cycle.now_ms))
        self.memory.unpark(task)


def is_own_note(entry: Entry) -> bool:
    """Whether a journal entry was written by a sync: it is no news of a task."""
    return not entry.record and entry.value.get("type") == "conflict"


def delay_ms(tries: int, *, task: str, now_ms: int) -> int:
    """Doubling from 5 s to one hour, and of that between the half and the whole ("equal jitter").

    The part is told by task and moment: pure, and yet several machines, or items of one, do not return together.
    """
    whole_ms = min(RETRY_MS_MIN << min(tries, 12), RETRY_MS_MAX)
    return whole_ms // 2 + crc32(f"{task} {tries} {now_ms}".encode()) % (whole_ms // 2 + 1)


def is_shown(wanted: RemoteRecord, item: Item) -> bool:
    """Whether the item's record says what was wanted, whatever its revision."""
    return item.record is not None and item.record == wanted.replace(revision=item.record.revision)
