"""What `claims doctor` sees in the outbox: damaged records, dead letters, messages that wait too long. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sharedstate.clock import age_between
from sharedstate.errors import Corrupt, StoreError
from sharedstate.findings import Finding, fine, trouble, warning
from sharedstate.messages.outbox import rules_of
from sharedstate.messages.policy import Usage, full, head_of
from sharedstate.messages.spool import Spool
from sharedstate.settings import Settings
from sharedstate.store import Store, Unreadable

WHERE: Final = "outbox"
_SHOWN_MAX: Final = 50
_NEARLY: Final = 10  # tenths of a limit


def check_outbox(store: Store, settings: Settings) -> list[Finding]:
    """Findings about the outbox in the machine's own store."""
    try:
        return list(_look(Spool(store), settings))
    except Corrupt as error:
        return [trouble(error.code, WHERE, str(error), error.hint, corrupt=True)]
    except StoreError as error:
        return [trouble(error.code, WHERE, str(error), error.hint)]


def _look(spool: Spool, settings: Settings) -> Iterator[Finding]:
    rules, now = rules_of(settings), spool.store.now()
    waiting = old = size = dead = 0
    damaged: list[Unreadable] = []
    for found in spool.parcels():
        if isinstance(found, Unreadable):
            damaged.append(found)
            continue
        head = head_of(found)
        waiting, size = waiting + 1, size + head.size
        old += age_between(since=head.accepted, now=now, skew_ms=rules.skew_ms).ms > rules.age_ms_max // 2
    for letter in spool.dead_letters():
        if isinstance(letter, Unreadable):
            damaged.append(letter)
        else:
            dead += 1
    for one in damaged[:_SHOWN_MAX]:
        text = f"{one.reason}; it is kept, never sent, and in nobody's way"
        step = "ask its sender to send it again; its bytes are in place and in local/quarantine"
        yield trouble("message_damaged", f"{WHERE} {one.name}", text, step, corrupt=True)
    if dead:
        text = f"{dead} messages were given up: rejected, too old, or tried too often"
        yield warning("dead_letters", WHERE, text, "`claims outbox list --state dead` says why; retry or drop them")
    if old:
        text = f"{old} messages wait for more than half of outbox_age_max_ms"
        yield warning("messages_late", WHERE, text, "`claims outbox list` says why; look at their endpoints")
    reason = full(Usage(messages=waiting, bytes=size), size=0, rules=rules)
    if reason:
        yield warning("outbox_full", WHERE, reason, "`claims outbox flush`, when the endpoints are back")
    yield fine("outbox", WHERE, f"{waiting} messages wait, {size} bytes")
