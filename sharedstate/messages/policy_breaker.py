"""When an endpoint that failed is asked again: the circuit breaker, decided purely.

Closed: everybody asks. Open: nobody does, until it has cooled down. Half open: exactly one asks (the probe), by a lease
that ends with its holder's death or its time; its answer closes the circuit or opens it again for twice as long.
All ages are by boot time where that can be compared, so a step of the wall clock neither keeps a circuit open nor
closes it; a moment in the future (a clock set back over a reboot) counts as long past.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sharedstate.clock import Instant, age_between
from sharedstate.ids import Process
from sharedstate.store import Document
from sharedstate.values import Value

FAILURES_MAX: Final = 3  # in a row, of all processes together
HEAVY_MS: Final = 3_000  # one attempt that got no answer in this time says as much as three, and has cost as much
COOL_MS: Final = 10_000
COOL_MS_MAX: Final = 60_000
NAMED_COOL_MS_MAX: Final = 15 * 60_000  # of a Retry-After


class Circuit(Value):
    """What is known of one endpoint on this machine. `opened` is None while the circuit is closed.

    `probe` is the token of who asks while it is half open, `prober` its process, `probed` and `lease_ms` its lease.
    """

    failures: int = 0
    opened: Instant | None = None
    cool_ms: int = 0
    probe: str = ""
    prober: Process | None = None
    probed: Instant | None = None
    lease_ms: int = 0


class Pass(Value):
    """Ask. `marked` when there are failures on record, which a success takes away."""

    marked: bool = False


class Probe(Value):
    """Ask once, alone: the others wait for this answer. `token` proves it when the answer is reported."""

    token: str


class Blocked(Value):
    """Do not ask for another `wait_ms`."""

    wait_ms: int


Permit = Pass | Probe | Blocked


def permit(circuit: Circuit, *, now: Instant, dead: str, token: str) -> Permit:
    """Whether to ask now. `dead` is the token of a probe whose holder is proved dead, `token` what ours would be."""
    if circuit.opened is None:
        return Pass(marked=circuit.failures > 0)
    wait_ms = _left_ms(circuit.opened, circuit.cool_ms, now)
    if not wait_ms and circuit.probe and circuit.probe != dead and circuit.probed is not None:
        wait_ms = _left_ms(circuit.probed, circuit.lease_ms, now)
    return Blocked(wait_ms=wait_ms) if wait_ms else Probe(token=token)


def probing(circuit: Circuit, *, now: Instant, token: str, prober: Process | None, lease_ms: int) -> Circuit:
    """The circuit with this probe under way."""
    return circuit.replace(probe=token, prober=prober, probed=now, lease_ms=lease_ms)


def failed(
    circuit: Circuit, *, now: Instant, token: str, took_ms: int, answered: bool, named_ms: int
) -> Circuit | None:
    """The circuit after an attempt that failed, None when that changes nothing.

    `token` is that of a probe, empty for any other attempt; `named_ms` is the Retry-After that the endpoint named, 0
    for none. A report that comes too late changes nothing: a probe whose lease was taken over, an attempt from before
    the circuit opened, a probe after somebody found the endpoint well.
    """
    again = circuit.opened is not None
    if again != bool(token) or circuit.probe != token:
        return None
    failures = circuit.failures + 1
    heavy = not answered and took_ms >= HEAVY_MS
    if not again and failures < FAILURES_MAX and not heavy and not named_ms:
        return Circuit(failures=failures)
    cool_ms = 0 if named_ms and not again else min(max(COOL_MS, 2 * circuit.cool_ms), COOL_MS_MAX)
    return Circuit(failures=failures, opened=now, cool_ms=min(max(cool_ms, named_ms), NAMED_COOL_MS_MAX))


def _left_ms(since: Instant, length_ms: int, now: Instant) -> int:
    age = age_between(since=since, now=now, skew_ms=0)
    return 0 if age.future else max(0, length_ms - age.ms)


# The record


def circuit_of(document: Mapping[str, Any] | None) -> Circuit:
    """The circuit in a record; what cannot be understood counts as closed: the worst is one attempt too many."""
    if document is None:
        return Circuit()
    try:
        prober, probed, opened = (document.get(name) for name in ("prober", "probed", "opened"))
        return Circuit(
            failures=int(document.get("failures", 0)),
            opened=None if opened is None else _instant(opened),
            cool_ms=min(int(document.get("cool_ms", 0)), NAMED_COOL_MS_MAX),
            probe=str(document.get("probe", "")),
            prober=None if prober is None else Process(**prober),
            probed=None if probed is None else _instant(probed),
            lease_ms=int(document.get("lease_ms", 0)),
        )
    except (TypeError, ValueError):
        return Circuit()


def document_of(circuit: Circuit, *, endpoint: str) -> Document:
    """The record of a circuit."""
    return {
        "endpoint": endpoint,
        "failures": circuit.failures,
        "opened": None if circuit.opened is None else circuit.opened.fields(),
        "cool_ms": circuit.cool_ms,
        "probe": circuit.probe,
        "prober": None if circuit.prober is None else circuit.prober.fields(),
        "probed": None if circuit.probed is None else circuit.probed.fields(),
        "lease_ms": circuit.lease_ms,
    }


def _instant(fields: Any) -> Instant:
    moment = Instant(**fields)
    if type(moment.at_ms) is not int or type(moment.boot_ms) is not int or type(moment.boot_id) is not str:
        raise TypeError("not a moment")
    return moment
