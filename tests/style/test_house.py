"""The house style, held over every file of the project. What each rule catches is proved in `test_rules.py`."""

from __future__ import annotations

import pytest

from tests.style import conduct, documented, shape
from tests.style.source import Rule, findings, project, prose, python

CODE_RULES: tuple[Rule, ...] = (
    shape.file_is_short,
    shape.functions_are_short,
    shape.public_is_documented,
    shape.names_are_exact,
    shape.booleans_are_named,
    conduct.sleeps_are_real,
    conduct.nothing_is_executed,
    conduct.pure_rooms_know_no_time,
    conduct.ignores_have_reasons,
    conduct.skips_have_reasons,
)
TEXT_RULES: tuple[Rule, ...] = (conduct.nothing_is_left_over, conduct.paths_are_nobodys)


@pytest.mark.parametrize("rule", CODE_RULES, ids=lambda rule: rule.__name__)
def test_all_python_files_keep_the_rule(rule: Rule) -> None:
    found = findings(rule, python())
    assert not found, f"{rule.__doc__}\n" + "\n".join(found)


@pytest.mark.parametrize("rule", TEXT_RULES, ids=lambda rule: rule.__name__)
def test_all_text_files_keep_the_rule(rule: Rule) -> None:
    found = findings(rule, list(project()))
    assert not found, f"{rule.__doc__}\n" + "\n".join(found)


def test_the_rules_read_the_whole_project() -> None:
    paths = {source.path for source in project()}
    expected = {"pyproject.toml", "README.md", "Makefile", ".ci/run", ".importlinter", "docs/decisions.md"}
    assert expected <= paths
    assert {"cli/sharedstate_cli/__init__.py", "tests/style/test_house.py"} <= {source.path for source in python()}


def test_every_environment_setting_in_the_code_is_documented() -> None:
    names = [name for source in python() for name in documented.settings_in(source)]
    assert documented.unnamed(names, prose()) == []


def test_every_declared_setting_is_documented() -> None:
    settings = documented.declared("sharedstate/settings.py", "sharedstate.settings", "SETTINGS")
    if settings is None:
        pytest.skip("there are no settings yet")
    assert settings
    assert documented.unnamed(documented.attribute_texts(settings, "env"), prose()) == []


def test_every_event_type_is_documented() -> None:
    for names in ("EVENT_TYPES", "MESSAGE_EVENT_TYPES"):
        events = documented.declared("sharedstate/events.py", "sharedstate.events", names)
        assert events
        assert documented.unnamed((f"`{name}`" for name in events), prose()) == []


def test_every_command_is_documented() -> None:
    commands = documented.declared("cli/sharedstate_cli/table.py", "sharedstate_cli.table", "COMMANDS")
    if commands is None:
        pytest.skip("there are no commands yet")
    assert commands
    names = documented.attribute_texts(commands, "name")
    assert documented.unnamed((f"claims {name}" for name in names), prose()) == []
