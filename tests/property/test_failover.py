"""Laws of the failover, for any endpoints: the deadline, the number and order of attempts, who decides, one text."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sharedstate.messages.failover import Failover
from sharedstate.messages.model import Deferred, Delivered, Rejected
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.memory import MemoryStore
from tests.unit.messages.scripted import ENVELOPE, Scripted

MESSAGE_FAULTS = (400, 409, 413, 415, 422)
STATUSES = st.sampled_from([None, 200, 201, 400, 401, 403, 404, 408, 409, 413, 422, 425, 429, 500, 503])
LINES = st.tuples(STATUSES, st.sampled_from([0.0, 0.2, 3.5, 1e9]), st.sampled_from([0.0, 0.0, 2.0, 3_600.0]))
ENDPOINTS = st.lists(st.lists(LINES, min_size=1, max_size=4), min_size=1, max_size=4)


@given(scripts=ENDPOINTS, timeout_s=st.sampled_from([0.0, 0.3, 5.0, 10.0, 60.0]), shared=st.booleans())
@settings(max_examples=400, deadline=None)
def test_laws_of_every_delivery(
    scripts: list[list[tuple[int | None, float, float]]], timeout_s: float, shared: bool
) -> None:
    host = FakeHost()
    endpoints = [Scripted(f"http://e{number}", host, script) for number, script in enumerate(scripts)]
    failover = Failover(endpoints, host=host, store=MemoryStore(host) if shared else None)
    answer = failover.deliver(ENVELOPE, timeout_s=timeout_s)
    attempts = answer.attempts

    # Time and number are bounded, and each attempt gets no more time than is left.
    assert host.monotonic_s() - FakeHost().monotonic_s() <= timeout_s + 0.003
    assert all(len(endpoint.asked_at_s) <= 3 for endpoint in endpoints)
    # In the order of the endpoints, none left out, every attempt told in its place.
    order = [int(one.via.removeprefix("http://e")) for one in attempts]
    assert order == sorted(order)
    decided = isinstance(answer, Delivered) or attempts[-1].status in MESSAGE_FAULTS
    assert set(order) == set(range(max(order) + 1 if decided or timeout_s == 0 else len(endpoints)))
    asked = [one for one in attempts if one.outcome != "skipped"]
    assert len(asked) == sum(len(endpoint.asked_at_s) for endpoint in endpoints)
    # The status decides, and nothing after what decides.
    outcomes = [one.outcome for one in attempts]
    assert isinstance(answer, Delivered) == ("delivered" in outcomes)
    assert all(outcome != "delivered" for outcome in outcomes[:-1])
    assert all(one.outcome != "rejected" or one.status not in MESSAGE_FAULTS for one in attempts[:-1])
    if isinstance(answer, Rejected):
        at_fault = attempts[-1].outcome == "rejected" and attempts[-1].status in MESSAGE_FAULTS
        last_of_each = {one.via: one.outcome for one in attempts}  # one that deferred may refuse when asked again
        assert at_fault or list(last_of_each.values()) == ["rejected"] * len(endpoints)
    if isinstance(answer, Deferred | Rejected):
        places = [answer.reason.find(f"{number}. {one.via}: ") for number, one in enumerate(attempts, start=1)]
        assert places == sorted(places)
        assert places[0] == 0
    # A refused endpoint is not asked again; a deferred one not before the pause is over and the named time is there.
    for number, endpoint in enumerate(endpoints):
        mine = [one for one in asked if one.via == f"http://e{number}"]
        assert all(one.outcome == "deferred" for one in mine[:-1])
        for place, ended_s in enumerate(endpoint.answered_at_s[:-1]):
            paused_s = endpoint.asked_at_s[place + 1] - ended_s
            assert paused_s >= max(0.5 * 2**place, endpoint.named_s[place]) - 0.001
