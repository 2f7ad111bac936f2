"""What one sync cycle did, for people and for `--json`."""

from __future__ import annotations

from collections.abc import Mapping

from sharedstate.errors import SharedStateError
from sharedstate.store import Document
from sharedstate.sync.board import Distrust, Failed
from sharedstate.values import Value


class SyncReport(Value):
    """One cycle: items looked at (`pulled`), what people's changes led to (`actions`, task to kinds), writes to the
    board (`pushed`, task to parts), conflicts, failures, what the board does not have any more, records that do not
    count.

    `errors` are about tasks. `unlisted`: why the board could not be listed. `broken`: a store on this side failed, and
    with it the cycle. `stopped`: it was asked to end early. What such a cycle did not get to, the next one does.
    `waiting`: how many tasks wait to be pushed or read again. `skipped_until_ms`: nothing was done because of a rate
    limit or backoff. `parked_until_ms`: the cycle was cut short, or some of it waits for its turn.
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
    unlisted: Failed | None = None
    broken: SharedStateError | None = None
    stopped: bool = False
    skipped_until_ms: int = 0
    parked_until_ms: int = 0
    waiting: int = 0

    @property
    def clean(self) -> bool:
        """Whether nothing failed and nothing was cut short."""
        failed = self.errors or self.unlisted or self.broken
        return not (failed or self.stopped or self.parked_until_ms or self.skipped_until_ms)
