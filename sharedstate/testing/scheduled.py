"""The clients of a simulation, and the host through which each of their file calls becomes a step of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sharedstate.testing.disk import Crashed, SimHost
from sharedstate.testing.faults import shortened
from sharedstate.testing.interposed import InterposedHost

if TYPE_CHECKING:
    from sharedstate.testing.simulation import Simulation


class Client:
    """One simulated client: `name`, the `host` of its current process, and its `life` 1, 2, 3 …, one for each death."""

    def __init__(self, simulation: Simulation, name: str, work: Callable[[Client], object], number: int) -> None:
        self.name = name
        self.life = 0
        self.number = number
        self.simulation = simulation
        self._work = work
        self.greenlet: Any = None
        self.sim_host: SimHost
        self.host: ScheduledHost
        self.finished = False
        self.wakes_at_s = 0.0

    @property
    def running(self) -> bool:
        """False when the simulation wants to end: leave the loop, finish what is begun."""
        return not self.simulation.draining

    @property
    def step(self) -> int:
        """The current step, a moment that all clients share."""
        return self.simulation.steps

    def begin(self) -> None:
        """A new process of this client."""
        self.life += 1
        self.sim_host = self.simulation.disk.host()
        self.host = ScheduledHost(self.sim_host, self)
        self.greenlet = self.simulation.new_greenlet(self._main)

    def _main(self) -> None:
        try:
            self._work(self)
        except Crashed:
            return
        except BaseException as error:  # noqa: BLE001 - reason: raised again by `run`, with the seed
            if not self.sim_host.alive:
                return  # something raised on the way out of the dying process: nobody is there to see it
            self.simulation.note_failure(self, error)
        self.finished = True
        self.simulation.take_out(self)


class ScheduledHost(InterposedHost):
    """The host of one process in a simulation: every file call is a step, and locks queue fairly."""

    def __init__(self, inner: SimHost, client: Client) -> None:
        super().__init__(inner)
        self._sim = inner
        self._client = client
        self._simulation = client.simulation

    def sleep(self, seconds: float) -> None:
        """Let others go on until the time has passed."""
        self._check_alive()
        self._simulation.pause(self._client, max(0.0, seconds))

    def wait_lock(self, fd: int, *, timeout_s: float) -> bool:
        """Queue for the lock; the first in the queue gets it when it is free, unless somebody comes by just then."""
        inode = self._sim.file_of(fd).inode.number
        return self._simulation.wait_for_lock(self._client, self._sim, fd, inode, timeout_s=timeout_s)

    def unlock(self, fd: int) -> None:
        """Release, and wake the first in the queue."""
        self._call("unlock", "", self._sim.unlock, fd)
        self._simulation.lock_freed(self._sim.file_of(fd).inode.number)

    def close(self, fd: int) -> None:
        """Close; a lock that goes with it wakes the first in the queue.

        Finalizers close too, and cannot pass a death on: who dies in a close goes on to the next call, and ends there.
        """
        if not self._sim.alive:
            return
        inode = self._sim.file_of(fd).inode
        held = inode.holder
        try:
            self._call("close", "", self._sim.close, fd)
        except Crashed:
            return
        if held is not None and inode.holder is None:
            self._simulation.lock_freed(inode.number)

    def _call(self, operation: str, name: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self._check_alive()
        fault = self._simulation.step(self._client, operation)
        if fault is None:
            return function(*arguments, **named)
        if fault == "error":
            self._simulation.raise_error(self._sim, operation, name, arguments)
        result = function(*shortened(arguments), **named)
        if fault == "torn":
            self._simulation.kill(self._client)
        return result

    def _check_alive(self) -> None:
        if not self._sim.alive:
            raise Crashed
