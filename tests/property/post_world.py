"""A world of processes that send, flush, retry and die, over the real outbox on one simulated disk.

The far side is idempotent by id and otherwise unkind: it is busy, loses answers, is slow, rejects some for good. What
must hold: what was accepted has arrived, or stands in the outbox or among the dead letters, after each power cut and at
the end; what was told not to be accepted never arrives; a later message never arrives before an earlier one to
the same recipient; whatever arrives is the message that was made; and without deaths and pauses each is delivered once.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

from sharedstate.errors import DurabilityUnknown, StoreError
from sharedstate.files.store import FileStore
from sharedstate.host import Host
from sharedstate.messages.model import (
    Answer,
    Deferred,
    Delivered,
    Envelope,
    Queued,
    Refused,
    Rejected,
    SendResult,
    Sent,
)
from sharedstate.messages.outbox import Outbox
from sharedstate.messages.spool import shelf_of
from sharedstate.messages.wire import content_digest
from sharedstate.settings import resolve
from sharedstate.store import Unreadable
from sharedstate.testing.faults import PLAUSIBLE
from sharedstate.testing.simulation import Client, Faults, Simulation

ROOT = "/srv/team/local"
RECIPIENTS: tuple[tuple[str, ...], ...] = (("b",), ("b",), ("c",), ("b", "c"), ("*",))
SETTINGS = {"outbox_lease_ms": 4_000, "outbox_attempts_max": 25, "outbox_age_max_ms": 3_600_000}
LOCK_TIMEOUT_S = 8.0
TIMEOUT_S = 1.5
_ACTIONS = ("send",) * 6 + ("flush",) * 3 + ("look", "retry", "nap", "reopen")


class Attempt:
    """One call of `send`: its body is its name; from which step to which, what it told, None while nobody knows."""

    def __init__(self, number: int, sender: str, recipients: tuple[str, ...], client: Client) -> None:
        self.body = f"{number} {'bad' if number % 17 == 0 else 'good'}"
        self.sender = sender
        self.recipients = recipients
        self.client = client
        self.life = client.life
        self.start = client.step
        self.end: int | None = None
        self.told: SendResult | StoreError | None = None

    @property
    def accepted(self) -> bool:
        """Whether the sender was told that the message is safe."""
        return isinstance(self.told, Sent | Queued) or (isinstance(self.told, Refused) and self.told.id != "")


class FarSide:
    """All that has arrived, in order; survives everything."""

    def __init__(self) -> None:
        self.arrived: dict[str, Envelope] = {}
        self.places: dict[str, int] = {}  # body -> how manieth it came
        self.taken: Counter[str] = Counter()
        self.lost_answers: Counter[str] = Counter()
        self.violations: list[str] = []  # an error raised here would only be taken for a fault of the far side

    def take(self, envelope: Envelope) -> bool:
        """Take a message; True when it was here."""
        known = self.arrived.setdefault(envelope.id, envelope)
        if content_digest(known) != content_digest(envelope):
            self.violations.append(f"another message under the id of {envelope.body}")
        self.places.setdefault(envelope.body, len(self.places))
        self.taken[envelope.body] += 1
        return known is not envelope


class Wire:
    """The way of one process to the far side."""

    name = "far"

    def __init__(self, far: FarSide, client: Client, *, kind: bool, exact: bool) -> None:
        self._far = far
        self._client = client
        self._kind = kind
        self._exact = exact

    def deliver(self, envelope: Envelope, *, timeout_s: float) -> Answer:
        """As the far side likes."""
        rng: random.Random = self._client.simulation.random
        shelf: Any = self._client.simulation.disk.find(f"{ROOT}/{shelf_of(envelope.sender)}")
        here = any(name.startswith(envelope.id) for name in shelf.names)
        if self._exact and not here:
            self._far.violations.append(f"{envelope.body} is delivered, and does not stand in the spool")
        if rng.random() < 0.2:
            self._client.host.sleep(rng.uniform(0, timeout_s))
        if envelope.body.endswith("bad"):
            return Rejected(via=self.name, reason="never", status=422)
        chance = 1.0 if self._kind or not self._client.running else rng.random()
        if chance < 0.15:
            return Deferred(via=self.name, reason="busy", retry_after_ms=rng.choice((None, 500)))
        duplicate = self._far.take(envelope)
        if chance < 0.25:
            self._far.lost_answers[envelope.body] += 1
            return Deferred(via=self.name, reason="no answer")
        return Delivered(via=self.name, duplicate=duplicate)

    def close(self) -> None:
        """Nothing."""


class PostWorld:
    """Processes, what they were told, and what must hold. `wrap` plants a bug below them."""

    def __init__(
        self,
        seed: int,
        *,
        faults: Faults,
        wrap: Callable[[Host], Host] = lambda host: host,
        kind: bool = False,
    ) -> None:
        errors = {call: codes for call, codes in PLAUSIBLE.items() if call != "fdatasync" or not faults.power_cut}
        self.simulation = Simulation(seed, faults=faults, errors=errors)
        self.exact = not (faults.crash or faults.power_cut or faults.error or faults.short_write or faults.pause)
        self.errors = bool(faults.error)
        self.attempts: list[Attempt] = []
        self.far = FarSide()
        self.dead: set[str] = set()
        self.damaged: set[str] = set()  # ids that could not be read in two tries: such a one holds up nobody
        self.seen: Counter[str] = Counter()
        self._wrap = wrap
        self._kind = kind

    def run(self, *, clients: int = 4, steps_max: int) -> PostWorld:
        """Run the processes, deliver what is left, then look at everything."""
        for index in range(clients):
            self.simulation.client(f"p{index}", self._work)
        self.simulation.after_power_cut(self._check_after_cut)
        self.simulation.run(steps_max=steps_max)
        self._check_at_end()
        return self

    def outbox(self, host: Host, wire: Any) -> Outbox:
        """What a process opens."""
        wrapped = self._wrap(host)
        store = FileStore(ROOT, host=wrapped, lock_timeout_s=LOCK_TIMEOUT_S)
        settings = resolve(SETTINGS, env={}, folder="/")
        return Outbox(store, host=wrapped, settings=settings, transport=lambda envelope, endpoints: wire)

    # The processes

    def _work(self, client: Client) -> None:
        for attempt in self.attempts:
            if attempt.client is client and attempt.end is None:
                attempt.end = client.step  # it died in it: what it had accepted by then comes before all that follows
        wire = Wire(self.far, client, kind=self._kind, exact=self.exact)
        outbox, rng = self.outbox(client.host, wire), client.simulation.random
        while client.running:
            action = rng.choice(_ACTIONS)
            if action == "reopen":
                outbox = self.outbox(client.host, wire)
                continue
            try:
                self._act(client, outbox, action, rng)
            except StoreError as error:
                self.seen[type(error).__name__] += 1

    def _act(self, client: Client, outbox: Outbox, action: str, rng: random.Random) -> None:
        if action == "send":
            self._send(client, outbox, rng)
        elif action == "flush":
            report = outbox.flush(count_max=rng.choice((3, 50)), time_max_s=20)
            self.damaged.update(name[:26] for name in report.damaged)
            assert self.errors or report.damaged == (), report
            self.seen["flushed"] += report.sent
        elif action == "look":
            self._look(outbox)
        elif action == "retry" and rng.random() < 0.3:
            self._look(outbox)  # who once was dead has no place in the order any more
            self.seen["retried"] += outbox.retry(all=True)
        else:
            client.host.sleep(rng.uniform(0, 3))

    def _send(self, client: Client, outbox: Outbox, rng: random.Random) -> None:
        sender = rng.choice((client.name, "shared"))
        attempt = Attempt(len(self.attempts), sender, rng.choice(RECIPIENTS), client)
        self.attempts.append(attempt)
        try:
            attempt.told = outbox.send(
                sender=sender,
                to=attempt.recipients,
                body=attempt.body,
                deliver=rng.random() < 0.8,
                timeout_s=TIMEOUT_S,
            )
        except StoreError as error:
            attempt.told = error
            attempt.end = client.step
            raise
        attempt.end = client.step
        self.seen[type(attempt.told).__name__] += 1

    def _look(self, outbox: Outbox) -> None:
        standing = outbox.list()
        self.dead.update(one.envelope.body for one in standing if one.state == "dead")
        assert self.errors or outbox.damaged() == []

    # What must hold

    def _check_after_cut(self, host: Host) -> None:
        store = FileStore(ROOT, host=host, lock_timeout_s=LOCK_TIMEOUT_S)
        outbox = Outbox(store, host=host, settings=resolve(SETTINGS, env={}, folder="/"), transport=_no_way)
        standing = {one.envelope.body: one.state for one in outbox.list()}
        assert outbox.damaged() == [], "a message was torn by the cut"
        self.dead.update(body for body, state in standing.items() if state == "dead")
        for attempt in self.attempts:
            if attempt.accepted:
                here = attempt.body in standing or attempt.body in self.far.places
                assert here, f"{attempt.body} was accepted, and the cut has lost it"

    def _check_at_end(self) -> None:
        host = self.simulation.disk.host()
        standing = self._flush_all(host)
        self.dead.update(body for body, state in standing.items() if state == "dead")
        assert self.far.violations == [], self.far.violations
        left = {body for body, state in standing.items() if state != "dead"}
        assert left == set(), f"still there after all flushes: {left}"
        for attempt in self.attempts:
            body = attempt.body
            if attempt.accepted:
                assert body in self.far.places or standing.get(body) == "dead", f"{body} was accepted, and is lost"
            if isinstance(attempt.told, StoreError) and not isinstance(attempt.told, DurabilityUnknown):
                gone = body not in self.far.places and body not in standing
                assert gone, f"{body}: {attempt.told!r} says that nothing was accepted"
        self._check_order()
        if self.exact:
            for body, count in self.far.taken.items():
                assert count == 1 + self.far.lost_answers[body], f"{body} was delivered {count} times"

    def _flush_all(self, host: Host) -> dict[str, str]:
        far = self.far

        class Kind:
            name = "kind"

            def deliver(self, envelope: Envelope, *, timeout_s: float) -> Answer:
                del timeout_s
                if envelope.body.endswith("bad"):
                    return Rejected(via=self.name, reason="never", status=422)
                return Delivered(via=self.name, duplicate=far.take(envelope))

            def close(self) -> None: ...

        outbox = self.outbox(host, Kind())
        for _ in range(8):
            self.simulation.disk.machine.advance(1_000)
            outbox.flush()
        assert not any(isinstance(one, Unreadable) for one in outbox.damaged())
        return {one.envelope.body: one.state for one in outbox.list()}

    def _check_order(self) -> None:
        places = self.far.places
        over = self.dead | {letter.body for key, letter in self.far.arrived.items() if key in self.damaged}
        arrived = [one for one in self.attempts if one.body in places and one.body not in over and one.end]
        for before in arrived:
            for after in arrived:
                earlier = before.end is not None and before.end < after.start
                if earlier and before.sender == after.sender and _meet(before.recipients, after.recipients):
                    told = f"{before.body} of {before.sender} was overtaken by {after.body}"
                    assert places[before.body] < places[after.body], told


def _meet(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return "*" in one or "*" in other or bool(set(one) & set(other))


def _no_way(envelope: Envelope, endpoints: tuple[str, ...]) -> Any:
    raise AssertionError("a look delivers nothing")
