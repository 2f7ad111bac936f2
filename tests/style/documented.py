"""Rules on what must be written down for users: settings, events, commands."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterable, Iterator

from tests.style.source import ROOT, Source

_SETTING = re.compile(r"(?:SHARED_STATE|TASK_CLAIM)_[A-Z0-9]+(?:_[A-Z0-9]+)*")


def settings_in(source: Source) -> Iterator[str]:
    """Names of environment settings that occur as whole strings in the code of the packages."""
    if not source.in_package:
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _SETTING.fullmatch(node.value):
            yield node.value


def unnamed(names: Iterable[str], text: str) -> list[str]:
    """Which of the names do not occur in the text as whole words."""
    return sorted(name for name in set(names) if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text))


def declared(path: str, module: str, table: str) -> tuple[object, ...] | None:
    """The entries of a table in a module of ours, or None as long as the file at `path` does not exist.

    Only a missing file makes a check sleep: a module that fails to import, or has lost its table, fails the check.
    """
    if not (ROOT / path).exists():
        return None
    return tuple(getattr(importlib.import_module(module), table))


def attribute_texts(entries: Iterable[object], name: str) -> list[str]:
    """One text attribute of each entry; `AttributeError` or `TypeError` when an entry does not have it."""
    texts = [getattr(entry, name) for entry in entries]
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise TypeError(f"{name} must be text: {wrong[0]!r}")
    return texts
