"""Several endpoints as one transport: in their order, with bounded attempts, a total deadline and a circuit for each.

What is tried next is decided in `policy_failover`, whether an endpoint is asked at all in `policy_breaker`; here the
attempts are made and the time is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sharedstate.addresses import masked
from sharedstate.errors import InvalidInput, StoreError
from sharedstate.host import Host
from sharedstate.messages.breaker import Breaker
from sharedstate.messages.model import Answer, Deferred, Delivered, Envelope, Rejected
from sharedstate.messages.policy_breaker import Blocked, Permit, Probe
from sharedstate.messages.policy_failover import Made, Patience, Settle, Try, is_redirect, next_step
from sharedstate.messages.transport import Transport
from sharedstate.store import Store

_LEASE_MARGIN_MS: Final = 5_000
_ALIVE: Final = (409, 425)  # "not this message now": says nothing against the endpoint
_PATIENCE: Final = Patience()


class Failover:
    """Delivers through the first of `transports` that takes the message. Itself a transport.

    At most 3 attempts per endpoint with pauses of 1 s doubling to 8 s (jittered; a Retry-After is waited for in full
    where the time allows, else the next endpoint is tried at once), all within the time given to `deliver`.
    `store` is this machine's own: through it all processes share what they know of dead endpoints, so that a hundred
    messages cost about as much time as the first. Without a store every message finds out by itself.
    """

    def __init__(
        self, transports: Sequence[Transport], *, host: Host, store: Store | None, patience: Patience = _PATIENCE
    ) -> None:
        if not transports:
            raise InvalidInput("a failover needs at least one endpoint")
        self._transports = tuple(transports)
        self._names = tuple(transport.name for transport in self._transports)
        self._host = host
        self._patience = patience
        self._breakers = None if store is None else tuple(Breaker(store, host=host, name=name) for name in self._names)

    @property
    def name(self) -> str:
        """The names of the endpoints in their order."""
        return masked(", ".join(self._names))

    def deliver(self, envelope: Envelope, *, timeout_s: float) -> Answer:
        """Try the endpoints for at most `timeout_s` in all. The answer lists every attempt in order."""
        began_s = self._host.monotonic_s()
        total_ms = max(0, int(timeout_s * 1000))
        made: list[Made] = []
        while True:  # ends: at most `attempts_max` attempts for each endpoint
            step = next_step(
                made,
                names=self._names,
                at_ms=self._since_ms(began_s),
                total_ms=total_ms,
                patience=self._patience,
                jitter=self._host.entropy(1)[0] / 255,
            )
            if isinstance(step, Settle):
                return step.answer
            if step.pause_ms:
                self._host.sleep(step.pause_ms / 1000)
            made.append(self._attempt(envelope, step, began_s))

    def close(self) -> None:
        """Close every endpoint."""
        for transport in self._transports:
            transport.close()

    def _attempt(self, envelope: Envelope, step: Try, began_s: float) -> Made:
        from_ms = self._since_ms(began_s)
        left_ms = max(1, step.until_ms - from_ms)
        breaker = None if self._breakers is None else self._breakers[step.endpoint]
        asked = None if breaker is None else breaker.ask(lease_ms=left_ms + _LEASE_MARGIN_MS)
        if isinstance(asked, Blocked):
            not_asked = self._not_asked(step.endpoint, asked)
            return Made(
                endpoint=step.endpoint, answer=not_asked, from_ms=from_ms, to_ms=from_ms, skipped=True, final=True
            )
        answer = self._ask(step.endpoint, envelope, left_ms / 1000)
        to_ms = self._since_ms(began_s)
        is_open = False if asked is None else self._report(step.endpoint, asked, answer, took_ms=to_ms - from_ms)
        final = is_open or isinstance(asked, Probe) or is_redirect(answer)
        return Made(endpoint=step.endpoint, answer=answer, from_ms=from_ms, to_ms=to_ms, final=final)

    def _not_asked(self, endpoint: int, blocked: Blocked) -> Deferred:
        reason = "not asked, it failed a moment ago"
        return Deferred(via=self._names[endpoint], reason=reason, retry_after_ms=blocked.wait_ms)

    def _ask(self, endpoint: int, envelope: Envelope, timeout_s: float) -> Answer:
        try:
            return self._transports[endpoint].deliver(envelope, timeout_s=timeout_s)
        except StoreError as error:  # a transport answers this itself; one that does not must not stop the others
            return Deferred(via=self._names[endpoint], reason=f"{error.code}: {error}")

    def _report(self, endpoint: int, asked: Permit, answer: Answer, *, took_ms: int) -> bool:
        """Tell the circuit how it went; True when there is nothing to wait for at this endpoint."""
        assert self._breakers is not None
        breaker = self._breakers[endpoint]
        if isinstance(answer, Delivered | Rejected) or answer.status in _ALIVE:
            breaker.succeeded(asked)
            return False
        named_ms = answer.retry_after_ms or 0
        answered = answer.status is not None
        is_open = breaker.failed(asked, took_ms=took_ms, answered=answered, retry_after_ms=named_ms)
        return is_open and not named_ms

    def _since_ms(self, began_s: float) -> int:
        return int((self._host.monotonic_s() - began_s) * 1000)
