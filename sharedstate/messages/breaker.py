"""The circuit of one endpoint, shared by all processes of the machine through records in its local store.

A breaker saves time and never decides over a message: where its record cannot be read or written, the endpoint is
asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sharedstate import logs
from sharedstate.errors import Corrupt, StoreError
from sharedstate.host import Host
from sharedstate.ids import fingerprint
from sharedstate.messages.policy_breaker import (
    Blocked,
    Circuit,
    Pass,
    Permit,
    Probe,
    circuit_of,
    document_of,
    failed,
    permit,
    probing,
)
from sharedstate.store import DELETE, Decision, Snapshot, Store, T

COLLECTION: Final = "breakers"
_NAME_CHARACTERS_MAX: Final = 120


class Breaker:
    """May the endpoint called `name` be asked? Safe for threads and for many processes over one local store."""

    def __init__(self, store: Store, *, host: Host, name: str) -> None:
        self._store = store
        self._host = host
        self._name = name
        whole = len(name) <= _NAME_CHARACTERS_MAX and name.isascii() and name.isprintable() and name == name.strip()
        self._key = name if name and whole else f"endpoint-{fingerprint(name.encode(), size=16)}"

    def ask(self, *, lease_ms: int) -> Permit:
        """Whether to ask now; a probe is ours alone for `lease_ms`. Costs one read while all is well."""
        try:
            found = self._store.get(COLLECTION, self._key)
            if found is None:
                return Pass()
            circuit = circuit_of(found.value)
            if circuit.opened is None:
                return Pass(marked=True)
            return self._ask_half_open(circuit, lease_ms=lease_ms)
        except Corrupt:
            return Pass(marked=True)
        except StoreError as error:
            logs.warn("the circuit of %s cannot be read, so it is asked: %s", self._name, error)
            return Pass()

    def succeeded(self, asked: Permit) -> None:
        """The endpoint has answered: whatever was held against it is over. Writes only where there was something."""
        if isinstance(asked, Pass) and not asked.marked:
            return

        def decide(snapshot: Snapshot) -> Decision[None]:
            return Decision(result=None) if snapshot.value is None else Decision(result=None, write=DELETE)

        self._write(decide)

    def failed(self, asked: Permit, *, took_ms: int, answered: bool, retry_after_ms: int) -> bool:
        """The endpoint has not answered, or not well; `retry_after_ms` is the time it asked for, 0 for none.

        True when it is not to be asked for now.
        """
        token = asked.token if isinstance(asked, Probe) else ""

        def decide(snapshot: Snapshot) -> Decision[bool]:
            before = circuit_of(snapshot.value)
            after = failed(
                before,
                now=snapshot.now,
                token=token,
                took_ms=took_ms,
                answered=answered,
                named_ms=retry_after_ms,
            )
            if after is None:
                return Decision(result=before.opened is not None)
            return Decision(result=after.opened is not None, write=document_of(after, endpoint=self._name))

        return self._write(decide) is True

    def _ask_half_open(self, seen: Circuit, *, lease_ms: int) -> Permit:
        # Liveness is asked outside of the transaction, whose decision is pure; the token says whose death it was.
        dead = seen.probe if seen.prober is not None and self._host.is_dead(seen.prober) else ""
        token = self._host.entropy(8).hex()
        own = self._host.process(self._host.pid())
        quick = permit(seen, now=self._store.now(), dead=dead, token=token)
        if isinstance(quick, Blocked):
            return quick

        def decide(snapshot: Snapshot) -> Decision[Permit]:
            circuit = circuit_of(snapshot.value)
            answer = permit(circuit, now=snapshot.now, dead=dead, token=token)
            if not isinstance(answer, Probe):
                return Decision(result=answer)
            taken = probing(circuit, now=snapshot.now, token=token, prober=own, lease_ms=lease_ms)
            return Decision(result=answer, write=document_of(taken, endpoint=self._name))

        return self._store.transact(COLLECTION, self._key, decide, durability="relaxed", derived=True)

    def _write(self, decide: Callable[[Snapshot], Decision[T]]) -> T | None:
        try:
            return self._store.transact(COLLECTION, self._key, decide, durability="relaxed", derived=True)
        except (StoreError, Corrupt) as error:
            logs.warn("the circuit of %s cannot be written: %s", self._name, error)
            return None
