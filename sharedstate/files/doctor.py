"""`claims doctor`: every look at once, and the safe repairs. Looking never writes; repairing loses no bytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sharedstate.claims.checkup import check_claims, readable_claims
from sharedstate.claims.service import Claims
from sharedstate.errors import SharedStateError
from sharedstate.files.inspection import inspect
from sharedstate.files.premises import inspect_premises
from sharedstate.files.restoring import LEFT, Restoration, Restorer
from sharedstate.findings import Finding
from sharedstate.ids import digest_of
from sharedstate.messages.checkup import check_outbox
from sharedstate.store import Store
from sharedstate.tasks.restoration import Holding
from sharedstate.values import Value


class Repairs(Value):
    """What `mend` did, what became of each unreadable record, and what could not be done, with the reason."""

    done: tuple[str, ...]
    records: tuple[Restoration, ...]
    failed: tuple[str, ...]


def examine(claims: Claims, *, roots: Sequence[str]) -> list[Finding]:
    """All findings about the machine, the state roots (the shared one first) and the ledgers. Writes nothing."""
    settings, host = claims.settings, claims.host
    findings = inspect_premises(roots[0], host=host, allow_network=settings.allow_network_fs)
    for path in roots:
        findings += inspect(path, host=host, skew_ms=settings.clock_skew_ms)
    return findings + check_claims(claims) + check_outbox(claims.local_store, settings)


def mend(claims: Claims, *, roots: Sequence[str], stores: Iterable[Store]) -> Repairs:
    """Finish what crashes left, remove old temporary files, complete the live index, restore unreadable records.

    Each repair that fails is told and stops no other. Idempotent.
    """
    done: list[str] = []
    records: list[Restoration] = []
    failed: list[str] = []
    for store in stores:
        try:
            done += store.upkeep()
        except SharedStateError as error:
            failed.append(str(error))
    for path in roots:
        restorer = Restorer(
            path,
            host=claims.host,
            allow_network=claims.settings.allow_network_fs,
            timeout_s=claims.settings.lock_timeout_ms / 1000,
            holdings=holdings_of(claims),
        )
        try:
            done += restorer.mend_index()
            records += restorer.run()
        except SharedStateError as error:
            failed.append(str(error))
    failed += [f"{record.where}: {record.detail}" for record in records if record.outcome == LEFT]
    return Repairs(done=tuple(done), records=tuple(records), failed=tuple(failed))


def holdings_of(claims: Claims) -> dict[str, Holding]:
    """What this machine's ledger knows of its claims, by task."""
    return {
        mine.task: Holding(owner=mine.owner, fence=mine.fence, digest=digest_of(mine.token))
        for mine in readable_claims(claims)
    }
