"""What the orchestrator tells its agents, and what they write down for the proof: files in one temporary folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from examples.fleet_parts.tasklist import Task

PLAN_NAME = "plan.json"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The whole order: where the shared state is, where to work, on what, how long a silent agent keeps a claim."""

    root: str
    folder: str
    repository: str
    commit: str
    ttl_ms: int
    retries_max: int
    tasks: tuple[Task, ...]

    def save(self) -> Path:
        """Write it into its folder; returns the file."""
        path = Path(self.folder, PLAN_NAME)
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> Plan:
        """Read what `save` wrote."""
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        known["tasks"] = tuple(_task(task) for task in known["tasks"])
        return cls(**known)


def _task(known: dict[str, Any]) -> Task:
    known["commands"] = tuple(tuple(words) for words in known["commands"])
    known["scope"] = tuple(known["scope"])
    return Task(**known)


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What an agent saw itself, by a clock that all processes of this machine share (nanoseconds).

    `kind`: `claim` (asked for it, was given it), `work` (its commands are about to run), `release` (asked to end it).
    `end_ns` is when the answer was there; `work` has none. `word`: the outcome of the claim, the status of the release.
    """

    kind: str
    agent: str
    owner: str
    task: str
    fence: int
    start_ns: int
    end_ns: int = 0
    word: str = ""


class Diary:
    """One agent's sights, each in the file before the next thing happens: what a killed agent saw is not lost."""

    def __init__(self, folder: str, agent: str) -> None:
        self._fd = os.open(_diary(folder, agent), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def note(self, sight: Sight) -> None:
        """Write one down."""
        os.write(self._fd, json.dumps(asdict(sight)).encode() + b"\n")


def read_diary(folder: str, agent: str) -> Iterator[Sight]:
    """What an agent has written so far; a line that is not whole yet is left out."""
    try:
        raw = _diary(folder, agent).read_bytes()
    except FileNotFoundError:
        return
    names = {field.name for field in fields(Sight)}
    for line in raw.split(b"\n")[:-1]:
        yield Sight(**{name: value for name, value in json.loads(line).items() if name in names})


def _diary(folder: str, agent: str) -> Path:
    return Path(folder, f"diary-{agent}.jsonl")
