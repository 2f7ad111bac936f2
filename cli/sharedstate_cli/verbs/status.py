"""`claims status`: counts of what is, and counters of what has happened."""

from __future__ import annotations

from collections.abc import Sequence

from sharedstate.masking import masked_url
from sharedstate.messages.model import OutboxCounts
from sharedstate.metrics import Counters, fold
from sharedstate.tasks.model import CLAIMED, STATUSES
from sharedstate.tasks.service import Statistics
from sharedstate_cli.report import Grid, Report
from sharedstate_cli.session import Session
from sharedstate_cli.verbs.outbox import counts_document, counts_rows, outbox_counts


def status(session: Session) -> Report:
    """Tasks by status, live and stale claims, counters from the journal, store, state root, owner. Reads everything."""
    state = session.state
    counts, counters = session.busy(
        lambda: (state.tasks.statistics(), fold(entry.value for entry in state.events())),
        label="reading tasks and journal",
    )
    box = outbox_counts(session)
    store = masked_url(state.settings.url) or f"file://{state.root}"
    document = {
        "ok": True,
        "store": store,
        "root": state.root,
        "owner": state.identity.owner,
        "tasks": sum(counts.by_status.values()),
        "by_status": {name: counts.by_status.get(name, 0) for name in STATUSES},
        "claimed": counts.by_status.get(CLAIMED, 0),
        "stale": counts.stale,
        "ignored": counts.ignored,
        "attempts": counts.attempts,
        "retries": counts.retries,
        "unreadable": counts.unreadable,
        "counters": counters.fields(),
        "outbox": None if box is None else counts_document(box),
    }
    notes = (f"{counts.unreadable} unreadable; `claims doctor` names them",) if counts.unreadable else ()
    shown = [("store", store), ("state root", state.root), ("owner", state.identity.owner)]
    grid = _grid(shown if state.settings.url else shown[1:], counts, counters, box)
    return Report(document=document, grid=grid, notes=notes)


def _grid(shown: Sequence[tuple[str, str]], counts: Statistics, counters: Counters, box: OutboxCounts | None) -> Grid:
    rows = [*shown, *((name, str(counts.by_status.get(name, 0))) for name in STATUSES)]
    rows += [("stale", str(counts.stale)), ("ignored", str(counts.ignored))]
    rows += [("attempts", f"{counts.attempts}, {counts.retries} of them retries")]
    rows += [(f"events {name}", str(count)) for name, count in counters.by_type.items()]
    rows += [(f"  {name}", str(count)) for name, count in counters.by_reason.items()]
    waiting = () if box is None else counts_rows(box)
    rows += [(f"outbox {name}", text) for name, text in waiting] or [("outbox", "unknown")]
    tones = tuple("warn" if name == "stale" and counts.stale else "" for name, _ in rows)
    return Grid(columns=(), rows=tuple(rows), tones=tones)
