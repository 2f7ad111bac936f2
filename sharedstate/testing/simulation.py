"""Several clients on one simulated disk, run step by step in an order that a seed decides, under crashes and faults.

    simulation = Simulation(seed=7, faults=Faults(crash=1e-3, error=1e-3, power_cut=1e-5))
    simulation.client("a", work)              # work(client): ordinary code over FileStore("/root", host=client.host)
    simulation.after_power_cut(check)         # check(host): look at what the cut has left
    simulation.run(steps_max=100_000)

One step is one file call or lock of one client. Before each step the scheduler may let another client go on, kill the
client, cut the power, fail the call, step the wall clock, or let a process stand still for seconds. A client that died
begins again from the start of its function, as a new process. The same seed and code give the same run, step by step.

Needs `greenlet` (a development dependency), which is imported when a simulation is made.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final, NoReturn

from sharedstate.host import Host
from sharedstate.testing.disk import Crashed, SimDisk, SimHost
from sharedstate.testing.faults import PLAUSIBLE, fail
from sharedstate.testing.scheduled import Client
from sharedstate.values import Value

__all__ = ["Client", "Faults", "Simulation", "SimulationFailed"]
DRAIN_STEPS_MAX: Final = 200_000
_STEP_MICROS_MAX: Final = 400
_PAUSE_S_MAX: Final = 20.0
_WALL_STEP_S_MAX: Final = 600.0
_ROUNDING_S: Final = 1e-5
_COLLECT_STEPS: Final = 100_000
_TRACE_MASK: Final = (1 << 61) - 1


class Faults(Value):
    """Probabilities per step, each 0 to 1, together below 1; `switch` is how often another client goes on instead."""

    switch: float = 0.3
    crash: float = 0.0
    power_cut: float = 0.0
    error: float = 0.0
    short_write: float = 0.0
    torn_write: float = 0.0
    wall_step: float = 0.0
    pause: float = 0.0


class SimulationFailed(AssertionError):
    """A client or a check raised, or a client is stuck; the message has seed and step, the cause what was raised."""


class Simulation:
    """The disk, the clients, the seeded scheduler.

    `disk` may be looked at and arranged before `run`; `history` is a list for whatever the clients record.
    `errors` names the calls that may fail and how. `counts` says how often each disturbance happened. `trace` is a
    number that is equal for equal runs.
    """

    def __init__(
        self, seed: int, *, faults: Faults | None = None, errors: Mapping[str, Sequence[int]] = PLAUSIBLE
    ) -> None:
        try:
            greenlet = import_module("greenlet")
        except ImportError as error:
            raise RuntimeError("the simulation needs greenlet: pip install greenlet") from error
        self._greenlet = greenlet.greenlet
        self._current = greenlet.getcurrent
        self.seed = seed
        self.random = random.Random(seed)  # noqa: S311 - reason: a run must replay
        self.disk = SimDisk(seed=seed)
        self.faults = faults or Faults()
        self.errors = errors
        self.history: list[Any] = []
        self.counts: dict[str, int] = dict.fromkeys((*_DISTURBANCES, "restart"), 0)
        self.steps = 0
        self.trace = 0
        self.draining = False
        self._clients: list[Client] = []
        self._runnable: list[Client] = []
        self._queues: dict[int, list[Client]] = {}
        self._sleepers: list[Client] = []
        self._checks: list[Callable[[Host], object]] = []
        self._failure: tuple[str, BaseException] | None = None
        self._dead: list[Client] = []
        self._cut = False
        self._steps_max = 0
        self._hub: Any = None
        self._limits = _limits(self.faults)

    # Setting up

    def client(self, name: str, work: Callable[[Client], object]) -> Client:
        """Add a client. `work` is called in a simulated process, again after each of its deaths, until it returns."""
        client = Client(self, name, work, len(self._clients))
        self._clients.append(client)
        return client

    def after_power_cut(self, check: Callable[[Host], object]) -> None:
        """Call `check` with a host of its own after each power cut, before any client begins again."""
        self._checks.append(check)

    def run(self, *, steps_max: int) -> list[Any]:
        """Run until every client returned, or for `steps_max` steps and then, without faults, until each has finished.

        Returns `history`. Raises `SimulationFailed`, with the seed, when a client or a check raised, or one got stuck.
        """
        self._steps_max = steps_max
        self._hub = self._current()
        enabled = gc.isenabled()
        gc.disable()  # a collection at a random moment would close descriptors in the wrong client's turn
        try:
            for client in self._clients:
                self._start(client)
            self._turns()
        except SimulationFailed:
            print(f"simulation failed: seed {self.seed}, step {self.steps}")  # noqa: T201 - reason: to be run again
            raise
        finally:
            self._stop()
            if enabled:
                gc.enable()
        return self.history

    # What the hosts call

    def step(self, client: Client, operation: str) -> str | None:
        """One step of a client: perhaps others first, perhaps a disturbance. Returns the fault to apply, if any."""
        if self._current() is not client.greenlet:
            return None  # a finalizer, running in somebody else's turn
        self.steps += 1
        self.trace = (self.trace * 31 + client.number * 7 + len(operation)) & _TRACE_MASK
        draw = self.random.random()
        self.disk.machine.tick(1 + int(draw * 1e7) % _STEP_MICROS_MAX)
        if self.steps >= self._steps_max and not self.draining:
            self._drain()
        limit, switch = self._limits
        if draw >= switch:
            return None
        if draw >= limit:
            self._give_way(client, (draw - limit) / (switch - limit))
            return None
        return self._disturb(client, operation)

    def pause(self, client: Client, seconds: float) -> None:
        """Take a client out of the order until `seconds` have passed."""
        client.wakes_at_s = self.disk.machine.monotonic_s() + seconds
        self._sleepers.append(client)
        self._block(client)

    def wait_for_lock(self, client: Client, host: SimHost, fd: int, inode: int, *, timeout_s: float) -> bool:
        """Wait in the queue of a lock, at most `timeout_s`; after False the descriptor is closed."""
        deadline_s = self.disk.machine.monotonic_s() + timeout_s
        self.step(client, "wait_lock")
        waited = False
        while host.alive and not host.try_lock(fd):
            if self.disk.machine.monotonic_s() >= deadline_s:
                host.close(fd)
                return False
            queue = self._queues.setdefault(inode, [])
            queue.insert(0 if waited else len(queue), client)  # passed by somebody: the place is kept
            waited = True
            client.wakes_at_s = deadline_s
            self._sleepers.append(client)
            self._block(client)
            if client in queue:
                queue.remove(client)
        if not host.alive:
            raise Crashed
        return True

    def lock_freed(self, inode: int) -> None:
        """Wake the first in the queue of a lock."""
        queue = self._queues.get(inode)
        if queue:
            self._wake(queue.pop(0))

    def raise_error(self, host: SimHost, operation: str, name: str, arguments: tuple[Any, ...]) -> NoReturn:
        """Fail a call with an error that a kernel might give."""
        fail(host, operation, arguments)
        error = self.random.choice(self.errors[operation])
        raise OSError(error, f"simulated, seed {self.seed} step {self.steps}", name or None)

    def kill(self, client: Client) -> NoReturn:
        """End the process of the client whose turn it is."""
        self._dead.append(client)
        self._hub.switch()
        raise Crashed

    def take_out(self, client: Client) -> None:
        """A client has returned."""
        self._runnable.remove(client)

    def note_failure(self, client: Client, error: BaseException) -> None:
        """A client raised something that was not its death: the run is over."""
        if self._failure is None:
            self._failure = (f"client {client.name}, life {client.life}", error)

    def new_greenlet(self, run: Callable[[], object]) -> Any:
        """A greenlet below the hub."""
        return self._greenlet(run, self._hub)

    # The order of turns

    def _give_way(self, client: Client, draw: float) -> None:
        self._wake_sleepers()
        chosen = self._runnable[int(draw * len(self._runnable))]
        if chosen is not client:
            chosen.greenlet.switch()
            if not client.sim_host.alive:
                raise Crashed

    def _block(self, client: Client) -> None:
        self._runnable.remove(client)
        self._hub.switch()
        if not client.sim_host.alive:
            raise Crashed

    def _wake(self, client: Client) -> None:
        if client in self._sleepers:
            self._sleepers.remove(client)
        if client not in self._runnable and not client.finished:
            self._runnable.append(client)

    def _wake_sleepers(self) -> None:
        if not self._sleepers:
            return
        now_s = self.disk.machine.monotonic_s()
        for client in [sleeper for sleeper in self._sleepers if sleeper.wakes_at_s <= now_s]:
            self._wake(client)

    def _turns(self) -> None:
        collect_at = _COLLECT_STEPS
        while True:
            self._bury()
            if self._failure is not None:
                where, error = self._failure
                raise SimulationFailed(f"seed {self.seed}, step {self.steps}, {where}: {error!r}") from error
            self._wake_sleepers()
            if not self._runnable:
                if not self._sleepers:
                    return
                first_s = min(sleeper.wakes_at_s for sleeper in self._sleepers)
                self.disk.machine.advance(max(0.0, first_s - self.disk.machine.monotonic_s()) + _ROUNDING_S)
                self._wake_sleepers()
            if self.steps > self._steps_max + DRAIN_STEPS_MAX:
                names = [client.name for client in self._clients if not client.finished]
                raise SimulationFailed(f"seed {self.seed}, step {self.steps}: {names} did not come to an end")
            chosen = self._runnable[int(self.random.random() * len(self._runnable))]
            chosen.greenlet.switch()
            if self.steps >= collect_at:
                collect_at = self.steps + _COLLECT_STEPS
                gc.collect()

    def _drain(self) -> None:
        self.draining = True
        self._limits = _limits(Faults(switch=self.faults.switch))

    # Disturbances

    def _disturb(self, client: Client, operation: str) -> str | None:
        kind = self._chosen_disturbance()
        if (kind == "error" and operation not in self.errors) or (kind in _OF_WRITES and operation != "pwrite"):
            return None
        self.counts[kind] += 1
        if kind == "error":
            return "error"
        if kind in _OF_WRITES:
            return kind.removesuffix("_write")
        if kind == "crash":
            self.kill(client)
        if kind == "power_cut":
            self._cut = True
            self._hub.switch()
            raise Crashed
        if kind == "wall_step":
            self.disk.machine.step_wall(self.random.uniform(-_WALL_STEP_S_MAX, _WALL_STEP_S_MAX))
        else:
            self.pause(client, self.random.uniform(0, _PAUSE_S_MAX))
        return None

    def _chosen_disturbance(self) -> str:
        weights = [getattr(self.faults, kind) for kind in _DISTURBANCES]
        return self.random.choices(_DISTURBANCES, weights)[0]

    def _bury(self) -> None:
        """Carry out the deaths that were decided in a client's turn, here where no client is running."""
        if self._cut:
            self._cut = False
            self._dead.clear()
            self.disk.power_cut(self.random)
            for client in self._clients:
                self._unwind(client)
            self._queues.clear()
            for check in self._checks:
                self._look(check)
            for client in self._clients:
                self._restart(client)
            return
        while self._dead:
            client = self._dead.pop()
            self.disk.crash(client.sim_host.own.pid)
            self._unwind(client)
            for inode in list(self._queues):
                self.lock_freed(inode)
            self._restart(client)

    def _look(self, check: Callable[[Host], object]) -> None:
        host = self.disk.host()
        try:
            check(host)
        except Exception as error:  # noqa: BLE001 - reason: raised again by `run`, with the seed
            if self._failure is None:
                self._failure = ("check after a power cut", error)
        finally:
            self.disk.crash(host.own.pid)

    def _unwind(self, client: Client) -> None:
        if client.greenlet:  # true while it is started and not over
            client.greenlet.throw(Crashed())
        for queue in (self._runnable, self._sleepers, *self._queues.values()):
            while client in queue:
                queue.remove(client)

    def _restart(self, client: Client) -> None:
        if not client.finished:
            self.counts["restart"] += 1
            self._start(client)

    def _start(self, client: Client) -> None:
        client.begin()
        self._runnable.append(client)

    def _stop(self) -> None:
        """Nobody is left behind in the middle of a call."""
        for client in self._clients:
            if client.greenlet is not None:
                client.sim_host.die()
                self._unwind(client)


_DISTURBANCES: Final = ("crash", "power_cut", "error", "short_write", "torn_write", "wall_step", "pause")
_OF_WRITES: Final = frozenset(("short_write", "torn_write"))


def _limits(faults: Faults) -> tuple[float, float]:
    limit = sum(getattr(faults, kind) for kind in _DISTURBANCES)
    if not 0 <= limit + faults.switch < 1:
        raise ValueError("the probabilities of a step must be 0 to 1 and together below 1")
    return limit, limit + faults.switch
