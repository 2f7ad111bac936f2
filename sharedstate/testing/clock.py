"""A machine whose time, boots, randomness and processes the test controls, and a `Host` of real files on it."""

from __future__ import annotations

import random
import threading

from sharedstate.clock import Instant
from sharedstate.host import Host
from sharedstate.ids import Process

WALL_MS_AT_START = 1_772_323_200_000  # 2026-03-01T00:00:00Z
_BOOT_US_AT_START = 1_000_000_000  # a machine that came up a quarter of an hour ago
_PID_NAMESPACE = "pid:[simulated]"
_FIRST_PID = 1001
_SIGKILL = 9


class FakeMachine:
    """Clocks, boot id, entropy and process table of one simulated machine; several hosts (processes) may share it.

    Time stands still until it is moved. Everything is a function of `seed` and of the calls made, so a test that
    makes the same calls sees the same moments, pids and bytes. Safe for threads.
    """

    def __init__(self, *, seed: int = 0, wall_ms: int = WALL_MS_AT_START) -> None:
        self._guard = threading.Lock()
        self.random = random.Random(seed)  # noqa: S311 - reason: tests must replay
        self._wall_us = wall_ms * 1000
        self._boot_us = _BOOT_US_AT_START
        self._awake_us = _BOOT_US_AT_START
        self._starts: dict[int, int] = {}
        self._stopped: set[Process] = set()
        self.deaf: set[Process] = set()
        self.signals: list[tuple[int, int]] = []
        self._next_pid = _FIRST_PID
        self._spawned = 0
        self._boots = 1

    # Time

    def now(self) -> Instant:
        """Wall and boot time, as `Host.now`."""
        return Instant(at_ms=self._wall_us // 1000, boot_ms=self._boot_us // 1000, boot_id=self.boot_id())

    def monotonic_s(self) -> float:
        """Seconds awake since boot; stands still in a suspend, as `CLOCK_MONOTONIC` does."""
        return self._awake_us / 1_000_000

    def wall_ns(self) -> int:
        """Wall time as file times have it."""
        return self._wall_us * 1000

    def tick(self, micros: int) -> None:
        """Let a few microseconds pass: `advance` for a single thread in a hurry."""
        self._wall_us += micros
        self._boot_us += micros
        self._awake_us += micros

    def boot_id(self) -> str:
        """Id of the current boot; a new one after `reboot`."""
        return f"00000000-0000-4000-8000-{self._boots:012d}"

    def advance(self, seconds: float) -> None:
        """Let `seconds` (>= 0) pass while awake: every clock moves."""
        self._move(seconds, awake=True)

    def suspend(self, seconds: float) -> None:
        """Sleep through `seconds` (>= 0) with the lid closed: wall and boot time move, `monotonic_s` does not."""
        self._move(seconds, awake=False)

    def step_wall(self, seconds: float) -> None:
        """Step the wall clock alone, forwards or backwards, as a person or NTP does."""
        with self._guard:
            self._wall_us += round(seconds * 1_000_000)

    def reboot(self) -> None:
        """Start a new boot: new boot id, boot time near zero, every process gone. Wall time goes on."""
        with self._guard:
            self._boots += 1
            self._boot_us = self._awake_us = 1_000_000
            self._starts.clear()

    def _move(self, seconds: float, *, awake: bool) -> None:
        if seconds < 0:
            raise ValueError(f"time does not run backwards: {seconds} s; use step_wall for the wall clock")
        with self._guard:
            micros = round(seconds * 1_000_000)
            self._wall_us += micros
            self._boot_us += micros
            self._awake_us += micros if awake else 0

    # Randomness

    def entropy(self, count: int) -> bytes:
        """`count` bytes that depend on the seed and on how many were asked before."""
        with self._guard:
            return self.random.randbytes(count)

    # Processes

    def spawn(self, *, pid: int | None = None) -> Process:
        """A new running process, with the given pid (which must be free) or the next one. No two start alike."""
        with self._guard:
            if pid is None:
                pid = self._next_pid
            if pid in self._starts:
                raise ValueError(f"pid {pid} is running")
            self._next_pid = max(self._next_pid, pid + 1)
            self._spawned += 1
            self._starts[pid] = self._boot_us // 10_000 + self._spawned
        return self._identity(pid)

    def kill(self, process: Process | int) -> None:
        """End a process, given by identity or pid. Ending one that is gone does nothing."""
        pid = process if isinstance(process, int) else process.pid
        with self._guard:
            if isinstance(process, int) or self._starts.get(pid) == process.start:
                self._starts.pop(pid, None)

    def process(self, pid: int) -> Process | None:
        """Identity of a running process, as `Host.process`."""
        return self._identity(pid) if pid in self._starts else None

    def is_dead(self, process: Process) -> bool:
        """Whether the death is proved, by the rules of `Host.is_dead`: another boot or namespace proves nothing."""
        if process.boot_id != self.boot_id() or process.pid_ns != _PID_NAMESPACE:
            return False
        return self._starts.get(process.pid) != process.start

    def stop(self, process: Process) -> None:
        """Stop a process, as SIGSTOP does, until `go_on`."""
        self._stopped.add(process)

    def go_on(self, process: Process) -> None:
        """Let a stopped process run again, as SIGCONT does."""
        self._stopped.discard(process)

    def is_stopped(self, process: Process) -> bool:
        """Whether a process is stopped, as `Host.is_stopped`."""
        return process in self._stopped and not self.is_dead(process)

    def send_signal(self, process: Process, number: int) -> bool:
        """As `Host.send_signal`; whoever gets one ends, unless it is `deaf` and the signal can be ignored.

        What was sent stands in `signals`.
        """
        if process.boot_id != self.boot_id() or process.pid_ns != _PID_NAMESPACE or self.is_dead(process):
            return False
        self.signals.append((process.pid, number))
        if number == _SIGKILL or (number and process not in self.deaf):
            self.kill(process)
        return True

    def _identity(self, pid: int) -> Process:
        return Process(pid=pid, start=self._starts[pid], boot_id=self.boot_id(), pid_ns=_PID_NAMESPACE)


class MachineHost(Host):
    """A `Host` whose clock, randomness and processes are those of a `FakeMachine`; file calls stay as inherited.

    `sleep` advances the machine's time instead of waiting. `host.own` identifies the process this host stands for.
    """

    def __init__(self, machine: FakeMachine, *, pid: int | None = None) -> None:
        super().__init__()
        self.machine = machine
        self.own = machine.spawn(pid=pid)

    def now(self) -> Instant:
        """Wall and boot time of the machine."""
        return self.machine.now()

    def monotonic_s(self) -> float:
        """Seconds the machine was awake."""
        return self.machine.monotonic_s()

    def boot_id(self) -> str:
        """The machine's boot id."""
        return self.machine.boot_id()

    def sleep(self, seconds: float) -> None:
        """Advance the machine's time at once."""
        self.machine.advance(max(0.0, seconds))

    def entropy(self, count: int) -> bytes:
        """Bytes from the machine's seeded source."""
        return self.machine.entropy(count)

    def pid(self) -> int:
        """Pid of the simulated process."""
        return self.own.pid

    def process(self, pid: int) -> Process | None:
        """Identity of a simulated process."""
        return self.machine.process(pid)

    def is_dead(self, process: Process) -> bool:
        """Whether the death of a simulated process is proved."""
        return self.machine.is_dead(process)

    def is_stopped(self, process: Process) -> bool:
        """Whether a simulated process is stopped now."""
        return self.machine.is_stopped(process)

    def send_signal(self, process: Process, number: int) -> bool:
        """Send a signal to a simulated process."""
        return self.machine.send_signal(process, number)

    def family(self, pid: int) -> tuple[Process, ...]:
        """Simulated processes have no children."""
        found = self.machine.process(pid)
        return () if found is None else (found,)


class FakeHost(MachineHost):
    """Real files, fake everything else: the host for tests that need a disk but must not wait.

    Time stands still until `advance`, `suspend`, `step_wall` or `sleep` moves it. Give `machine` to let several hosts
    (several simulated processes) share clock and process table; without it the host gets its own, made from `seed`.
    Waiting for a kernel lock takes real time, because the lock is real.
    """

    def __init__(self, *, seed: int = 0, machine: FakeMachine | None = None, pid: int | None = None) -> None:
        super().__init__(machine or FakeMachine(seed=seed), pid=pid)

    def advance(self, seconds: float) -> None:
        """Let time pass on every clock."""
        self.machine.advance(seconds)

    def step_wall(self, seconds: float) -> None:
        """Step the wall clock alone, either way."""
        self.machine.step_wall(seconds)

    def suspend(self, seconds: float) -> None:
        """Let time pass as in a suspend: `monotonic_s` stands still."""
        self.machine.suspend(seconds)

    def reboot(self) -> None:
        """New boot id, every other process gone; this host comes back as a new process with its old pid."""
        self.machine.reboot()
        self.own = self.machine.spawn(pid=self.own.pid)

    def spawn(self, *, pid: int | None = None) -> Process:
        """Another running process on the same machine, for example an owner that shall die later."""
        return self.machine.spawn(pid=pid)

    def kill(self, process: Process | int) -> None:
        """End a process; from now on its death can be proved."""
        self.machine.kill(process)

    def fork(self) -> Process:
        """Become another process, as the child after a fork does: `pid()` changes under the objects already made."""
        self.own = self.machine.spawn()
        return self.own
