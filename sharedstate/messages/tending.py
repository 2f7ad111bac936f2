"""What a person does with what stands in the outbox, and what a sweep tidies."""

from __future__ import annotations

from typing import Any

from sharedstate import logs
from sharedstate.claims.audit import Audit, audit_event
from sharedstate.errors import Corrupt, StoreError
from sharedstate.events import message_event
from sharedstate.messages import policy
from sharedstate.messages.delivering import Courier
from sharedstate.messages.flushing import TIMEOUT_S
from sharedstate.messages.records import Delivery, dump_delivery
from sharedstate.messages.spool import Spool
from sharedstate.store import KEEP, Decision, Snapshot, Unreadable


class Tending:
    """Retry, drop, tidy. Methods raise `StoreError`, and `Corrupt` for a message that cannot be read."""

    def __init__(self, spool: Spool, courier: Courier, *, audit: Audit | None = None, owner: str = "") -> None:
        self._audit = audit
        self._owner = owner
        self._spool = spool
        self._courier = courier

    def retry(self, key: str) -> bool:
        """Let one message be tried again at once; False when there is nothing to change."""
        dead, parcel = self._spool.dead(key), self._spool.find(key)
        if dead is None or (parcel is not None and policy.outlived(parcel, dead)):
            return parcel is not None and self._make_due(key, life=parcel.life)
        envelope = dead.parcel.envelope
        event = message_event("message_retried", message=key, sender=envelope.sender, attempts=dead.attempts)
        # First the new life, then away with the dead letter: in between, and after a death there, the newer counts.
        self._spool.put(policy.revive(dead, now=self._spool.store.now()))
        self._spool.exhume(key, life=dead.parcel.life, event=event)
        self._spool.count(messages=1, bytes_=policy.weigh(envelope))
        return True

    def retry_all(self) -> int:
        """Every dead letter and everything that was put off; what cannot be read is left out."""
        dead = [one.parcel.envelope.id for one in self._spool.dead_letters() if not isinstance(one, Unreadable)]
        put_off = [key for key, known in self._spool.known_deliveries().items() if known.failed is not None]
        changed = 0
        for key in dict.fromkeys([*dead, *put_off]):
            try:
                changed += self.retry(key)
            except Corrupt:
                continue  # told by `damaged`
        return changed

    def drop(self, key: str, *, reason: str, by: str = "") -> bool:
        """Remove a pending or dead message for good; False when it is not there or in flight."""
        dead, parcel = self._spool.dead(key), self._spool.find(key)
        newest = parcel if parcel is not None else None if dead is None else dead.parcel
        if newest is None:
            return False
        if parcel is not None and not isinstance(
            self._courier.take_up(parcel, timeout_s=TIMEOUT_S, impatient=True), Delivery
        ):
            return False
        told: dict[str, Any] = {"by": by or self._owner or newest.envelope.sender, "reason": reason}
        told |= {"sender": newest.envelope.sender, "to": ", ".join(newest.envelope.recipients)}
        event = {**audit_event("message_dropped", about=f"outbox:{key}", **told), "message": key}
        gone = False
        if dead is not None:
            gone = self._spool.exhume(key, life=dead.parcel.life, event=event if parcel is None else None)
        if parcel is not None:
            gone = self._spool.take(parcel, event=event, durability="full")
            self._spool.count(messages=-1, bytes_=-policy.weigh(parcel.envelope))
            self._spool.forget_delivery(key)
        if gone and self._audit is not None:
            self._tell(self._audit, key, told)
        return gone

    def tidy(self) -> None:
        """Away with notes about deliveries that are over, and with what a power cut has left of one."""
        for key, known in list(self._spool.deliveries()):
            if known is None:
                self._spool.clear_delivery(key)
            elif not self._courier.is_leased(known) and not self._spool.stands(key):
                self._spool.forget_delivery(key, nonce=None if known.lease is None else known.lease.nonce)

    def _tell(self, audit: Audit, key: str, told: dict[str, Any]) -> None:
        """The trail of all machines; this machine's journal has it already, in one transition with the removal."""
        try:
            audit.record("message_dropped", about=f"outbox:{key}", **told)
        except StoreError as error:
            logs.warn("message %s was dropped; the audit trail was not told: %s", key, error)

    def _make_due(self, key: str, *, life: int) -> bool:
        def decide(known: Delivery | None, snapshot: Snapshot) -> Decision[bool]:
            if known is None or known.life != life or known.failed is None:
                return Decision(result=False, write=KEEP)
            return Decision(result=True, write=dump_delivery(known.replace(failed=None)))

        return self._spool.change_delivery(key, decide)
