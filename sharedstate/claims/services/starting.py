"""Starting a supervisor and hearing what became of the wish."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from typing import Final

from sharedstate.claims.services.wishes import LINE_BYTES_MAX, Wish, Word, wish_line, word_of
from sharedstate.errors import Corrupt, InvalidInput, StoreUnavailable
from sharedstate.host import Host

ANSWER_S_MAX: Final = 60.0
# `-P`: no module of the working directory in front of the standard library's.
PROGRAM: Final = (sys.executable, "-P", "-m", "sharedstate.claims.services.supervisor")


def supervised(wish: Wish, *, host: Host) -> Word:
    """Have a new supervisor fulfil the wish, and wait for its word, at most a minute.

    It is nobody's child: neither the end of this process nor its terminal concerns it. Raises `StoreUnavailable` when
    it has failed or says nothing: `status` tells what became of the service.
    """
    line = wish_line(wish)
    if len(line) > LINE_BYTES_MAX:
        raise InvalidInput(f"the command has more than {LINE_BYTES_MAX} bytes")
    with subprocess.Popen(
        PROGRAM,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        bufsize=0,
        start_new_session=True,
    ) as first:
        assert first.stdin is not None
        assert first.stdout is not None
        try:
            first.stdin.write(line)
            first.stdin.close()
        except BrokenPipeError:
            pass  # it could not even begin; it has said nothing
        raw = _heard(first.stdout.fileno(), host=host)
    if not raw.endswith(b"\n"):
        raise StoreUnavailable(
            f"the supervisor of service {wish.name!r} gave no answer", hint=f"see `claims service status {wish.name}`"
        )
    try:
        word = word_of(raw)
    except (Corrupt, TypeError) as error:
        raise StoreUnavailable(f"the supervisor of service {wish.name!r} is not understood: {error}") from error
    if word.outcome == "fault":
        raise StoreUnavailable(f"service {wish.name!r}: {word.code}: {word.detail}")
    return word


def _heard(source: int, *, host: Host) -> bytes:
    deadline_s = host.monotonic_s() + ANSWER_S_MAX
    raw = b""
    poller = select.poll()
    poller.register(source, select.POLLIN)
    while not raw.endswith(b"\n") and (left_s := deadline_s - host.monotonic_s()) > 0:
        if poller.poll(left_s * 1000):
            more = os.read(source, 1 << 16)
            if not more:
                break
            raw += more
    return raw
