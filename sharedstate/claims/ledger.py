"""The local ledger: claims held by this machine, with their tokens, in the machine-local store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sharedstate.claims.model import LocalClaim, dump_local, load_local
from sharedstate.errors import Corrupt
from sharedstate.store import DELETE, KEEP, Decision, Document, Durability, Snapshot, Store, Unreadable

_COLLECTION: Final = "claims"


class Ledger:
    """Local claims by task. Derived state: an unreadable entry counts as absent and is replaced by the next claim."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, task: str) -> LocalClaim | None:
        """This machine's claim of the task, or None. Reads only."""
        try:
            found = self._store.get(_COLLECTION, task)
            return None if found is None else load_local(task, found.value)
        except Corrupt:
            return None  # its owner reclaims with a new token; `claims doctor` names the damaged file

    def put(self, claim: LocalClaim) -> None:
        """Write the claim down, unless a higher fence of the task stands there already.

        Durable only when `degraded` (then nothing else knows it); otherwise the next claim repairs a lost entry.
        """
        document = dump_local(claim)

        def decide(snapshot: Snapshot) -> Decision[None]:
            if snapshot.value is not None and _fence(snapshot.value) > claim.fence:
                return Decision(result=None)
            return Decision(result=None, write=KEEP if snapshot.value == document else document)

        durability: Durability = "full" if claim.degraded else "relaxed"
        self._store.transact(_COLLECTION, claim.task, decide, durability=durability, derived=True)

    def remove(self, task: str, *, owner: str, fence: int) -> None:
        """Forget the claim of this owner up to and including this fence; a newer one stays."""

        def decide(snapshot: Snapshot) -> Decision[None]:
            value = snapshot.value
            mine = value is not None and value.get("owner") == owner and _fence(value) <= fence
            return Decision(result=None, write=DELETE if mine else KEEP)

        self._store.transact(_COLLECTION, task, decide, durability="relaxed", derived=True)

    def all(self) -> Iterator[LocalClaim]:
        """Every readable claim of this machine."""
        for found in self._store.scan(_COLLECTION):
            if isinstance(found, Unreadable):
                continue
            try:
                yield load_local(found.key, found.value)
            except Corrupt:
                continue  # as in `get`: one without meaning hides no other


def _fence(document: Document) -> int:
    fence = document.get("fence")
    return fence if isinstance(fence, int) else 0
