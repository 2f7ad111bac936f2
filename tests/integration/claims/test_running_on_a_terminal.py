"""`claims run` as a job on a terminal: who gets the keys, Ctrl-C, Ctrl-Z and going on."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.claims.arena import DEADLINE_S, Arena, command, wait_for

# A shell with job control, as small as it can be: one job in the foreground; it says when the job stops, waits for a
# byte on the descriptor that it is given, and continues the job in the foreground.
SHELL = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
job = os.fork()
if job == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execvp(sys.argv[2], sys.argv[2:])
while True:
    _, status = os.waitpid(job, os.WUNTRACED)
    os.tcsetpgrp(0, os.getpgrp())
    if not os.WIFSTOPPED(status):
        break
    print("[stopped]", flush=True)
    os.read(int(sys.argv[1]), 1)
    os.tcsetpgrp(0, job)
    os.killpg(job, signal.SIGCONT)
print(f"[ended {os.waitstatus_to_exitcode(status)}]", flush=True)
"""
# Says so when it is continued; a signal that ends it comes first.
RESUMED = """
import signal
signal.signal(signal.SIGCONT, lambda number, frame: print("went on", flush=True))
print("ready", flush=True)
while True: signal.pause()
"""
READER = "print('ready', flush=True)\nwhile True: print('got', input(), flush=True)"


class Screen:
    """The other end of the terminal: keys in, text out."""

    def __init__(self, fd: int, resume: int) -> None:
        self._fd = fd
        self._resume = resume
        self.text = self.seen = ""

    def press(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def resume(self) -> None:
        os.write(self._resume, b"!")

    def expect(self, pattern: str) -> None:
        """Wait until the pattern has appeared; what came before it is forgotten."""
        deadline_s = time.monotonic() + DEADLINE_S
        while (found := re.search(pattern, self.text)) is None:
            assert time.monotonic() < deadline_s, f"no {pattern!r} in {self.text!r}"
            if select.select([self._fd], [], [], 0.1)[0]:
                try:
                    text = os.read(self._fd, 4096).decode(errors="replace")
                except OSError:  # the last process on the terminal has gone
                    assert re.search(pattern, self.text), f"ended without {pattern!r}: {self.text!r}"
                    continue
                self.text += text
                self.seen += text
        self.text = self.text[found.end() :]


@contextmanager
def terminal(arena: Arena, *words: str, stdout: int | None = None) -> Generator[Screen]:
    ours, theirs = os.openpty()
    wake_source, wake_sink = os.pipe()
    started = arena.start(
        [sys.executable, "-c", SHELL, str(wake_source), *words],
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        start_new_session=True,
        pass_fds=[wake_source],
    )
    os.close(theirs)
    try:
        yield Screen(ours, wake_sink)
    finally:
        started.kill()
        started.wait()
        for pid in arena.processes():
            subprocess.run(["kill", "-KILL", str(pid)], check=False)
        for fd in (ours, wake_source, wake_sink):
            os.close(fd)


@pytest.fixture
def arena(tmp_path: Path) -> Arena:
    return Arena(tmp_path)


def test_the_program_reads_the_terminal_and_ctrl_c_abandons_the_task(arena: Arena) -> None:
    with terminal(arena, *command("run", "T", "--", sys.executable, "-c", READER)) as screen:
        screen.expect("ready")
        screen.press("hello\n")
        screen.expect("got hello")
        screen.press("\x03")
        screen.expect("KeyboardInterrupt")
        screen.expect(r"\[ended 130\]")
    assert arena.task() == ("abandoned", "interrupted, signal SIGINT")


def test_ctrl_z_stops_the_whole_job_and_it_goes_on_as_one(arena: Arena) -> None:
    with terminal(arena, *command("run", "T", "--", sys.executable, "-c", READER)) as screen:
        screen.expect("ready")
        screen.press("\x1a")
        screen.expect(r"\[stopped\]")
        screen.resume()
        screen.press("again\n")
        screen.expect("got again")
        screen.press("\x04")
        screen.expect(r"\[ended 1\]")
    assert arena.task() == ("failed", "exit 1")


def test_a_program_notices_that_its_job_went_on(arena: Arena) -> None:
    with terminal(arena, *command("run", "T", "--", sys.executable, "-c", RESUMED)) as screen:
        screen.expect("ready")
        screen.press("\x1a")
        screen.expect(r"\[stopped\]")
        screen.resume()
        screen.expect("went on")


def test_a_job_that_lost_its_task_while_stopped_does_not_go_on(arena: Arena) -> None:
    words = command("run", "--ttl", "400ms", "T", "--", sys.executable, "-c", RESUMED)
    with terminal(arena, *words) as screen, arena.open() as other:
        screen.expect("ready")
        screen.press("\x1a")
        screen.expect(r"\[stopped\]")
        wait_for(lambda: type(other.claims.claim("T")).__name__ == "Claimed", what="takeover from a stopped job")
        screen.resume()
        screen.expect("lost T: owner_mismatch")
        screen.expect(r"\[ended 4\]")
        assert "went on" not in screen.seen
    assert arena.holder() == "here/other"


def test_with_stdout_in_a_pipe_the_program_gets_the_terminal_when_it_reads(arena: Arena) -> None:
    source, sink = os.pipe()
    with (
        os.fdopen(source, encoding="utf-8") as piped,
        os.fdopen(sink, "w") as end,
        terminal(arena, *command("run", "T", "--", sys.executable, "-c", READER), stdout=end.fileno()) as screen,
    ):
        assert piped.readline() == "ready\n"
        screen.press("hello\n")
        assert piped.readline() == "got hello\n"
        screen.press("\x03")
        screen.expect("interrupted, signal SIGINT")
        assert piped.readline() == "[ended 130]\n"
