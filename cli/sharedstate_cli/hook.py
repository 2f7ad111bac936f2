"""`claims unread AGENT --hook`: what a shell or an agent runs at its start. It never fails, and never hangs its caller.

The look itself is a child's work; the parent waits for it at most 1.5 s. So it makes no difference where the child is
stuck: at a lock, on a dead network, at a disk that does not answer and from which no signal wakes. The child has no
descriptor of the caller's, or a pipe of the caller's would stay open as long as it is stuck.

The parent loads nothing but this module, and forks before the command is loaded: what it has loaded the child would
have to copy, page by page. So nothing of ours, nor `typing`, is imported here before the fork.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from sharedstate_cli.session import Console

CHILD_S: Final = 1.5
PRINTING_S: Final = 0.3  # for an output that nobody empties; what came before is the start of the interpreter
SIG_DFL: Final = 0
REASON_CHARACTERS_MAX: Final = 300
WHOLE: Final = b"\0"  # ends an answer that is complete
SIGKILL: Final = 9
DESCRIPTORS_MAX: Final = 65_536
_PIECE: Final = 65_536


def is_asked(words: Sequence[str]) -> bool:
    """Whether this command line is the hook form of `unread`."""
    own = words[: words.index("--")] if "--" in words else words
    if "--hook" not in own or "--help" in own or "-h" in own:
        return False
    if own[0] == "unread":
        return True
    from sharedstate_cli.hot import Usage, in_order

    try:
        return in_order(own)[0] == "unread"
    except Usage:
        return False


def guarded(words: list[str]) -> None:
    """Run the hook form as the whole life of this process, and print what is to be said. Returns in any case."""
    __import__("gc").disable()
    _alarm(CHILD_S + PRINTING_S, _leave)
    try:
        answer = _of_child(words)
    except OSError as error:
        answer = degraded(words, f"no process to look with: {error.strerror}").encode()
    except _Late:  # it struck a moment after the answer
        answer = degraded(words, f"no answer within {CHILD_S} s").encode()
    except KeyboardInterrupt:
        return
    view = memoryview(answer)
    try:
        while view:
            view = view[os.write(1, view) :]
    except OSError:
        pass  # nobody reads it, or the disk is full: no reason to fail a shell


def answered(words: list[str], run: Callable[[list[str], Console], int], console: Console) -> str:
    """What the hook form prints, from `run` in this process: its output, or that it is unknown, and why."""
    from io import StringIO

    out, err = StringIO(), StringIO()
    code = run(words, console.replace(stdin=None, stdout=out, stderr=err))
    if code == 0:
        return out.getvalue()
    reason = err.getvalue().partition("\n")[0].removeprefix("claims: ")
    return out.getvalue() if "--json" in words else degraded(words, reason or f"exit code {code}")


def degraded(words: Sequence[str], reason: str) -> str:
    """The one line that says that nothing is known."""
    from sharedstate_cli.report import json_line, visible

    told = visible(reason)[:REASON_CHARACTERS_MAX]
    if "--json" in words:
        return json_line({"ok": False, "reason": "unknown", "detail": told, "retryable": True, "count": None}) + "\n"
    return f"unread: unknown ({told})\n"


def _of_child(words: list[str]) -> bytes:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _look(words, writer)
    os.close(writer)
    try:
        raw, ended = _read(reader)
    finally:
        os.close(reader)
        os.kill(child, SIGKILL)  # it may be stuck; ours, and not waited for, so the number is no other's
    if ended:
        os.waitpid(child, 0)  # its end is near; should it not come, the alarm does
    if raw.endswith(WHOLE):
        return raw.removesuffix(WHOLE)
    why = "the look ended without an answer" if ended else f"no answer within {CHILD_S} s: a lock, a disk, a network"
    return degraded(words, why).encode()


def _look(words: list[str], writer: int) -> None:
    """The child's life: answer into the pipe, and be gone."""
    try:
        _alarm(CHILD_S + PRINTING_S, SIG_DFL)  # when the parent was killed it ends by itself, if a signal can reach it
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        os.closerange(3, writer)
        os.closerange(writer + 1, DESCRIPTORS_MAX)
        from sharedstate_cli.main import plain
        from sharedstate_cli.session import Console

        text = answered(words, plain, Console(stdin=None, stdout=None, stderr=None))
        view = memoryview(text.encode("utf-8", "backslashreplace") + WHOLE)
        while view:
            view = view[os.write(writer, view) :]
    finally:
        os._exit(0)


def _read(reader: int) -> tuple[bytes, bool]:
    """What comes before the time is over, and whether the other side has ended."""
    raw = bytearray()
    _alarm(CHILD_S, _give_up)
    try:
        while piece := os.read(reader, _PIECE):
            raw += piece
        return bytes(raw), True
    except _Late:
        return bytes(raw), False
    finally:
        _alarm(PRINTING_S, _leave)


class _Late(Exception):
    """The time of the look is over."""


def _give_up(*_: object) -> None:
    raise _Late


def _leave(*_: object) -> None:
    os._exit(0)


def _alarm(after_s: float, then: Callable[..., None] | int) -> None:
    """One alarm at a time. `_signal` because `signal` takes 0.5 ms to give names to numbers; `select` costs as much."""
    signals = __import__("_signal")
    signals.signal(signals.SIGALRM, then)
    signals.pthread_sigmask(signals.SIG_UNBLOCK, (signals.SIGALRM,))  # whoever started us may have blocked it
    signals.setitimer(signals.ITIMER_REAL, after_s)
