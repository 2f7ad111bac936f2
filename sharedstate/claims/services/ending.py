"""Ending a program and all that it has started: SIGTERM, a grace period, SIGKILL, until nobody is left.

Every signal goes to one process by its identity (pid, start, boot, namespace), never to a number: neither to a pid nor
to a process group, which another program may have by now.
"""

from __future__ import annotations

import signal
from collections.abc import Iterable
from typing import Final

from sharedstate.host import Host
from sharedstate.ids import Process

NAP_S: Final = 0.02
_KILL_AGAIN_MS: Final = 200


class Ending:
    """The end of one program. `tick` is called again and again until it says that nobody is left.

    `parent` names a process whose descendants are all to end, and which does not reap the program before: a supervisor
    that inherits orphans. `grouped`: the program has a session of its own; without one only it itself is ended.
    """

    def __init__(self, leader: Process, *, host: Host, grace_ms: int, grouped: bool, parent: int | None = None) -> None:
        self._leader = leader
        self._host = host
        self._grouped = grouped
        self._parent = parent
        self._known: dict[Process, bool] = {leader: False}  # whether it has had its SIGTERM
        self._kill_at_ms = host.now().boot_ms + grace_ms
        self.killed = False

    def tick(self) -> bool:
        """Send what is due; True when nobody is left."""
        left = self.left()
        if not left:
            return True
        now_ms = self._host.now().boot_ms
        if now_ms >= self._kill_at_ms:
            self.killed = True
            self._kill_at_ms = now_ms + _KILL_AGAIN_MS
            self._send(left, signal.SIGKILL)
        else:
            fresh = [process for process in left if not self._known[process]]
            self._send(fresh, signal.SIGTERM)
            self._send(fresh, signal.SIGCONT)  # a stopped one would not even hear it
            self._known.update(dict.fromkeys(fresh, True))
        return False

    def left(self) -> list[Process]:
        """Who is still there."""
        if self._grouped:
            self._survey()
        return [process for process in self._known if not self._host.is_dead(process)]

    def _survey(self) -> None:
        """Find those who belong to it. The number of a session cannot be reused while a member of it is there."""
        found = self._host.family(self._leader.pid)
        if self._parent is None and all(self._host.is_dead(process) for process in self._known):
            found = ()  # nobody we know has kept the number from being another's
        if self._parent is not None:
            found = (*found, *self._host.family(self._parent))
        for process in found:
            if process.pid != self._parent:
                self._known.setdefault(process, False)

    def _send(self, processes: Iterable[Process], number: int) -> None:
        for process in processes:
            try:
                self._host.send_signal(process, number)
            except PermissionError:
                pass  # it has changed its user; that it stays will be told


def end(ending: Ending, *, host: Host, time_max_ms: int) -> bool:
    """Drive an ending to its end, at most for `time_max_ms`; False when somebody is still there (in the kernel)."""
    deadline_ms = host.now().boot_ms + time_max_ms
    while not ending.tick():
        if host.now().boot_ms >= deadline_ms:
            return False
        host.sleep(NAP_S)
    return True
