"""The reaper: one bounded, idempotent pass over claims, degraded claims, old terminal records and litter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sharedstate import logs
from sharedstate.claims.ledger import Ledger
from sharedstate.claims.model import LocalClaim, SweepReport
from sharedstate.errors import Corrupt, StoreError, StoreUnavailable, UnsafeStore
from sharedstate.store import Decision, Snapshot, Store, Unreadable
from sharedstate.tasks.model import ENDINGS
from sharedstate.tasks.outcomes import Refused, Swept
from sharedstate.tasks.service import Tasks, TaskView

if TYPE_CHECKING:
    from sharedstate.claims.service import Claims

ARCHIVE_PASS_MS_MIN = 3_600_000
# What is wrong with one record, or planted in its place, blocks its own task; the sweep goes on.
_BLOCKED = (Corrupt, UnsafeStore)


def run_sweep(claims: Claims, ledger: Ledger, local: Store, *, dry_run: bool, limit: int) -> SweepReport:
    """See `Claims.sweep`. With `dry_run` nothing is written and the report says what would have been done.

    While the shared ledger is switched off, the one that holds the degraded claims is swept instead.
    """
    enabled = claims.settings.enabled
    tasks = claims.tasks if enabled else claims.ledgers.fallback
    swept: list[Swept] = []
    unreadable: list[Unreadable] = []
    examined = 0
    for view in tasks.list(status="claimed"):
        if isinstance(view, Unreadable):
            unreadable.append(view)
            continue
        examined += 1
        if len(swept) < limit:
            ended = _would_sweep(view) if dry_run else _sweep_one(tasks, view, unreadable)
            if ended is not None:
                swept.append(ended)
    reconciled, conflicts = _reconcile(claims, unreadable) if enabled and not dry_run else ([], [])
    archived = _archive(claims, local, unreadable, dry_run=dry_run, limit=limit) if enabled else []
    if not dry_run:
        _tidy(claims, ledger)
    if swept:
        logs.info("swept %d claims", len(swept))
    return SweepReport(
        swept=tuple(swept),
        archived=tuple(archived),
        reconciled=tuple(reconciled),
        conflicts=tuple(conflicts),
        unreadable=tuple(unreadable),
        examined=examined,
        dry_run=dry_run,
    )


def _would_sweep(view: TaskView) -> Swept | None:
    lease, alive = view.state.lease, view.alive
    if lease is None or alive is None or alive.takeover is None:
        return None
    return Swept(
        task=view.state.task, owner=lease.owner, fence=view.state.fence, reason=alive.takeover, age_ms=alive.age_ms
    )


def _sweep_one(tasks: Tasks, view: TaskView, unreadable: list[Unreadable]) -> Swept | None:
    # A heartbeat from the future is looked at, too: that is how it is noted, and can become stale one day.
    suspect = view.alive is not None and view.alive.future is not None
    if not view.stale and not suspect:
        return None
    try:
        return tasks.sweep(view.state.task)
    except _BLOCKED as error:
        unreadable.append(Unreadable(name=view.state.task, reason=str(error)))
        return None


def _reconcile(claims: Claims, unreadable: list[Unreadable]) -> tuple[list[str], list[str]]:
    done: list[str] = []
    refused: list[str] = []
    for task in claims.ledgers.pending():
        try:
            answer = claims.ledgers.reconcile(task)
        except StoreUnavailable as error:
            logs.warn("shared store away, %r stays degraded: %s", task, error)
            break
        except _BLOCKED as error:
            unreadable.append(Unreadable(name=task, reason=str(error)))
            continue
        if answer is not None:
            (refused if isinstance(answer, Refused) else done).append(task)
    return done, refused


def _archive(claims: Claims, local: Store, unreadable: list[Unreadable], *, dry_run: bool, limit: int) -> list[str]:
    """Reading every record is only worth it now and then: at most once an hour, or a tenth of the archive age."""
    age_ms = claims.settings.archive_after_ms
    if not dry_run and not _archive_is_due(local, every_ms=min(ARCHIVE_PASS_MS_MIN, age_ms // 10)):
        return []
    archived: list[str] = []
    for view in claims.tasks.list():
        if isinstance(view, Unreadable):
            if view not in unreadable:
                unreadable.append(view)
            continue
        old = (
            view.state.status in ENDINGS and view.now_ms - view.state.updated_ms > age_ms and view.state.ignored is None
        )
        if not old or len(archived) >= limit:
            continue
        try:
            if dry_run or claims.tasks.archive(view.state.task, older_than_ms=age_ms):
                archived.append(view.state.task)
        except _BLOCKED as error:
            unreadable.append(Unreadable(name=view.state.task, reason=str(error)))
    return archived


def _archive_is_due(local: Store, *, every_ms: int) -> bool:
    def decide(snapshot: Snapshot) -> Decision[bool]:
        last_ms = 0 if snapshot.value is None else snapshot.value.get("archived_ms", 0)
        if 0 <= snapshot.now.at_ms - last_ms < every_ms:
            return Decision(result=False)
        return Decision(result=True, write={"archived_ms": snapshot.now.at_ms})

    try:
        return local.transact("upkeep", "archive", decide, durability="relaxed", derived=True)
    except StoreError as error:  # a full disk, say: what was swept is still to be told
        logs.warn("no archive pass: %s", error)
        return False


def _tidy(claims: Claims, ledger: Ledger) -> None:
    """What is derived or over leaves this machine; the stores finish what crashes left behind."""
    pending = frozenset(claims.ledgers.pending())
    for mine in ledger.all():
        try:
            if not _is_over(claims, mine, pending):
                continue
            ledger.remove(mine.task, owner=mine.owner, fence=mine.fence)
        except _BLOCKED:
            continue  # blocked until it is repaired; the sweep goes on
    claims.ledgers.tidy(older_than_ms=claims.settings.archive_after_ms)
    stores = (claims.tasks.store, claims.local_store) if claims.settings.enabled else (claims.local_store,)
    for store in stores:
        store.upkeep()


def _is_over(claims: Claims, mine: LocalClaim, pending: frozenset[str]) -> bool:
    """Whether the attempt of a local claim has ended, or gone on without it."""
    if mine.degraded:
        return mine.task not in pending
    if not claims.settings.enabled:
        return False  # nobody to ask
    view = claims.tasks.get(mine.task)
    return view is None or view.state.live != mine.fence
