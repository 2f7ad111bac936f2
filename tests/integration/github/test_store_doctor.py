"""What `claims doctor` says about a GitHub store, from one request that writes nothing."""

from __future__ import annotations

from sharedstate.clock import Instant
from sharedstate.findings import Finding
from sharedstate.testing.clock import FakeHost
from tests.integration.github.stores import Ground


def severities(found: list[Finding]) -> dict[str, str]:
    return {one.code: one.severity for one in found}


def test_a_repository_in_order_is_told_with_what_is_left_of_the_budget() -> None:
    ground = Ground()
    store = ground.store()
    before = len(ground.requests())
    found = severities(store.checkup())
    assert ground.requests()[before:] == ["GET"]
    assert set(found.values()) == {"ok"}
    assert {"github_answers", "github_rights", "github_limit"} <= found.keys()


def test_an_account_that_may_only_read_is_an_error() -> None:
    found = severities(Ground().store("eve").checkup())
    assert found["github_rights"] == "error"


class Ahead(FakeHost):
    """A machine whose wall clock is an hour ahead of GitHub's."""

    def now(self) -> Instant:
        """The moment, an hour too late."""
        true = super().now()
        return true.replace(at_ms=true.at_ms + 3_600_000)


def test_a_clock_that_is_off_is_told() -> None:
    ground = Ground()
    assert "github_clock" not in severities(ground.store().checkup())
    host = Ahead(machine=ground.host.machine)
    assert severities(ground.store(host=host).checkup())["github_clock"] == "warn"


def test_a_repository_that_is_not_there_is_an_error_and_never_raises() -> None:
    ground = Ground()
    store = ground.store()
    store.name = "acme/nothing"
    assert severities(store.checkup()) == {"github_unreachable": "error"}
