"""Plain SQL files, applied in order, each once: `migrations/NNNN_name.sql` beside this module.

All that is missing is applied in one transaction under a lock of its own, so that of several at once one does it and
the others find it done. Tables of a newer version are refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from sharedstate.values import Value
from sharedstate_adapters.postgres.change import lock_number
from sharedstate_adapters.postgres.edge import Absent
from sharedstate_adapters.postgres.line import Line, check_level
from sharedstate_adapters.postgres.statements import BEGIN, MIGRATE_LOCK, Statements, bounds, bounds_of_idleness

_NAME: Final = re.compile(r"([0-9]{4})_([a-z0-9_]+)\.sql")
_WHAT: Final = "migrating"


class Migration(Value):
    """One step: its number (1, 2, 3 …), what it is called, its statements."""

    version: int
    name: str
    text: str


@cache
def shipped() -> tuple[Migration, ...]:
    """The steps that come with this version, in order."""
    found: list[Migration] = []
    for file in files("sharedstate_adapters.postgres").joinpath("migrations").iterdir():
        name = _NAME.fullmatch(file.name)
        if name is not None:
            found.append(Migration(version=int(name[1]), name=name[2], text=file.read_text(encoding="utf-8")))
    found.sort(key=lambda step: step.version)
    assert [step.version for step in found] == list(range(1, len(found) + 1)), "the package lacks a migration"
    return tuple(found)


def plan(line: Line, sql: Statements, steps: Sequence[Migration], timeout_s: float) -> list[Migration]:
    """The steps that the server lacks. Only reads. Raises `NewerFormat`."""
    try:
        held = {row[0] for row in line.ask(_HELD.format(sql.schema), (), timeout_s, what=_WHAT)}
    except Absent:
        held = set()
    check_level(max(held, default=0), len(steps), where=line.where)
    return [step for step in steps if step.version not in held]


def apply(line: Line, sql: Statements, steps: Sequence[Migration], timeout_s: float) -> list[Migration]:
    """Apply what the server lacks, all or nothing; returns what was applied. Raises `NewerFormat`, `BadSettings`."""
    limit_ms = max(1, int(timeout_s * 900))
    limit = f"{bounds(limit_ms)}; {bounds_of_idleness(limit_ms)}"
    number = lock_number(MIGRATE_LOCK, sql.schema)
    line.ask(f"{BEGIN}; {limit}; SELECT pg_advisory_xact_lock(%s)", (number,), timeout_s, what=_WHAT)
    there = line.ask("SELECT to_regnamespace(%s) IS NOT NULL, to_regclass(%s) IS NOT NULL",
                     (f'"{sql.schema}"', f'"{sql.schema}".migrations'), timeout_s, what=_WHAT)[0]  # fmt: skip
    if not there[0]:  # asked first: IF NOT EXISTS needs the right to create one also where it exists
        line.ask(f'CREATE SCHEMA "{sql.schema}"', (), timeout_s, what=_WHAT)
    if not there[1]:
        line.ask(_TABLE.format(sql.schema), (), timeout_s, what=_WHAT)
    missing = plan(line, sql, steps, timeout_s)
    for step in missing:
        text = f'SET LOCAL search_path TO "{sql.schema}";\n{step.text}'
        line.ask(text, (), timeout_s, what=f"{_WHAT}: {step.version} {step.name}")
        line.ask(_NOTE.format(sql.schema), (step.version, step.name), timeout_s, what=_WHAT)
    line.ask("COMMIT", (), timeout_s, what=_WHAT)
    line.level = len(steps)
    return missing


_HELD: Final = 'SELECT version FROM "{}".migrations'
_TABLE: Final = (
    'CREATE TABLE "{}".migrations (version integer PRIMARY KEY, name text NOT NULL, '
    "applied_at timestamptz NOT NULL DEFAULT clock_timestamp())"
)
_NOTE: Final = 'INSERT INTO "{}".migrations (version, name) VALUES (%s, %s)'
