"""The command transport: a program gets the envelope on its standard input, its exit code says what became of it."""

from __future__ import annotations

import os
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


class CommandTransport:
    """Runs `argv` for each message, without a shell, the envelope as one JSON object on its standard input.

    Exit code 0: delivered. 69, 71, 74, 75, a signal, 126, 127 (it cannot run) or no end in time: deferred. Any other
    code: refused for good. The last 400 bytes of its standard error are the reason. The program must be idempotent by
    `message_id`: after a time-out or a crash it gets the same message again. It has a process group of its own, which
    is killed at the deadline. Safe for threads.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        if not argv or not argv[0]:
            raise BadSettings("a command endpoint names a program: command:PROGRAM [ARGUMENT …]")
        self._argv = tuple(argv)

    @classmethod
    def from_url(cls, url: str, *, settings: Settings, host: Host) -> CommandTransport:
        """The transport of `command:PROGRAM ARGUMENT …`, split into words as a shell would. Raises `BadSettings`."""
        del settings, host
        try:
            return cls(shlex.split(url.partition(":")[2]))
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
            )
        except (OSError, ValueError) as error:
            return Deferred(via=self.name, reason=f"it cannot be run: {_told(error)}")
        try:
            _, complaint = child.communicate(raw, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _kill(child)
            return Deferred(via=self.name, reason=f"it did not end within {timeout_s:.1f} s")
        return self._understood(child.returncode, complaint)

    def close(self) -> None:
        """Nothing is kept."""

    def _understood(self, code: int, complaint: bytes) -> Answer:
        if code == 0:
            return Delivered(via=self.name)
        words = complaint[-_REASON_BYTES_MAX:].decode(errors="replace").strip()
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        reason = f"{reason}: {words}" if words else reason
        if code < 0 or code in _LATER or code in _CANNOT_RUN:
            return Deferred(via=self.name, reason=reason)
        return Rejected(via=self.name, reason=reason, status=code)


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the whole group; what has left it may still hold the pipes, so they are closed, not read to their end."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()
    for stream in (child.stdin, child.stderr):
        if stream is not None:
            stream.close()


def _told(error: Exception) -> str:
    return (
        error.strerror or type(error).__name__ if isinstance(error, OSError) else "its name or an argument is no text"
    )
