"""Real task lists: Markdown check lists, JSON, JSON Lines, plain lines.

    - [ ] docs: build the pages `make -C docs html`
          $ python tools/check_links.py
          scope: docs
    - [x] done: is passed over

An item is `id: text`; a code span at its end is a command, and so is every indented line that begins with `$`. Commands
are split as a shell would split them, but no shell runs them. In JSON: `{"id": …, "text": …, "commands": [[…], …],
"scope": […], "expect": "complete"}`, where a command may also be one string.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sharedstate.claims.scopes import check_scope
from sharedstate.ids import check_id

BYTES_MAX = 4 * 1024 * 1024
TASKS_MAX = 10_000
EXPECTED = ("complete", "failed", "ignored")
Command = tuple[str, ...]
_ITEM = re.compile(r"^\s*[-*+] \[(?P<box>[ xX])\] (?P<words>.+)$")
_SPAN = re.compile(r"\s*[—–-]?\s*`(?P<command>[^`]+)`\s*$")
_DETAIL = re.compile(r"^\s+(?P<kind>\$|scope:)\s+(?P<words>.+)$")


class TaskListError(ValueError):
    """The list cannot be read as one; the message names the file and the place."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One entry: its id, what it says, the commands to run one after the other, the paths it will touch.

    `expect`: how it ends when all goes as it should (`complete`, `failed`, `ignored`).
    """

    id: str
    text: str = ""
    commands: tuple[Command, ...] = ()
    scope: tuple[str, ...] = ()
    expect: str = "complete"


def read_tasks(path: Path, *, run: str = "") -> list[Task]:
    """The open tasks of a file. `run` is the command of tasks that have none; `{id}` and `{text}` stand for the task's.

    Raises `TaskListError`, or `OSError` when the file cannot be read.
    """
    raw = path.read_bytes()
    if len(raw) > BYTES_MAX:
        raise TaskListError(f"{path}: more than {BYTES_MAX // 1024 // 1024} MiB")
    try:
        text = raw.decode("utf-8-sig")
        tasks = list(_parsed(path.suffix.lower(), text))
        return _checked(tasks, run=shlex.split(run))
    except ValueError as error:
        raise TaskListError(f"{path}: {error}") from None


def _parsed(suffix: str, text: str) -> Iterator[Task]:
    if suffix == ".json":
        found = json.loads(text)
        entries = found.get("tasks", found) if isinstance(found, dict) else found
        if not isinstance(entries, list):
            raise TaskListError("expected a list of tasks, or an object with `tasks`")
        return (_from_json(entry) for entry in entries)
    if suffix in (".jsonl", ".ndjson"):
        return (_from_json(json.loads(line)) for line in text.splitlines() if line.strip())
    return _from_lines(text.splitlines(), plain=suffix not in (".md", ".markdown"))


def _from_lines(lines: Iterable[str], *, plain: bool) -> Iterator[Task]:
    """Check list items with the details below them. With `plain`, every other line is an item too."""
    task: Task | None = None
    for line in lines:
        item, detail = _ITEM.match(line), _DETAIL.match(line)
        if detail is not None and task is not None and item is None:
            task = _detailed(task, detail["kind"], detail["words"])
        elif item is not None or (plain and line.strip() and not line.lstrip().startswith("#")):
            if task is not None:
                yield task
            done = item is not None and item["box"] != " "
            task = None if done else _from_words(line.strip() if item is None else item["words"].strip())
    if task is not None:
        yield task


def _from_words(words: str) -> Task:
    span = _SPAN.search(words)
    said = words[: span.start()] if span else words
    name, _, text = f"{said.rstrip()} ".partition(": ")
    commands = (tuple(shlex.split(span["command"])),) if span else ()
    return Task(id=name.strip().strip("*`"), text=text.strip(), commands=commands)


def _detailed(task: Task, kind: str, words: str) -> Task:
    if kind == "$":
        return replace(task, commands=(*task.commands, tuple(shlex.split(words))))
    return replace(task, scope=tuple(path.strip() for path in words.split(",")))


def _from_json(entry: Any) -> Task:
    if isinstance(entry, str):
        return _from_words(entry)
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        raise TaskListError(f"a task is text or an object with an `id`: {json.dumps(entry)[:60]}")
    unknown = sorted(set(entry) - {"id", "text", "commands", "scope", "expect"})
    if unknown:
        raise TaskListError(f"task {entry['id'][:40]!r}: unknown field {unknown[0]!r}")
    return Task(
        id=entry["id"],
        text=str(entry.get("text", "")),
        commands=tuple(_command(words) for words in _list(entry, "commands")),
        scope=tuple(str(path) for path in _list(entry, "scope")),
        expect=entry.get("expect", "complete"),
    )


def _list(entry: dict[str, Any], name: str) -> list[Any]:
    found = entry.get(name, [])
    if not isinstance(found, list):
        raise TaskListError(f"task {entry['id'][:40]!r}: {name} is a list")
    return found


def _command(words: Any) -> Command:
    if isinstance(words, str):
        return tuple(shlex.split(words))
    if isinstance(words, list) and words and all(isinstance(word, str) for word in words):
        return tuple(words)
    raise TaskListError(f"a command is text or a list of texts: {json.dumps(words)[:60]}")


def _checked(tasks: Sequence[Task], *, run: Sequence[str]) -> list[Task]:
    checked: dict[str, Task] = {}
    for task in tasks:
        name = check_id(task.id)
        if name in checked:
            raise TaskListError(f"task {name!r} stands there twice")
        if task.expect not in EXPECTED:
            raise TaskListError(f"task {name!r}: expect must be one of {', '.join(EXPECTED)}")
        filled = tuple(word.replace("{id}", name).replace("{text}", task.text) for word in run)
        commands = tuple(filter(None, task.commands)) or ((filled,) if filled else ())
        if not commands:
            raise TaskListError(f"task {name!r} has no command; write one behind it, or give one for all with --run")
        checked[name] = replace(task, id=name, commands=commands, scope=check_scope(task.scope))
    if not checked:
        raise TaskListError("no open task in it")
    if len(checked) > TASKS_MAX:
        raise TaskListError(f"{len(checked)} tasks, at most {TASKS_MAX}")
    return list(checked.values())
