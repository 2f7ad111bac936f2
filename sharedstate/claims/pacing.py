"""Background renewal in the holder's process: one thread, and where possible a pacemaker process that it listens to.

The pacemaker renews; the thread passes on what it says, and renews itself what the pacemaker leaves undone. Where no
pacemaker can be (another store or machine than a new process could open, no `/proc` to see whether the holder is
stopped), the thread does it all; then a C call that keeps the interpreter lock for longer than the ttl may cost the
claim.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Final

from sharedstate import jsonio, logs
from sharedstate.claims.model import Recipe
from sharedstate.claims.orders import NAP_MS_MAX, Word, word_of_line
from sharedstate.host import Host
from sharedstate.ids import Process

if TYPE_CHECKING:
    from sharedstate.claims.hold import Hold
    from sharedstate.claims.service import Claims

STARTS_MAX: Final = 2
_END_WAIT_S: Final = 2.0
_READ_BYTES: Final = 1 << 16


class Child:
    """A running pacemaker: its pipes and how it ends. Not safe for threads; `Pacing` guards it."""

    def __init__(self, recipe: Recipe, *, parent: Process) -> None:
        # A session of its own: what the terminal sends (Ctrl-C, Ctrl-Z, hang-up) is for the holder to decide on.
        # `-P`: no module of the working directory in front of the standard library's.
        self._running = subprocess.Popen(
            [sys.executable, "-P", "-m", "sharedstate.claims.pacemaker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )
        assert self._running.stdin is not None
        assert self._running.stdout is not None
        self.pid = self._running.pid
        self.sink = self._running.stdin.fileno()
        self.source = self._running.stdout.fileno()
        self._rest = b""
        os.set_blocking(self.source, False)
        os.set_blocking(self.sink, False)
        self.say({"opener": recipe.opener, "arguments": dict(recipe.arguments), "parent": parent.fields()})

    def say(self, message: jsonio.Document) -> None:
        """Send one line. A pacemaker that cannot take it is of no use any more: it is killed, as `read` will find."""
        line = jsonio.encode_line(message)
        try:
            whole = os.write(self.sink, line) == len(line)
        except OSError:
            whole = False
        if not whole:
            self._running.kill()

    def read(self) -> tuple[list[Word], bool]:
        """The words that have arrived, and whether it has ended."""
        words: list[Word] = []
        while True:
            try:
                raw = os.read(self.source, _READ_BYTES)
            except BlockingIOError:
                return words, False
            if not raw:
                return words, True
            *lines, self._rest = (self._rest + raw).split(b"\n")
            words.extend(word for line in lines if (word := word_of_line(line)) is not None)

    def end(self) -> int:
        """Close its pipes, wait until it has ended (it does so at once), and return its exit status."""
        for pipe in (self._running.stdin, self._running.stdout):
            if pipe is not None:
                pipe.close()
        try:
            return self._running.wait(_END_WAIT_S)
        except subprocess.TimeoutExpired:
            self._running.kill()
            return self._running.wait()


class Pacing:
    """Keeps the holds of one `Claims` alive. Safe for threads; belongs to the process `pid` that made it."""

    def __init__(self, *, recipe: Recipe | None, host: Host) -> None:
        self.pid = host.pid()
        self._recipe = recipe
        self._host = host
        self._parent = host.process(self.pid) if recipe is not None and sys.executable else None
        self._starts_left = STARTS_MAX if self._parent is not None else 0
        self._guard = threading.RLock()  # re-entrant: garbage collection may call `close` at any point
        self._holds: dict[int, Hold] = {}
        self._numbers = 0
        self._child: Child | None = None
        self._thread: threading.Thread | None = None
        self._wake_source, self._wake_sink = -1, -1

    @classmethod
    def of(cls, claims: Claims) -> Pacing:
        """The pacing of `claims`; its pacemaker ends with them, or with the interpreter."""
        made = cls(recipe=claims.recipe, host=claims.host)
        weakref.finalize(claims, made.close)
        return made

    @property
    def child_pid(self) -> int | None:
        """The pid of the running pacemaker, or None where the thread does its work."""
        child = self._child
        return None if child is None else child.pid

    def add(self, hold: Hold) -> int:
        """Renew this hold from now on; returns its number here."""
        with self._guard:
            self._numbers += 1
            self._holds[self._numbers] = hold
            if self._child is None:
                self._start_child()
            else:
                self._child.say({"keep": self._numbers, "order": hold.order().fields()})
            self._start_thread()
            return self._numbers

    def drop(self, number: int) -> None:
        """Renew this hold no more."""
        with self._guard:
            self._holds.pop(number, None)
            if self._child is not None:
                self._child.say({"drop": number})
            self._nudge()

    def listen(self) -> None:
        """Pass on what the pacemaker has said so far; replace it when it has ended."""
        with self._guard:
            if self._child is None:
                return
            words, ended = self._child.read()
            # Under the guard, so that whoever comes second finds all of it heard; told only when all of it is heard.
            concerned = {word.number: hold for word in words if (hold := self._holds.get(word.number)) is not None}
            for word in words:
                if word.number in concerned:
                    concerned[word.number].hear(asked=word.asked, answer=word.answer)
            if ended:
                self._replace_child()
        for hold in concerned.values():
            hold.announce()

    def close(self) -> None:
        """End the pacemaker. Holds that are still open are renewed by the thread."""
        if os.getpid() != self.pid:
            return  # a fork inherits the object, not the duty
        with self._guard:
            child, self._child = self._child, None
            self._nudge()
        if child is not None:
            child.end()

    # Inside, under the guard

    def _start_child(self) -> None:
        if self._starts_left == 0 or self._recipe is None or self._parent is None:
            return
        try:
            self._child = Child(self._recipe, parent=self._parent)
        except OSError as error:
            self._starts_left = 0
            logs.warn("no pacemaker process, a thread renews the held claims: %s", error)
            return
        for number, hold in self._holds.items():
            self._child.say({"keep": number, "order": hold.order().fields()})

    def _replace_child(self) -> None:
        assert self._child is not None
        status = self._child.end()
        self._child = None
        self._starts_left -= 1
        then = "starting another" if self._starts_left else "a thread renews the held claims from now on"
        logs.warn("the pacemaker process has ended with status %d; %s", status, then)
        if self._holds:
            self._start_child()

    def _start_thread(self) -> None:
        if self._thread is not None:
            self._nudge()
            return
        if self._wake_sink < 0:
            self._wake_source, self._wake_sink = os.pipe()
            os.set_blocking(self._wake_source, False)
            os.set_blocking(self._wake_sink, False)
            weakref.finalize(self, _close_both, self._wake_source, self._wake_sink)
        self._thread = threading.Thread(target=self._run, name="sharedstate-pacing", daemon=True)
        self._thread.start()

    def _nudge(self) -> None:
        if self._thread is not None:
            try:
                os.write(self._wake_sink, b"!")
            except BlockingIOError:
                pass  # it has been told often enough

    # The thread

    def _run(self) -> None:
        while True:
            with self._guard:
                if not self._holds:
                    self._thread = None
                    return
                holds = list(self._holds.values())
                source = -1 if self._child is None else self._child.source
            self._wait(source, [hold.pause_ms(paced=source >= 0) for hold in holds])
            self.listen()
            for hold in holds:
                hold.tend(paced=source >= 0)

    def _wait(self, source: int, pauses_ms: list[int]) -> None:
        poller = select.poll()
        poller.register(self._wake_source, select.POLLIN)
        if source >= 0:
            poller.register(source, select.POLLIN)
        poller.poll(min(NAP_MS_MAX, *pauses_ms))
        try:
            os.read(self._wake_source, _READ_BYTES)
        except BlockingIOError:
            pass  # not woken, but time is over or the pacemaker has spoken


def _close_both(source: int, sink: int) -> None:
    os.close(source)
    os.close(sink)
