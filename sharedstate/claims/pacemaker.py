"""`python -m sharedstate.claims.pacemaker`: the small process that renews the holds of its parent.

Why a process: a C call that keeps the interpreter lock for longer than the ttl would starve any thread. It renews
only for a parent that lives and runs: it ends as soon as the parent does, and renews nothing while the parent is
stopped, so that neither a dead nor a stopped holder is kept alive. A parent that hangs while running is kept: give
the work itself a deadline.

It speaks JSON lines (see `orders`): settings and claims come in on stdin, what each renewal said goes out on stdout.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from importlib import import_module
from typing import Any, Final

from sharedstate import jsonio
from sharedstate.claims.orders import NAP_MS_MAX, Order, Word, line_of_word, renewed
from sharedstate.claims.service import Claims
from sharedstate.host import Host
from sharedstate.ids import Process
from sharedstate.tasks.outcomes import Lost

_POSTPONED_MS_MIN: Final = 20
_READ_BYTES: Final = 1 << 16
# Sent to whole groups and sessions at their end. The parent decides what they mean; here the end of stdin counts.
_LEFT_TO_THE_PARENT: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGTSTP")


class Pacemaker:
    """The orders of one parent and when each is due. Pure bookkeeping but for the renewals themselves."""

    def __init__(self, claims: Claims, *, parent: Process) -> None:
        self._claims = claims
        self._host = claims.host
        self._parent = parent
        self._orders: dict[int, Order] = {}

    def obey(self, message: dict[str, Any]) -> None:
        """Take an order up (`keep`, with `order`) or give it up (`drop`)."""
        if "drop" in message:
            self._orders.pop(message["drop"], None)
        else:
            self._orders[message["keep"]] = Order(**message["order"])

    def wait_ms(self) -> int:
        """How long until the next order is due, 0 to 5,000 ms."""
        now_ms = self._host.now().boot_ms
        return min([NAP_MS_MAX, *(max(0, order.due_ms - now_ms) for order in self._orders.values())])

    def beat(self) -> list[Word]:
        """Renew what is due, unless the parent is stopped or dead; what is lost is given up."""
        words: list[Word] = []
        for number, order in list(self._orders.items()):
            asked = self._host.now()
            if order.due_ms > asked.boot_ms:
                continue
            if self._host.is_dead(self._parent):
                break
            if self._host.is_stopped(self._parent):
                pause_ms = max(_POSTPONED_MS_MIN, order.interval_ms // 10)
                self._orders[number] = order.replace(due_ms=asked.boot_ms + pause_ms)
                continue
            answer = renewed(self._claims, order)
            words.append(Word(number=number, asked=asked, answer=answer))
            if isinstance(answer, Lost):
                del self._orders[number]
            else:
                self._orders[number] = order.replace(due_ms=asked.boot_ms + order.interval_ms)
        return words


class Wire:
    """Lines in and out. A parent that does not read stops nothing: of each hold the latest word waits."""

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._rest = b""
        self._unsent: dict[int, bytes] = {}
        os.set_blocking(sink, False)

    def read(self) -> list[bytes] | None:
        """The whole lines that have arrived; None at the end."""
        raw = os.read(self._source, _READ_BYTES)
        if not raw:
            return None
        *lines, self._rest = (self._rest + raw).split(b"\n")
        return lines

    def send(self, words: list[Word]) -> None:
        """Write the words, and what did not go out before. Raises `BrokenPipeError` when nobody is left to read."""
        for word in words:
            self._unsent.pop(word.number, None)
            self._unsent[word.number] = line_of_word(word)
        for number, line in list(self._unsent.items()):
            try:
                os.write(self._sink, line)
            except BlockingIOError:
                return
            del self._unsent[number]


def main() -> int:
    """Serve the parent until it ends."""
    for name in _LEFT_TO_THE_PARENT:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    wire = Wire(sys.stdin.fileno(), sys.stdout.fileno())
    first: list[bytes] | None = []
    while not first:
        first = wire.read()
        if first is None:
            return 0
    hello = jsonio.decode(first[0], what="first line")
    module, _, name = hello["opener"].partition(":")
    claims: Claims = getattr(import_module(module), name)(**hello["arguments"])
    os.chdir("/")  # not to keep a file system busy that somebody wants to unmount
    parent = Process(**hello["parent"])
    pacemaker = Pacemaker(claims, parent=parent)
    for line in first[1:]:
        pacemaker.obey(jsonio.decode(line, what="order"))
    try:
        serve(pacemaker, wire, parent=parent, host=claims.host)
    except BrokenPipeError:
        pass  # the parent is gone
    return 0


def serve(pacemaker: Pacemaker, wire: Wire, *, parent: Process, host: Host) -> None:
    """Renew and listen until stdin ends or the parent does.

    Both are watched, because a child that the parent forked may hold the other end of stdin open.
    """
    poller = select.poll()
    poller.register(sys.stdin.fileno(), select.POLLIN)
    if hasattr(os, "pidfd_open"):
        try:
            poller.register(os.pidfd_open(parent.pid), select.POLLIN)
        except OSError:
            pass  # gone already, or an old kernel: every round looks whether the parent lives
    while not host.is_dead(parent):
        ready = {fd for fd, _ in poller.poll(pacemaker.wait_ms())}
        if sys.stdin.fileno() in ready:
            lines = wire.read()
            if lines is None:
                return
            for line in lines:
                pacemaker.obey(jsonio.decode(line, what="order"))
        wire.send(pacemaker.beat())


if __name__ == "__main__":
    sys.exit(main())
