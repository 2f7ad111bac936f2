"""What the lane that a caller has chosen may do, and the trail of what it was not allowed to do.

Rights keep lanes from mistakes, not from malice. Without a chosen lane nobody makes such an object, and
nothing is asked.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sharedstate import logs
from sharedstate.claims.audit import Audit
from sharedstate.errors import NoRight, StoreError
from sharedstate.store import Store

READ: Final = "read"
SEND: Final = "send"
CLAIM: Final = "claim"
FORCE: Final = "force"


class LaneRights:
    """The rights of one lane, and `by`, who acts in it; `store` keeps the trail. Safe for threads."""

    def __init__(self, lane: str, rights: Collection[str], *, by: str, store: Store) -> None:
        self.lane = lane
        self.rights = frozenset(rights)
        self._by = by
        self._store = store

    def need(self, right: str, *, about: str, by: str = "") -> None:
        """Return if the lane has the right; else write the denial into the trail and raise `NoRight`.

        `about` is what would have been touched (a task, `inbox:AGENT`, `outbox:SENDER`), `by` who would have done it
        (default: whoever acts). A store that is away does not undo a denial.
        """
        if right in self.rights:
            return
        detail = f"the lane {self.lane} has no right to {right}"
        facts = {"action": right, "lane": self.lane, "detail": detail}
        try:
            Audit(self._store).record("right_denied", about=about, by=by or self._by, **facts)
        except StoreError as error:
            logs.warn("a denial about %r is not in the trail: %s", about, error)
        raise NoRight(f"{about}: {detail}")
