"""What `claims doctor` sees in the ledgers: claims that disagree, look dead, or carry times that cannot be.

Reads only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from sharedstate.claims.model import LocalClaim, load_local
from sharedstate.errors import BadSettings, Corrupt, StoreError
from sharedstate.findings import Finding, fine, trouble, warning
from sharedstate.store import Unreadable

if TYPE_CHECKING:
    from sharedstate.claims.service import Claims

LEDGER: Final = "claims"
_SHOWN_MAX: Final = 50


def check_claims(claims: Claims) -> list[Finding]:
    """Findings about this machine's ledger, the shared task states and the settings they are judged by."""
    findings: list[Finding] = []
    for look in (_live_claims, _local_claims, _pending, _settings):
        try:
            findings += look(claims)
        except Corrupt as error:
            findings.append(trouble(error.code, "ledger", str(error), error.hint, corrupt=True))
        except (StoreError, BadSettings) as error:  # settings that only the far side can judge: login, database
            findings.append(trouble(error.code, "store", str(error), error.hint))
    return findings


def readable_claims(claims: Claims) -> Iterator[LocalClaim]:
    """Every claim in this machine's ledger that can be read; the inspection of its root names the others."""
    for found in claims.local_store.scan(LEDGER):
        try:
            if not isinstance(found, Unreadable):
                yield load_local(found.key, found.value)
        except Corrupt:
            continue


def _live_claims(claims: Claims) -> Iterator[Finding]:
    interval_ms = claims.settings.heartbeat_interval_ms
    live, short = 0, 0
    for view in claims.tasks.list(status="claimed"):
        if isinstance(view, Unreadable) or view.alive is None or view.state.lease is None:
            continue
        live += 1
        short += view.state.lease.ttl_ms < 3 * interval_ms
        where = f"task {view.state.task}"
        if view.alive.future is not None:
            text = f"the heartbeat of {view.state.owner} lies in the future; it counts from when it was first seen"
            yield warning("heartbeat_in_future", where, text, "check the clocks of the machines that share this state")
        elif view.stale:
            text = f"{view.alive.takeover}: {view.state.owner} was last seen {view.alive.age_ms / 1000:.0f} s ago"
            yield warning("stale_claim", where, text, "run `claims sweep`; schedule it, so that nobody has to")
    yield fine("live_claims", "shared ledger", f"{live} live claims")
    if short:
        text = f"{short} live claims have a ttl below three heartbeats of {interval_ms} ms: one lost beat may end them"
        yield warning("short_ttl", "shared ledger", text, "claim with a longer --ttl, or renew more often")


def _local_claims(claims: Claims) -> Iterator[Finding]:
    held = unmatched = 0
    for mine in readable_claims(claims):
        held += 1
        if mine.degraded:
            continue
        try:
            view = claims.tasks.get(mine.task)
        except Corrupt:
            continue  # told with the record itself
        if view is not None and view.state.live == mine.fence:
            continue
        unmatched += 1
        if unmatched <= _SHOWN_MAX:
            now = "nobody knows the task" if view is None else f"it is {view.state.status}, fence {view.state.fence}"
            text = f"in this machine's ledger {mine.owner} holds it with fence {mine.fence}; in the shared one {now}"
            step = "nothing: the next sweep removes the local entry"
            yield warning("local_claim_ended", f"task {mine.task}", text, step)
    yield fine("local_claims", "local ledger", f"{held} claims of this machine")


def _pending(claims: Claims) -> Iterator[Finding]:
    pending = claims.ledgers.pending()
    for task in pending[:_SHOWN_MAX]:
        text = "claimed by the local ledger alone while the shared one was away; not reconciled yet"
        yield warning("degraded_claim", f"task {task}", text, "run `claims sweep` when the shared store is back")
    if not pending:
        yield fine("degraded_claims", "local ledger", "none pending")


def _settings(claims: Claims) -> Iterator[Finding]:
    settings = claims.settings
    beat, stale = settings.heartbeat_interval_ms, settings.stale_threshold_ms
    yield fine("heartbeat", "settings", f"a heartbeat every {beat} ms, stale after {stale} ms: {stale // beat} chances")
    if not settings.enabled:
        text = "the shared ledger is switched off (SHARED_STATE_ENABLED): other machines do not see these claims"
        yield warning("shared_ledger_off", "settings", text, "switch it on, and run `claims sweep`")
    names = ", ".join(settings.coordinators) or "none"
    yield fine("coordinators", "settings", f"may take over from higher priority numbers: {names}")
