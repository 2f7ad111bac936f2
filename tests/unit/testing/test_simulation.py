"""The scheduler: equal seeds give equal runs, locks queue, deaths and cuts restart clients, lost updates show."""

from __future__ import annotations

import os

import pytest

from sharedstate.testing.disk import Crashed
from sharedstate.testing.simulation import Client, Faults, Simulation, SimulationFailed

_CREATE = os.O_CREAT | os.O_RDWR
_ALL = Faults(crash=2e-3, power_cut=2e-4, error=2e-3, short_write=2e-3, torn_write=2e-3, wall_step=1e-3, pause=1e-3)


def _counts(client: Client, *, locked: bool, rounds: int = 20) -> None:
    """Add one, `rounds` times, in a file that all clients share."""
    host = client.host
    for _ in range(rounds):
        fd = host.open("/count", _CREATE)
        if locked and not host.try_lock(fd):
            assert host.wait_lock(fd, timeout_s=60.0)
        number = int(host.pread(fd, 20, 0) or b"0")
        host.pwrite(fd, b"%08d" % (number + 1), 0)
        if locked:
            host.unlock(fd)
        host.close(fd)


def _run_counting(seed: int, *, locked: bool) -> int:
    simulation = Simulation(seed)
    for name in "abc":
        simulation.client(name, lambda client: _counts(client, locked=locked))
    simulation.run(steps_max=100_000)
    return int(simulation.disk.read("/count"))


def test_with_a_lock_no_update_is_lost_in_any_order() -> None:
    assert [_run_counting(seed, locked=True) for seed in range(20)] == [60] * 20


def test_without_a_lock_updates_get_lost() -> None:
    assert any(_run_counting(seed, locked=False) < 60 for seed in range(3))


def _busy(client: Client) -> None:
    number = 0
    while client.running:
        number += 1
        try:
            fd = client.host.open(f"/file-{number % 3}", _CREATE)
            try:
                if client.host.try_lock(fd):
                    client.host.pwrite(fd, client.host.entropy(8), number % 7)
                    client.host.fsync(fd)
                    client.host.unlock(fd)
                elif not client.host.wait_lock(fd, timeout_s=1.0):
                    fd = -1
            finally:
                if fd >= 0:
                    client.host.close(fd)
        except OSError:
            client.host.sleep(0.01)
        client.simulation.history.append((client.name, client.life, number, client.step))


def _busy_run(seed: int) -> Simulation:
    simulation = Simulation(seed, faults=_ALL)
    for name in "abcd":
        simulation.client(name, _busy)
    simulation.run(steps_max=20_000)
    return simulation


def test_the_same_seed_gives_the_same_run_and_another_seed_another() -> None:
    first, again, other = _busy_run(1), _busy_run(1), _busy_run(2)
    assert (first.trace, first.steps, first.history, first.counts) == (
        again.trace,
        again.steps,
        again.history,
        again.counts,
    )
    assert first.disk.tree() == again.disk.tree()
    assert first.trace != other.trace


def test_every_kind_of_disturbance_happens_and_clients_begin_again() -> None:
    simulation = _busy_run(3)
    assert all(simulation.counts.values()), simulation.counts
    assert max(life for _, life, _, _ in simulation.history) > 1


def test_a_failure_names_the_seed_and_the_step() -> None:
    def fails(client: Client) -> None:
        client.host.mkdir("/x")
        raise ZeroDivisionError("planted")

    simulation = Simulation(99)
    simulation.client("a", fails)
    with pytest.raises(SimulationFailed, match="seed 99, step 1, client a") as caught:
        simulation.run(steps_max=100)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_client_that_waits_for_a_lock_that_nobody_frees_runs_out_of_time() -> None:
    outcomes: list[bool] = []

    def holds(client: Client) -> None:
        fd = client.host.open("/lock", _CREATE)
        assert client.host.try_lock(fd)
        client.host.sleep(1000.0)

    def waits(client: Client) -> None:
        client.host.sleep(1.0)
        fd = client.host.open("/lock", os.O_RDWR)
        outcomes.append(client.host.wait_lock(fd, timeout_s=5.0))

    simulation = Simulation(1)
    simulation.client("holds", holds)
    simulation.client("waits", waits)
    simulation.run(steps_max=1000)
    assert outcomes == [False]


def test_lock_waiters_are_served_in_the_order_of_their_coming() -> None:
    order: list[str] = []

    def takes(client: Client) -> None:
        client.host.sleep(float(client.name))
        fd = client.host.open("/lock", _CREATE)
        assert client.host.wait_lock(fd, timeout_s=100.0)
        order.append(client.name)
        client.host.sleep(10.0)
        client.host.unlock(fd)
        client.host.close(fd)

    simulation = Simulation(1)
    for name in ("1", "2", "3", "4"):
        simulation.client(name, takes)
    simulation.run(steps_max=10_000)
    assert order == ["1", "2", "3", "4"]


def test_checks_see_the_disk_after_each_power_cut_and_before_anybody_writes() -> None:
    seen: list[int] = []

    def writes(client: Client) -> None:
        fd = client.host.open("/file", _CREATE)
        while client.running:
            client.host.pwrite(fd, b"x", 0)

    simulation = Simulation(5, faults=Faults(power_cut=1e-3))
    simulation.client("a", writes)
    simulation.after_power_cut(lambda host: seen.append(len(host.listdir(host.open_dir("/")))))
    simulation.run(steps_max=10_000)
    assert len(seen) == simulation.counts["power_cut"] > 0


def test_a_failing_check_fails_the_run() -> None:
    simulation = Simulation(5, faults=Faults(power_cut=1e-2))
    simulation.client("a", _busy)

    def check(host: object) -> None:
        raise AssertionError("lost")

    simulation.after_power_cut(check)
    with pytest.raises(SimulationFailed, match="after a power cut"):
        simulation.run(steps_max=10_000)


def test_nobody_handles_the_own_death() -> None:
    assert not issubclass(Crashed, Exception)


def test_probabilities_above_one_are_refused() -> None:
    with pytest.raises(ValueError, match="below 1"):
        Simulation(1, faults=Faults(switch=0.9, crash=0.2))
