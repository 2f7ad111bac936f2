"""What shell completion offers for a parameter: choices, or task ids from the live list."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import Any

from sharedstate.errors import SharedStateError
from sharedstate_cli.table import Param

IDS_MAX = 500
# Shells paste an offered word into the command line as it is, so an id that one of them could read as anything else
# than a plain word is not offered at all. A colon splits words in bash.
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@+,=-]*", re.ASCII)


def for_param(param: Param) -> Callable[[str], list[str]] | None:
    """A function from the unfinished word to the words offered; None leaves it to the shell (files)."""
    if param.choices:
        return lambda incomplete: [choice for choice in param.choices if choice.startswith(incomplete)]
    if param.ids in ("live", "all"):
        return lambda incomplete: task_ids(incomplete, every=param.ids == "all")
    return None


def task_ids(incomplete: str, *, every: bool) -> list[str]:
    """Ids of live claims that begin so, with `every` those of other tasks too; at most 500.

    Nothing when the state cannot be read: completion never complains.
    """
    from sharedstate.connect import SharedState

    try:
        with SharedState.open(_root_on_the_line()) as state:
            found = _matching(state.tasks.list(status="claimed"), incomplete)
            if every and len(found) < IDS_MAX:
                found += [task for task in _matching(state.tasks.list(), incomplete) if task not in found]
    except (SharedStateError, OSError):
        return []
    return sorted(found)[:IDS_MAX]


def _matching(views: Any, incomplete: str) -> list[str]:
    found: list[str] = []
    for view in views:
        state = getattr(view, "state", None)
        if state is not None and state.task.startswith(incomplete) and _PLAIN_WORD.fullmatch(state.task):
            found.append(state.task)
            if len(found) >= IDS_MAX:
                break
    return found


def _root_on_the_line() -> str | None:
    """`--dir PATH` of the unfinished command line, as the shell tells it."""
    words = (os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or " ".join(sys.argv)).split()
    for index, word in enumerate(words[:-1]):
        if word == "--dir":
            return words[index + 1]
    return next((word.partition("=")[2] for word in words if word.startswith("--dir=")), None)
