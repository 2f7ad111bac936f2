"""A network in between: a proxy in a process of its own that passes each piece on a little later."""

from __future__ import annotations

import multiprocessing
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from sharedstate.testing.proxy import FaultProxy

EACH_WAY_S = 0.000_15  # with the proxy itself, which takes its time, a round trip is about half a millisecond
_PATIENCE_S = 20.0


@contextmanager
def slow_way(port: int) -> Generator[int]:
    """The port of a slower way to `port` of this machine."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    child = context.Process(target=_pass_on, args=(port, theirs), daemon=True)
    child.start()
    try:
        if not mine.poll(_PATIENCE_S):
            raise RuntimeError("the slow way does not begin")
        yield int(mine.recv())
    finally:
        mine.close()
        child.join(_PATIENCE_S)


def _pass_on(port: int, pipe: Connection) -> None:
    with FaultProxy(("127.0.0.1", port), default="slow", pause_s=EACH_WAY_S) as proxy:
        pipe.send(proxy.port)
        try:
            pipe.recv()
        except EOFError:
            return
