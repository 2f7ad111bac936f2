"""Bugs planted into the owner guard are caught by the checks of `test_services`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sharedstate.claims.audit import Audit
from sharedstate.claims.services import policy, service
from sharedstate.ids import Process
from sharedstate.testing.clock import FakeMachine
from tests.unit.claims import test_services as checks
from tests.unit.claims.world import World

Patch = pytest.MonkeyPatch


def by_pid_only(patch: Patch) -> None:
    """A process counts as the same as long as its pid is there."""
    patch.setattr(FakeMachine, "is_dead", lambda self, process: self.process(process.pid) is None)


def signal_by_pid_only(patch: Patch) -> None:
    """The signal goes to the pid, whoever has it."""
    sent = FakeMachine.send_signal

    def send(self: FakeMachine, process: Process, number: int) -> bool:
        current = self.process(process.pid)
        return current is not None and sent(self, current, number)

    by_pid_only(patch)
    patch.setattr(FakeMachine, "send_signal", send)


def no_audit(patch: Patch) -> None:
    """Denials are not written down."""
    patch.setattr(Audit, "record", lambda self, kind, **facts: 0)


def blank_reason(patch: Patch) -> None:
    """Any text is a reason."""
    patch.setattr(service, "check_reason", lambda reason: reason)


def name_instead_of_identity(patch: Patch) -> None:
    """The agent is compared, not the owner."""
    decide = policy.decide_stop

    def by_agent(view: Any, *, by: str, **given: Any) -> Any:
        agent = by.rpartition("/")[2]
        owner = view.record.owner
        return decide(view, by=owner if owner.endswith(f"/{agent}") else by, **given)

    patch.setattr(policy, "decide_stop", by_agent)


def everybody_may(patch: Patch) -> None:
    """Nobody is asked."""
    patch.setattr(policy, "decide_stop", lambda view, **given: None)


@pytest.mark.parametrize(
    "plant,check",
    [
        (by_pid_only, checks.check_reused_pid_is_left_alone),
        (signal_by_pid_only, checks.check_reused_pid_is_left_alone),
        (no_audit, checks.check_denied_and_audited),
        (blank_reason, checks.check_blank_reason_is_no_reason),
        (name_instead_of_identity, checks.check_same_agent_elsewhere_is_another_owner),
        (everybody_may, checks.check_denied_and_audited),
    ],
    ids=lambda value: str(value.__name__),
)
def test_a_planted_bug_is_caught(
    plant: Callable[[Patch], None], check: Callable[[World], None], monkeypatch: Patch
) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(World())
