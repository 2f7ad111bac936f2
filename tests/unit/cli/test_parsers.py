"""The fast parser takes nothing that the full one would take otherwise."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sharedstate_cli import hot
from sharedstate_cli.full import app
from sharedstate_cli.hot import Parsed, Usage
from sharedstate_cli.main import load
from sharedstate_cli.table import BY_NAME, COMMANDS, EVERYWHERE, GROUPS, Command
from tests.unit.cli.shell import Shell

HOT = [command for command in COMMANDS if command.hot]


def verdict(parse: object, words: Sequence[str]) -> object:
    """The values, or the message and hint of a usage error, or None when the parser does not decide."""
    assert callable(parse)
    try:
        found = parse(list(words))
    except Usage as error:
        return (str(error), error.hint)
    return found if isinstance(found, Parsed) else None


def agree(words: Sequence[str]) -> bool:
    """Whether both give the same; True too where the fast one leaves it to the full one."""
    fast = verdict(hot.parse, words)
    return fast is None or fast == verdict(app.parse, words)


@pytest.mark.parametrize(
    "line",
    [
        "claim T",
        "claim T --json",
        "claim --json --dir x T --ttl 5m",
        "claim T --ttl=5m --owner=me/you",
        "claim T --owner --json",
        "claim T --owner -- x",
        "claim -- T",
        "claim -- --json",
        "claim -",
        "claim T --meta a=1 --meta b=2 --meta=c=3=4",
        "claim T --owner a --owner b",
        "claim T --owner=",
        "claim T --json=true",
        "claim T --js",
        "claim T -x",
        "claim T --ttl 5x",
        "claim T --priority -5",
        "claim T --priority=-5",
        "claim -5",
        "claim",
        "claim --",
        "claim T U",
        "claim --force --reason why T",
        "release T --status failed",
        "release T --status=done",
        "run T -- ls -l --json",
        "run --owner me T -- -- x",
        "run -- ls",
        "run T --",
        "run T --owner -- ls",
        "list --stale --stale",
        "list extra",
        "next --from - --ttl 1s",
        "show T --help",
        "show --help T",
        "version",
    ],
)
def test_both_parsers_agree(line: str) -> None:
    assert agree(line.split())


def test_a_line_may_hold_an_empty_word() -> None:
    for words in (["claim", ""], ["claim", "T", "--owner", ""], ["run", "T", "--", ""], ["show", "", "--json"]):
        assert agree(words)


def lines(command: Command) -> st.SearchStrategy[list[str]]:
    flags = [flag for param in (*command.params, *EVERYWHERE) for flag in param.flags]
    text = st.sampled_from(
        ["T", "a=b", "5m", "7", "-7", "failed", "all", "-", "--", "", "x y", "--json", "é", "-x", "="]
    )
    option = st.sampled_from(flags) if flags else st.just("--json")
    word = st.one_of(text, option, st.builds("{}={}".format, option, text), st.builds("{}".format, st.text(max_size=5)))
    return st.lists(word, max_size=7).map(lambda words: [*command.name.split(), *words])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(HOT).flatmap(lines))
def test_both_parsers_agree_on_any_line(words: list[str]) -> None:
    assert agree(words)


@pytest.mark.parametrize("command", HOT, ids=lambda command: str(command.name))
def test_the_fast_parser_takes_a_plain_line_of_every_hot_verb(command: Command) -> None:
    words = [
        command.name,
        *("T" for param in command.params if param.required),
        *(["--", "ls"] if command.rest else []),
    ]
    fast = verdict(hot.parse, words)
    assert isinstance(fast, Parsed)
    assert fast == verdict(app.parse, words)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.name))
def test_help_names_every_option_with_its_default(
    command: Command, shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell.text(command.name, "--help").code == 0
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert command.about in text
    for param in (*command.params, *EVERYWHERE):
        assert all(flag in text for flag in param.flags)
        assert re.sub(r"\s+", " ", param.about) in text
        if param.default not in (None, False):
            assert f"[default: {param.default}]" in text


def test_help_on_a_terminal_shows_no_value_behind_a_flag(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(app, "_a_person_looks", lambda: True)
    assert app.parse(["sync", "--help"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "--once" in line or "--dry-run" in line]
    assert lines
    assert not any("bool" in line for line in lines)


def test_help_of_the_whole_names_every_command(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.parse(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {command.name.split()[0]} " in text for command in COMMANDS)
    assert "\x1b" not in text


@pytest.mark.parametrize(
    "line,ordered",
    [
        ("--dir x list --stale", "list --dir x --stale"),
        ("--json --dir=x claim T", "claim --json --dir=x T"),
        ("--dir x board show T", "board show --dir x T"),
        ("--json board --help", "board --json --help"),
        ("--json --version", "--version --json"),
        ("--dir x --help", "--help"),
        ("--dir x run T -- ls --dir y", "run --dir x T -- ls --dir y"),
        ("--json nonsense", "nonsense --json"),
        ("list --dir x", "list --dir x"),
        ("--owner x list", "--owner x list"),
    ],
)
def test_options_of_every_command_may_stand_before_it(line: str, ordered: str) -> None:
    assert hot.in_order(line.split()) == ordered.split()


def test_a_state_root_before_the_verb_is_the_one_that_is_used(shell: Shell) -> None:
    shell("claim T-1")
    for words in (["--json", "--dir", str(shell.root), "list"], [f"--dir={shell.root}", "list", "--json"]):
        found = shell.words(*words)
        assert [task["task"] for task in found.document["tasks"]] == ["T-1"]
    assert shell.words("--json", "--dir", str(shell.root), "config", "show").code == 0
    assert shell.words("--json", "nonsense").document["error"]["code"] == "usage"
    assert shell.words("--json", "--version").document["ok"] is True
    for words in (["--dir"], ["--json", "--dir", "x"]):
        answer = shell.words(*words)
        assert (answer.code, "no command behind" in answer.out + answer.err) == (2, True)


def test_help_is_a_command_too(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["sync"], ["board"], ["board", "show"]):
        assert shell.words(*words, "--help").code == 0
        wanted = capsys.readouterr().out
        assert shell.words("help", *words).code == 0
        assert capsys.readouterr().out == wanted
    assert "Did you mean 'sync'" in shell.words("help", "synk").err
    assert shell.words("help", "synk").code == 2
    assert shell.words("--json", "help", "board").document["commands"].keys() == {"board show", "board adopt"}


def test_every_group_says_what_it_is_for(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert {command.name.split()[0] for command in COMMANDS if " " in command.name} == set(GROUPS)
    for group, about in GROUPS.items():
        shell.words("help", group)
        assert about in capsys.readouterr().out


def test_both_ways_give_the_same_results(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (
        "show T",
        "list",
        "claim T --owner ws/x",
        "retry-check T",
        "renew T",
        "whoami",
        "version",
        "release nobody",
    )
    shell("claim T")
    fast = [shell(line) for line in lines]
    monkeypatch.setattr(hot, "parse", lambda words: None)
    assert [shell(line) for line in lines] == fast


def test_names_in_the_table_are_unique_and_their_handlers_have_the_parameters() -> None:
    assert len(BY_NAME) == len(COMMANDS)
    for command in COMMANDS:
        names = [param.name for param in (*command.params, *EVERYWHERE)]
        flags = [flag for param in (*command.params, *EVERYWHERE) for flag in param.flags]
        assert len(set(names)) == len(names)
        assert len(set(flags)) == len(flags)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.name))
def test_every_handler_takes_the_parameters_of_the_table(command: Command) -> None:
    import inspect

    signature = inspect.signature(load(command.handler))
    given = {param.name: None for param in command.params} | ({"command": ()} if command.rest else {})
    signature.bind(None, **given)
