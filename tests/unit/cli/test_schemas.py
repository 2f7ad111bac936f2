"""The published JSON Schemas hold for real files and real answers."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from sharedstate.tasks.model import STATUSES
from sharedstate_cli.full.schemas import MODELS, schema_of
from sharedstate_cli.full.shapes import Status
from sharedstate_cli.table import SCHEMAS
from tests.unit.cli.shell import Shell


def check(name: str, document: Any) -> None:
    MODELS[name].model_validate_json(json.dumps(document))


def test_every_schema_is_printed_alone_and_with_the_others(shell: Shell) -> None:
    alone = json.loads(shell.text("schema claim").out)
    assert alone["$schema"].startswith("https://json-schema.org/")
    assert {"ok", "task", "owner", "fence", "token", "status", "outcome", "expires_at"} <= set(alone["required"])
    everything = shell("schema").document["schemas"]
    assert tuple(everything) == SCHEMAS
    assert everything["claim"] == shell("schema claim").document["json_schema"] == alone


def test_the_statuses_of_the_schemas_are_those_of_the_state_machine() -> None:
    assert get_args(Status) == STATUSES


def test_schemas_allow_what_later_versions_add() -> None:
    assert all(schema_of(name)["additionalProperties"] is True for name in SCHEMAS)


def test_real_files_fulfil_the_schemas(shell: Shell) -> None:
    shell("claim a --meta k=v --scope src")
    shell("claim b")
    shell("release b --status failed --error why")
    shell("ignore b --reason why")
    records = [json.loads(path.read_text()) for path in (shell.root / "tasks").glob("*.json")]
    assert len(records) == 2
    for record in records:
        check("record", record)
    [journal] = (shell.root / "journal" / "events").glob("*.jsonl")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert len(lines) == 4
    for line in lines:
        check("event", line)


def test_real_answers_fulfil_the_schemas(shell: Shell) -> None:
    check("claim", shell("claim a --ttl 10s").document)
    check("refusal", shell("claim a --owner ws/other").document)
    check("renewal", shell("renew a").document)
    check("loss", shell("renew a --owner ws/other").document)
    check("task", shell("show a").document)
    shell.advance(20)
    check("task", shell("show a").document)
    check("tasks", shell("list").document)
    check("status", shell("status").document)
    check("sweep", shell("sweep").document)
    check("history", shell("log a").document)
    check("retry-check", shell("retry-check a").document)
    check("claim", shell("next").document)
    check("release", shell("release a").document)
    check("change", shell("ignore a --reason why").document)
    check("refusal", shell("next").document)
    check("refusal", shell("claim a").document)
    check("loss", shell("release nobody").document)
    shell("claim b")
    shell("claim b --owner ws/other --force --reason why")
    check("audit", shell("audit").document)
    check("error", shell("claim", "a\n").document)


def test_a_schema_refuses_what_is_not_one() -> None:
    with pytest.raises(ValidationError):
        check("claim", {"schema": 1, "ok": True, "task": "T"})
