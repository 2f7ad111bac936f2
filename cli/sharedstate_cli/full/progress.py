"""A sign of life on a terminal for work that takes longer than half a second."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TextIO, TypeVar

from sharedstate_cli.report import visible

T = TypeVar("T")
QUIET_S = 0.5
MOVING_S = 0.2


def busy(work: Callable[[], T], *, label: str | Callable[[], str], stream: TextIO, quiet_s: float = QUIET_S) -> T:
    """The result of `work`, done in this thread; after `quiet_s` another draws a moving bar, gone at the end.

    A label that is a function is asked again and again.
    """
    done = threading.Event()
    watcher = threading.Thread(target=_draw, args=(done, label, stream, quiet_s), daemon=True)
    watcher.start()
    try:
        return work()
    finally:
        done.set()
        watcher.join()


def _draw(done: threading.Event, label: str | Callable[[], str], stream: TextIO, quiet_s: float) -> None:
    if done.wait(quiet_s):
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        if isinstance(label, str):
            progress.add_task(visible(label), total=None)
            done.wait()
            return
        task = progress.add_task(visible(label()), total=None)
        while not done.wait(MOVING_S):
            progress.update(task, description=visible(label()))
