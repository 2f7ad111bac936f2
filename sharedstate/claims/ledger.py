"""The local ledger: claims held by this machine, with their tokens, in the machine-local store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from sharedstate.claims.model import LocalClaim, dump_local, load_local
from sharedstate.clock import Instant, age_between
from sharedstate.errors import Corrupt, StoreError
from sharedstate.store import DELETE, KEEP, Decision, Document, Durability, Snapshot, Store, Unreadable

_COLLECTION: Final = "claims"


class Ledger:
    """Local claims by task. Derived state: an unreadable entry counts as absent.

    What could not be written down is remembered by this object alone, so that a full disk takes no token from the
    process that claimed. `stale_ms`: how long an entry counts at least without a sign of life; `skew_ms`: how far
    the clock of an earlier boot may have been ahead.
    """

    def __init__(self, store: Store, *, stale_ms: int = 600_000, skew_ms: int = 5_000) -> None:
        self._store = store
        self._stale_ms = stale_ms
        self._skew_ms = skew_ms
        self._unwritten: dict[str, LocalClaim] = {}

    def get(self, task: str) -> LocalClaim | None:
        """This machine's claim of the task, or None. Reads only."""
        try:
            found = self._store.get(_COLLECTION, task)
        except Corrupt:
            found = None  # `claims doctor` names the damaged file
        written = None if found is None else _readable(task, found.value)
        unwritten = self._unwritten.get(task)
        if written is None or (unwritten is not None and unwritten.fence > written.fence):
            return unwritten
        return written

    def is_fresh(self, claim: LocalClaim, now: Instant) -> bool:
        """Whether the owner was seen within its ttl (and within `stale_ms`: its heartbeats may go elsewhere)."""
        age = age_between(since=claim.seen, now=now, skew_ms=self._skew_ms)
        return age.ms <= max(claim.ttl_ms, self._stale_ms)

    def put(self, claim: LocalClaim, *, over: LocalClaim | None = None) -> LocalClaim | None:
        """Write the claim down, or return the entry that stands in its way.

        In the way stands a fresh claim of another owner that was made in the other one of the two ledgers, shared and
        local: this record is where the two meet. `over` names an entry that may be replaced all the same. A higher
        fence of the same ledger stays, too, and is no obstacle. Durable only when `degraded` (then nothing else knows
        the token); otherwise the next claim repairs a lost entry. Raises `StoreError`, `Corrupt`.
        """
        document = dump_local(claim)

        def decide(snapshot: Snapshot) -> Decision[LocalClaim | None]:
            known = None if snapshot.value is None else _readable(claim.task, snapshot.value)
            if known is not None and known.degraded != claim.degraded and known != over:
                if known.owner != claim.owner and (known.degraded or self.is_fresh(known, snapshot.now)):
                    return Decision(result=known)
            elif known is not None and known.fence > claim.fence and known != over:
                return Decision(result=None)
            return Decision(result=None, write=KEEP if snapshot.value == document else document)

        try:
            met = self._transact(claim.task, decide, durable=claim.degraded)
        except (StoreError, Corrupt):
            self._unwritten[claim.task] = claim
            raise
        self._unwritten.pop(claim.task, None)
        return met

    def remove(self, task: str, *, owner: str, fence: int) -> None:
        """Forget the claim of this owner up to and including this fence; a newer one stays.

        Raises `StoreError`, `Corrupt`.
        """
        unwritten = self._unwritten.get(task)
        if unwritten is not None and unwritten.owner == owner and unwritten.fence <= fence:
            self._unwritten.pop(task, None)

        def decide(snapshot: Snapshot) -> Decision[LocalClaim | None]:
            known = None if snapshot.value is None else _readable(task, snapshot.value)
            mine = known is not None and known.owner == owner and known.fence <= fence
            return Decision(result=None, write=DELETE if mine else KEEP)

        self._transact(task, decide, durable=False)

    def all(self) -> Iterator[LocalClaim]:
        """Every readable claim of this machine."""
        for found in self._store.scan(_COLLECTION):
            claim = None if isinstance(found, Unreadable) else _readable(found.key, found.value)
            if claim is not None:
                yield claim

    def _transact(
        self, task: str, decide: Callable[[Snapshot], Decision[LocalClaim | None]], *, durable: bool
    ) -> LocalClaim | None:
        durability: Durability = "full" if durable else "relaxed"
        return self._store.transact(_COLLECTION, task, decide, durability=durability, derived=True)


def _readable(task: str, document: Document) -> LocalClaim | None:
    try:
        return load_local(task, document)
    except Corrupt:
        return None
