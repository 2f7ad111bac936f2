"""The port to a board: what the sync engine needs of GitHub (or another tracker).

Expected results are values; nothing sleeps.
"""

from __future__ import annotations

from typing import Literal, Protocol

from sharedstate.sync.model import Card, RemoteRecord
from sharedstate.values import Value

Fault = Literal["transient", "forbidden", "gone", "moved", "locked", "conflict"]


class Item(Value):
    """One task on the board: its card, our own labels on it (prefix stripped), its trusted state record, if any.

    `handle` is opaque to the engine: whatever the adapter needs to find the item and its comment again without a
    search. `updated_ms` is the newest moment of any part of the item (issue, comment, card), 0 when unknown: what is
    older than the engine knows already is taken for a late answer and left alone.
    """

    task: str
    title: str
    url: str
    card: Card
    labels: frozenset[str] = frozenset()
    record: RemoteRecord | None = None
    locked: bool = False
    updated_ms: int = 0
    handle: str = ""


class Distrust(Value):
    """A state record that does not count: where it stands, who wrote it, why it is ignored."""

    task: str
    where: str
    author: str
    reason: str


class Listing(Value):
    """Items that are new or changed since the cursor that was given; the next listing starts from `cursor`.

    The engine takes the new `cursor` only from a `complete` listing, and only such a one may say that something is
    `gone`. `full`: these are all the items there are (no cursor was given), so that what is missing may be gone.
    """

    items: tuple[Item, ...]
    cursor: str
    complete: bool = True
    full: bool = False
    gone: tuple[str, ...] = ()
    distrusted: tuple[Distrust, ...] = ()


class Written(Value):
    """The write was carried out; `item` is what the board shows now, from the answer to the write or read after it.

    The engine compares it with what it wanted. A person's change that shows up in it is merged at the next pull.
    """

    item: Item
    changed: bool = True


class Conflict(Value):
    """The board has moved on since `item` was read; nothing was written. `item` is what it shows now."""

    item: Item


class Parked(Value):
    """Not now: try again after `until_ms` (Unix milliseconds). Never a sleep inside.

    `alone`: only this write has to wait (new content keeps a slower pace than edits); the board takes others meanwhile.
    """

    until_ms: int
    reason: str
    alone: bool = False


class Failed(Value):
    """The call failed for good, or for an unknown time (`transient`).

    `applied`: whether it may have been carried out.
    """

    kind: Fault
    detail: str
    applied: bool = False


class Board(Protocol):
    """A board as the engine sees it. Every call returns by the adapter's deadline and raises nothing expected."""

    @property
    def name(self) -> str:
        """What people call this board, for messages (`acme/app`)."""
        ...

    def list(self, *, cursor: str | None) -> Listing | Parked | Failed:
        """Items changed since `cursor` (all when None), paged to the end."""
        ...

    def get(self, task: str) -> Item | Parked | Failed:
        """One item, read afresh; `Failed("gone")` when there is none."""
        ...

    def write(self, item: Item, record: RemoteRecord) -> Written | Conflict | Parked | Failed:
        """Make the state record of the item say `record` (revision is counted up here), creating it where there is
        none.

        Exactly one record per item afterwards, also when two writers create at once. `Conflict` when the record on
        the board is not the one in `item` (its revision differs, or there is one, or none), or has a higher fence than
        `record`.
        """
        ...

    def label(self, item: Item, labels: frozenset[str]) -> Written | Conflict | Parked | Failed:
        """Add and remove our own labels by the difference between `item.labels` and `labels`.

        `ignore` is never removed, other labels are not touched, and what is gone already counts as removed. Only the
        difference is sent, so that what a person did meanwhile stays.
        """
        ...

    def move(self, item: Item, status: str) -> Written | Conflict | Parked | Failed:
        """Move the card to `status`; nothing where the board has no status field.

        `Conflict` when the card does not stand any more where `item` says: somebody has moved it since, and a card
        moved by a person is never moved back. A board that cannot compare and set reads just before it writes.
        """
        ...
