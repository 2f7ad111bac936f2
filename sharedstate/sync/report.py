"""What one sync cycle did, for people and for `--json`."""

from __future__ import annotations

from collections.abc import Mapping

from sharedstate.store import Document
from sharedstate.sync.board import Distrust
from sharedstate.values import Value


class SyncReport(Value):
    """One cycle: items looked at (`pulled`), what people's changes led to (`actions`, task to kinds), writes to the
    board (`pushed`, task to parts), conflicts, failures, what the board does not have any more, records that do not
    count.

    `skipped_until_ms`: nothing was done because of a rate limit or backoff. `parked_until_ms`: the cycle was cut short,
    or some of it waits for its turn.
    """

    board: str
    dry_run: bool = False
    pulled: tuple[str, ...] = ()
    actions: Mapping[str, list[str]]
    pushed: Mapping[str, list[str]]
    conflicts: tuple[str, ...] = ()
    errors: tuple[Document, ...] = ()
    gone: tuple[str, ...] = ()
    distrusted: tuple[Distrust, ...] = ()
    skipped_until_ms: int = 0
    parked_until_ms: int = 0

    @property
    def clean(self) -> bool:
        """Whether nothing failed and nothing was cut short."""
        return not self.errors and not self.parked_until_ms and not self.skipped_until_ms
