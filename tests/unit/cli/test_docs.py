"""`docs/cli.md` is complete: every command with its synopsis, every exit code, every schema, every reason."""

from __future__ import annotations

import json
import re

import pytest

from sharedstate import errors
from sharedstate.tasks import outcomes
from sharedstate_cli.full.schemas import MODELS
from sharedstate_cli.table import COMMANDS, SCHEMAS, Command, Param
from tests.style.source import ROOT

PAGE = (ROOT / "docs" / "cli.md").read_text("utf-8")


def word(param: Param) -> str:
    """One parameter in a synopsis."""
    shown = param.shown if not param.flags else f"{param.flags[0]} {param.shown}"
    text = param.flags[0] if param.kind == "flag" else shown
    return (text if param.required else f"[{text}]") + ("…" if param.many else "")


def synopsis(command: Command) -> str:
    """The command with all its parameters, positionals first."""
    free = [word(param) for param in command.params if not param.flags]
    options = [word(param) for param in command.params if param.flags]
    return " ".join(["claims", command.name, *free, *options, *(["-- CMD …"] if command.rest else [])])


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.name))
def test_the_page_has_the_synopsis_of_every_command(command: Command) -> None:
    assert f"`{synopsis(command)}`" in PAGE
    assert command.about in PAGE


def test_the_page_has_every_exit_code() -> None:
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)} >= codes


def test_the_page_names_every_schema_and_reason() -> None:
    reasons = {value for name, value in vars(outcomes).items() if name.isupper() and isinstance(value, str)}
    of_retry_checks = {
        outcomes.NO_PREVIOUS_ATTEMPTS,
        outcomes.IGNORED,
        outcomes.ALREADY_COMPLETE,
        outcomes.CURRENTLY_OWNED,
        outcomes.ELIGIBLE_FOR_RETRY,
    }
    of_takeovers = {outcomes.OWNER_STALE, outcomes.OWNER_DEAD, outcomes.COORDINATOR_PRIORITY, outcomes.FORCED}
    for name in (*SCHEMAS, *(reasons - of_retry_checks - of_takeovers)):
        assert f"`{name}`" in PAGE


def test_the_examples_of_the_page_fulfil_the_schemas() -> None:
    examples = [json.loads(text) for text in re.findall(r"^(\{.schema.*\})$", PAGE, re.MULTILINE)]
    for name, document in zip(("claim", "refusal", "error"), examples, strict=True):
        MODELS[name].model_validate_json(json.dumps(document))
