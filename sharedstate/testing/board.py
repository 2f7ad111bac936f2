"""A board in memory with the full contract of the port: for tests of everything that syncs.

People change it by its plain methods (`open_issue`, `close`, `place_card`, `set_ignore` …), engines by the port.
Several engines on one board: each gets its own `seat`. What goes wrong is planned by the test, call by call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from sharedstate.host import Host
from sharedstate.sync.board import Conflict, Distrust, Failed, Item, Listing, Parked, Written
from sharedstate.sync.model import Card, RemoteRecord
from sharedstate.testing.clock import FakeHost
from sharedstate.values import Value

HUMAN: Final = "human"
IGNORE: Final = "ignore"
Verb = Literal["list", "get", "write", "label", "move"]


class Call(Value):
    """One call of the port: which seat makes it, what it asks, of which task (empty for a list)."""

    seat: str
    verb: Verb
    task: str = ""


class Trouble(Value):
    """What goes wrong with one call.

    `answer`: given instead of the right one. `applied`: a write is carried out all the same, its answer is lost.
    `death`: raised instead, after the write if `applied`. `lag`: a read shows the board as it was that many changes
    ago. `lost`: every second item is missing from a list, which says so.
    """

    answer: Parked | Failed | None = None
    applied: bool = False
    death: BaseException | None = None
    lag: int = 0
    lost: bool = False


class Change(Value):
    """One change of the board: who made it, what (`open`, `card`, `record`, `labels`, `gone`), before and after."""

    by: str
    task: str
    what: str
    before: Item | None
    after: Item | None


Plan = Callable[[Call], Trouble | None]


class MemoryBoard:
    """The issues in a dictionary. Each change gets a moment of its own, so that `updated_ms` orders all of them.

    `statuses`: whether cards have a status field. `changes` is everything that ever happened, in order; `calls` every
    call of the port. `distrusted` is handed out with each list.
    """

    def __init__(self, *, name: str = "acme/app", host: Host | None = None, statuses: bool = True) -> None:
        self.name = name
        self.changes: list[Change] = []
        self.calls: list[Call] = []
        self.distrusted: tuple[Distrust, ...] = ()
        self._host: Host = host if host is not None else FakeHost()
        self._statuses = statuses
        self._items: dict[str, Item] = {}
        self._last_ms = 0

    # What people do, and see

    def open_issue(self, task: str, *, status: str = "Todo", ignored: bool = False, by: str = HUMAN) -> None:
        """Make a new issue."""
        card = Card(status=status if self._statuses else None, ignored=ignored)
        labels = frozenset((IGNORE,)) if ignored else frozenset[str]()
        url = f"https://board.invalid/{task}"
        self._change(by, "open", Item(task=task, title=task, url=url, card=card, labels=labels, handle=f"#{task}"))

    def close(self, task: str, *, reason: str = "completed", by: str = HUMAN) -> None:
        """Close an issue as `completed` or `not_planned`."""
        self._recard(by, "open", task, open=False, reason=reason)

    def reopen(self, task: str, *, by: str = HUMAN) -> None:
        """Open a closed issue again."""
        self._recard(by, "open", task, open=True, reason="reopened")

    def place_card(self, task: str, status: str, *, by: str = HUMAN) -> None:
        """Move the card of an issue, whatever it is called there."""
        self._recard(by, "card", task, status=status)

    def set_ignore(self, task: str, *, ignored: bool, by: str = HUMAN) -> None:
        """Add or remove the ignore label."""
        item = self.item(task)
        labels = item.labels | {IGNORE} if ignored else item.labels - {IGNORE}
        self._change(by, "labels", item.replace(labels=labels, card=item.card.replace(ignored=ignored)))

    def lock(self, task: str, *, locked: bool = True, by: str = HUMAN) -> None:
        """Lock the conversation: records cannot be written."""
        self._change(by, "open", self.item(task).replace(locked=locked))

    def plant(self, task: str, record: RemoteRecord | None, *, by: str = HUMAN) -> None:
        """Put a trusted record in place of the one there is, as another tool would (None: its comment is deleted)."""
        self._change(by, "record", self.item(task).replace(record=record))

    def delete(self, task: str, *, by: str = HUMAN) -> None:
        """Delete an issue."""
        before = self._items.pop(task)
        self._tick()
        self.changes.append(Change(by=by, task=task, what="gone", before=before, after=None))

    def item(self, task: str) -> Item:
        """An issue as it stands; `KeyError` when there is none."""
        return self._items[task]

    def find(self, task: str) -> Item | None:
        """An issue as it stands, or None."""
        return self._items.get(task)

    def record(self, task: str) -> RemoteRecord:
        """The state record of an issue; there must be one."""
        record = self.item(task).record
        assert record is not None, f"{task} has no state record"
        return record

    def tasks(self) -> list[str]:
        """All issues, sorted."""
        return sorted(self._items)

    def writes(self, what: str | None = None) -> int:
        """How many changes were not made by people, all or of one kind (`record`, `labels`, `card`)."""
        return sum(one.by != HUMAN and what in (None, one.what) for one in self.changes)

    def seat(self, name: str, plan: Plan | None = None) -> Seat:
        """The board as one engine sees it; `plan` says what goes wrong with its calls."""
        return Seat(self, name, plan)

    # What seats do

    def as_of(self, lag: int) -> tuple[dict[str, Item], int]:
        """The items and the newest moment as they were `lag` changes ago."""
        if not lag:
            return dict(self._items), self._last_ms
        items = dict(self._items)
        for change in reversed(self.changes[-lag:]):
            if change.before is None:
                items.pop(change.task, None)
            else:
                items[change.task] = change.before
        return items, max((item.updated_ms for item in items.values()), default=0)

    def carry_out(self, by: str, what: str, item: Item) -> Item:
        """Let an engine change an item; the item with its new moment."""
        return self._change(by, what, item)

    # Inside

    def _recard(self, by: str, what: str, task: str, **changes: object) -> None:
        item = self.item(task)
        self._change(by, what, item.replace(card=item.card.replace(**changes)))

    def _change(self, by: str, what: str, item: Item) -> Item:
        after = item.replace(updated_ms=self._tick())
        before = self._items.get(item.task)
        self._items[item.task] = after
        self.changes.append(Change(by=by, task=item.task, what=what, before=before, after=after))
        return after

    def _tick(self) -> int:
        self._last_ms = max(self._last_ms + 1, self._host.now().at_ms)
        return self._last_ms


class Seat:
    """The port `Board` as one engine holds it. Without a plan nothing goes wrong."""

    def __init__(self, board: MemoryBoard, name: str, plan: Plan | None) -> None:
        self.board = board
        self.plan = plan
        self._seat = name

    @property
    def name(self) -> str:
        """The board's name."""
        return self.board.name

    def list(self, *, cursor: str | None) -> Listing | Parked | Failed:
        """Items changed after the moment in the cursor."""
        trouble = self._trouble("list")
        if trouble.answer is not None:
            return trouble.answer
        items, last_ms = self.board.as_of(trouble.lag)
        after_ms = -1 if cursor is None else int(cursor)
        listed = [items[task] for task in sorted(items) if items[task].updated_ms > after_ms]
        return Listing(
            items=tuple(listed[::2] if trouble.lost else listed),
            cursor=str(max(last_ms, after_ms)),
            complete=not trouble.lost,
            full=cursor is None and not trouble.lost,
            distrusted=self.board.distrusted,
        )

    def get(self, task: str) -> Item | Parked | Failed:
        """One item."""
        trouble = self._trouble("get", task)
        if trouble.answer is not None:
            return trouble.answer
        found = self.board.as_of(trouble.lag)[0].get(task)
        return Failed(kind="gone", detail="no such issue") if found is None else found

    def write(self, item: Item, record: RemoteRecord) -> Written | Conflict | Parked | Failed:
        """Make the state record say `record`, in one place."""

        def decide(now: Item) -> Item | Conflict | Failed:
            if now.locked:
                return Failed(kind="locked", detail="the conversation is locked")
            if _revision(now) != _revision(item) or (now.record is not None and now.record.fence > record.fence):
                return Conflict(item=now)
            revised = record.replace(revision=_revision(now) + 1)
            return now if now.record == record.replace(revision=_revision(now)) else now.replace(record=revised)

        return self._change("write", "record", item, decide)

    def label(self, item: Item, labels: frozenset[str]) -> Written | Conflict | Parked | Failed:
        """Add and remove our own labels by difference."""

        def decide(now: Item) -> Item:
            marked = (now.labels | (labels - item.labels)) - (item.labels - labels - {IGNORE})
            return now.replace(labels=marked, card=now.card.replace(ignored=IGNORE in marked))

        return self._change("label", "labels", item, decide)

    def move(self, item: Item, status: str) -> Written | Conflict | Parked | Failed:
        """Move the card, if it still stands where it was seen."""

        def decide(now: Item) -> Item | Conflict:
            if now.card.status is None:
                return now
            if now.card.status != item.card.status:
                return Conflict(item=now)
            return now.replace(card=now.card.replace(status=status))

        return self._change("move", "card", item, decide)

    def _change(
        self, verb: Verb, what: str, item: Item, decide: Callable[[Item], Item | Conflict | Failed]
    ) -> Written | Conflict | Parked | Failed:
        trouble = self._trouble(verb, item.task)
        if trouble.answer is not None and not trouble.applied:
            return trouble.answer
        answer = self._decided(what, item, decide)
        if trouble.death is not None:
            raise trouble.death
        return answer if trouble.answer is None else trouble.answer

    def _decided(
        self, what: str, item: Item, decide: Callable[[Item], Item | Conflict | Failed]
    ) -> Written | Conflict | Failed:
        now = self.board.find(item.task)
        if now is None:
            return Failed(kind="gone", detail="no such issue")
        decided = decide(now)
        if not isinstance(decided, Item):
            return decided
        if decided == now:
            return Written(item=now, changed=False)
        return Written(item=self.board.carry_out(self._seat, what, decided))

    def _trouble(self, verb: Verb, task: str = "") -> Trouble:
        call = Call(seat=self._seat, verb=verb, task=task)
        self.board.calls.append(call)
        trouble = (None if self.plan is None else self.plan(call)) or Trouble()
        if trouble.death is not None and not trouble.applied:
            raise trouble.death
        return trouble


def _revision(item: Item) -> int:
    return 0 if item.record is None else item.record.revision
