"""One trail of what was denied and what was overridden: services, claims, messages. For whoever asks later why.

What this module is told stands in the journal `audit` of the shared store. Forced takeovers and overrides of claims
stand in the journal `events`, written with the claim itself; they are taken from there, so that none can be missing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import merge
from typing import Any, Final

from sharedstate import events
from sharedstate.claims.masking import masked
from sharedstate.errors import InvalidInput
from sharedstate.store import Entry, Store
from sharedstate.tasks.outcomes import FORCED
from sharedstate.values import Value

AUDIT: Final = "audit"
EVENTS: Final = "events"
LIMIT_MAX: Final = 100_000
_FACTS_MAX: Final = 30


class AuditEntry(Value):
    """One entry of the trail, from `journal` (`audit` or `events`), which counts its own sequence.

    `about`: the task or service, `service:web`; `by`: who did it or was denied; `facts`: all that was written.
    """

    journal: str
    sequence: int
    at_ms: int
    kind: str
    about: str
    by: str
    reason: str
    facts: dict[str, Any]


class Audit:
    """The trail of one shared store. Safe for threads; raises `StoreError` when the store fails."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def record(self, kind: str, *, about: str, by: str, **facts: Any) -> int:
        """Append one entry, durably, and return its sequence.

        `kind` is an event type (`sharedstate.events`); `about` what was touched, `by` who did it or was denied. At most
        30 further facts; texts are masked and cut at 1,000 characters, those that are None are left out.
        """
        return self._store.append(AUDIT, audit_event(kind, about=about, by=by, **facts))

    def entries(self, *, limit: int = 100, about: str | None = None) -> list[AuditEntry]:
        """The latest `limit` entries (1 to 100,000), oldest first; `about` one task or service only.

        Reads both journals from the beginning.
        """
        if not 1 <= limit <= LIMIT_MAX:
            raise InvalidInput(f"limit must be from 1 to {LIMIT_MAX}, not {limit!r}")
        both = merge(self._audit(), self._overrides(), key=lambda entry: entry.at_ms)
        return list(deque((entry for entry in both if about in (None, entry.about)), maxlen=limit))

    def _audit(self) -> Iterator[AuditEntry]:
        return (_entry(AUDIT, found) for found in self._store.read(AUDIT))

    def _overrides(self) -> Iterator[AuditEntry]:
        for found in self._store.read(EVENTS):
            forced = found.value.get("type") == "taken_over" and found.value.get("reason") == FORCED
            if forced or found.value.get("type") == "overridden":
                yield _entry(EVENTS, found)


def audit_event(kind: str, *, about: str, by: str, **facts: Any) -> dict[str, Any]:
    """The document of an entry, for those who write it in one transition with what it tells of."""
    if len(facts) > _FACTS_MAX:
        raise InvalidInput(f"an entry of the trail has at most {_FACTS_MAX} facts, not {len(facts)}")
    told = {name: masked(value) if isinstance(value, str) else value for name, value in facts.items()}
    return events.event(kind, task=about, by=by, **told)


def _entry(journal: str, found: Entry) -> AuditEntry:
    facts = found.value
    forced = facts.get("type") == "taken_over"
    return AuditEntry(
        journal=journal,
        sequence=found.sequence,
        at_ms=found.at_ms,
        kind=str(facts.get("type", "")),
        about=str(facts.get("task", "")),
        by=str(facts.get("owner" if forced else "by", "")),
        reason=str(facts.get("detail" if forced else "reason", "")),
        facts=facts,
    )
