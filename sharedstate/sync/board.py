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
    search.
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
    """Items that are new or changed since `cursor`. Only a `complete` listing may say that something is `gone`."""

    items: tuple[Item, ...]
    cursor: str
    complete: bool = True
    full: bool = False
    gone: tuple[str, ...] = ()
    distrusted: tuple[Distrust, ...] = ()


class Written(Value):
    """The write was carried out; `item` is what the board shows now, read back."""

    item: Item
    changed: bool = True


class Conflict(Value):
    """The board has moved on since `item` was read; nothing was written. `item` is what it shows now."""

    item: Item


class Parked(Value):
    """Not now: try again after `until_ms` (Unix milliseconds). Never a sleep inside."""

    until_ms: int
    reason: str


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
        the board has a higher revision than `item.record`, or a higher fence than `record`.
        """
        ...

    def label(self, item: Item, labels: frozenset[str]) -> Written | Parked | Failed:
        """Make our own labels on the item exactly `labels` (`ignore` is never removed).

        Other labels are not touched.
        """
        ...

    def move(self, item: Item, status: str) -> Written | Parked | Failed:
        """Move the card to `status`; nothing where the board has no status field."""
        ...
