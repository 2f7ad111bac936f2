"""The command transport: a program gets the envelope on its standard input, its exit code says what became of it."""

from __future__ import annotations

import os
import selectors
import shlex
import signal
import subprocess
from collections.abc import Sequence
from typing import Final

from sharedstate import jsonio
from sharedstate.errors import BadSettings
from sharedstate.host import Host
from sharedstate.messages.model import Answer, Deferred, Delivered, Envelope, Rejected
from sharedstate.messages.wire import document_of
from sharedstate.settings import Settings

SCHEME: Final = "command"
# Of sysexits.h: try again (75), the service is unavailable (69), an error of the system's or of input and output.
_LATER: Final = frozenset((69, 71, 74, 75))
_CANNOT_RUN: Final = frozenset((126, 127))
_REASON_BYTES_MAX: Final = 400
_PIECE_BYTES: Final = 65_536
_LOOK_S: Final = 0.05  # whether it has ended, while something in the background keeps its standard error open
_LAST_LOOKS: Final = 16


class CommandTransport:
    """Runs `argv` for each message, without a shell, the envelope as one JSON object on its standard input.

    Exit code 0: delivered. 69, 71, 74, 75, a signal, 126, 127 (it cannot run) or no end in time: deferred. Any other
    code: refused for good. The last 400 bytes of its standard error are the reason. The program must be idempotent by
    `message_id`: after a time-out or a crash it gets the same message again. It has a process group of its own, which
    is killed at the deadline; what it leaves in the background when it ends by itself lives on. Safe for threads.
    """

    def __init__(self, argv: Sequence[str], *, host: Host | None = None) -> None:
        if not argv or not argv[0]:
            raise BadSettings("a command endpoint names a program: command:PROGRAM [ARGUMENT …]")
        self._argv = tuple(argv)
        self._host = Host() if host is None else host

    @classmethod
    def from_url(cls, url: str, *, settings: Settings, host: Host) -> CommandTransport:
        """The transport of `command:PROGRAM ARGUMENT …`, split into words as a shell would. Raises `BadSettings`."""
        del settings
        try:
            return cls(shlex.split(url.partition(":")[2]), host=host)
        except ValueError as error:
            raise BadSettings(f"a command endpoint cannot be split into words: {error}") from None

    @property
    def name(self) -> str:
        """`command:` and the name of the program; arguments may hold secrets."""
        return f"{SCHEME}:{os.path.basename(self._argv[0])}"

    def deliver(self, envelope: Envelope, *, timeout_s: float) -> Answer:
        """Run it once, for at most `timeout_s` seconds."""
        raw = jsonio.encode_line(document_of(envelope))
        try:
            child = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
                bufsize=0,
            )
        except (OSError, ValueError) as error:
            return Deferred(via=self.name, reason=f"it cannot be run: {_told(error)}")
        complaint = _spoken_with(child, raw, timeout_s=timeout_s, host=self._host)
        if complaint is None:
            return Deferred(via=self.name, reason=f"it did not end within {timeout_s:.1f} s")
        return self._understood(child.returncode, complaint)

    def close(self) -> None:
        """Nothing is kept."""

    def _understood(self, code: int, complaint: bytes) -> Answer:
        if code == 0:
            return Delivered(via=self.name)
        words = complaint.decode(errors="replace").strip()
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        reason = f"{reason}: {words}" if words else reason
        if code < 0 or code in _LATER or code in _CANNOT_RUN:
            return Deferred(via=self.name, reason=reason)
        return Rejected(via=self.name, reason=reason, status=code)


def _spoken_with(child: subprocess.Popen[bytes], raw: bytes, *, timeout_s: float, host: Host) -> bytes | None:
    """Give it the message and wait for its end: its last words, or None when it had to be killed.

    Not `communicate`: that keeps all that a program writes, and waits for what it has left in the background, too.
    """
    assert child.stdin is not None
    assert child.stderr is not None
    ends_s, words = host.monotonic_s() + timeout_s, bytearray()
    try:
        with selectors.DefaultSelector() as pipes:
            for pipe, event in ((child.stdin, selectors.EVENT_WRITE), (child.stderr, selectors.EVENT_READ)):
                os.set_blocking(pipe.fileno(), False)
                pipes.register(pipe, event)
            left = memoryview(raw)
            while pipes.get_map() and child.poll() is None and host.monotonic_s() < ends_s:
                for key, _ in pipes.select(_LOOK_S):
                    left = _told_more(key.fd, left) if key.fileobj is child.stdin else left
                    over = not left if key.fileobj is child.stdin else not _heard(key.fd, words)
                    if over:
                        pipes.unregister(key.fileobj)
                if not left and not child.stdin.closed:
                    child.stdin.close()  # so that it sees the end
        child.wait(max(0.0, ends_s - host.monotonic_s()))
        for _ in range(_LAST_LOOKS):
            if not _heard(child.stderr.fileno(), words):
                break
    except subprocess.TimeoutExpired:
        return None
    finally:
        if child.returncode is None:
            _kill(child)
        child.stdin.close()
        child.stderr.close()
    return bytes(words)


def _told_more(fd: int, left: memoryview) -> memoryview:
    """What is left of the message after the program took a piece; it need not take all of it."""
    try:
        return left[os.write(fd, left) :]
    except BlockingIOError:
        return left
    except BrokenPipeError:
        return left[:0]


def _heard(fd: int, words: bytearray) -> bool:
    """Keep the last of what it says; False when it has closed its standard error."""
    try:
        piece = os.read(fd, _PIECE_BYTES)
    except BlockingIOError:
        return True
    words += piece
    del words[:-_REASON_BYTES_MAX]
    return bool(piece)


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the whole group."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def _told(error: Exception) -> str:
    return (
        error.strerror or type(error).__name__ if isinstance(error, OSError) else "its name or an argument is no text"
    )
