"""The supervisor of a service, killed by SIGKILL at the point that `KILL_AT` names. A program for tests."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from sharedstate.claims.services import supervisor
from sharedstate.claims.services.book import Book
from sharedstate.claims.services.program import Waiting
from sharedstate.claims.services.watch import Watch


def die(*_: Any, **__: Any) -> Any:
    """The end."""
    os.kill(os.getpid(), signal.SIGKILL)


def after(function: Callable[..., Any], *, calls: int = 1) -> Callable[..., Any]:
    """Die after the given number of calls."""
    left = [calls]

    def wrapped(*arguments: Any, **named: Any) -> Any:
        answer = function(*arguments, **named)
        left[0] -= 1
        if not left[0]:
            die()
        return answer

    return wrapped


# In the order in which a start comes by.
POINTS: dict[str, Callable[[], None]] = {
    "before the claim": lambda: setattr(supervisor.Supervisor, "_compete", die),
    "after the claim": lambda: setattr(supervisor.Supervisor, "_compete", after(supervisor.Supervisor._compete)),
    "after the intent": lambda: setattr(Book, "change", after(Book.change)),
    "before the fork": lambda: setattr(Waiting, "__init__", die),
    "after the fork": lambda: setattr(Waiting, "__init__", after(Waiting.__init__)),
    "after the record": lambda: setattr(Book, "change", after(Book.change, calls=2)),
    "before the go-ahead": lambda: setattr(Waiting, "go", die),
    "after the go-ahead": lambda: setattr(Waiting, "go", after(Waiting.go)),
    "after the start is recorded": lambda: setattr(Book, "change", after(Book.change, calls=3)),
    "in the watch": lambda: setattr(Watch, "run", die),
}

if __name__ == "__main__":
    POINTS[os.environ.pop("KILL_AT")]()
    sys.exit(supervisor.main())
