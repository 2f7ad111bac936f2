"""`claims sync` when something on this side is damaged or away: told with an exit code, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sharedstate.testing.board import MemoryBoard
from sharedstate.testing.clock import FakeHost
from sharedstate_cli.full.schemas import MODELS
from tests.unit.cli.shell import Shell


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


@pytest.fixture
def board(host: FakeHost) -> MemoryBoard:
    return MemoryBoard(host=host)


@pytest.fixture
def shell(tmp_path: Path, host: FakeHost, board: MemoryBoard) -> Shell:
    shell = Shell(tmp_path, host=host, board=board.seat("ws"))
    board.open_issue("GH-1")
    shell("claim GH-1")
    shell("sync")
    return shell


def remembered(shell: Shell, collection: str) -> Path:
    [found] = [path for path in shell.root.rglob("*.json") if path.parent.name == collection]
    return found


def check(name: str, document: dict[str, Any]) -> None:
    MODELS[name].model_validate_json(json.dumps(document))


@pytest.mark.parametrize("collection", ["board-status", "board-agreed"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff{", b"[]"])
def test_a_damaged_memory_is_made_anew_and_its_bytes_are_kept(
    shell: Shell, board: MemoryBoard, collection: str, content: bytes
) -> None:
    damaged = remembered(shell, collection)
    damaged.write_bytes(content)
    writes = board.writes("labels"), board.writes("card")
    if collection == "board-status":
        status = shell("sync --status")
        check("sync-status", status.document)
        assert status.code == 0
        assert "begins anew" in shell.text("sync --status").err
    board.set_ignore("GH-1", ignored=True)
    answer = shell("sync")
    check("sync", answer.document)
    assert (answer.code, answer.document["actions"]) == (0, {"GH-1": ["ignore"]})
    assert [one["task"] for one in answer.document["errors"]] == ["(memory)"] * (collection == "board-status")
    assert (board.writes("labels"), board.writes("card")) == writes
    assert damaged.read_bytes() != content
    assert any(path.read_bytes() == content for path in shell.root.rglob("quarantine/*.bin"))
    assert shell("sync").document["errors"] == []


def test_what_a_newer_version_remembers_is_refused_and_left_alone(shell: Shell, board: MemoryBoard) -> None:
    kept = remembered(shell, "board-status")
    document = json.loads(kept.read_bytes())
    kept.write_text(json.dumps({**document, "schema": 99}))
    before, calls = kept.read_bytes(), len(board.calls)
    answer = shell("sync")
    check("sync", answer.document)
    assert (answer.code, answer.document["ok"], answer.document["reason"]) == (7, False, "newer_format")
    assert "upgrade" in shell.text("sync").err
    assert kept.read_bytes() == before
    assert len(board.calls) == calls
