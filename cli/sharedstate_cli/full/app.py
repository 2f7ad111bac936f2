"""The full command line: a typer application made from the table, for help, usage errors, completion, rare verbs."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape
from typer.main import get_command

from sharedstate.errors import EXIT_USAGE
from sharedstate_cli import hot
from sharedstate_cli.full import suggestions
from sharedstate_cli.hot import Parsed, Usage
from sharedstate_cli.session import is_capable
from sharedstate_cli.table import COMMANDS, EVERYWHERE, GROUPS, Command, Param

PROGRAM = "claims"
COMPLETE_VARIABLE = "_CLAIMS_COMPLETE"
ABOUT = "Claims, task state and sweeps shared by a fleet of agents that work on one repository."
EPILOG = (
    "Every command takes --json, --dir PATH and --help, before or behind its name; see claims help COMMAND.\n\n"
    "Exit codes: 0 done, 1 unexpected, 2 usage, 3 held by another, 4 lost, 5 not found, 6 exhausted or ignored, "
    "7 corrupt, 75 try again, 78 configuration."
)
_GROUPS = frozenset(command.name.rpartition(" ")[0] for command in COMMANDS)  # the program itself is one, too: ""


def parse(words: Sequence[str]) -> Parsed | int:
    """The command line as values, or the exit code when help or completion has been printed. Raises `Usage`."""
    found: list[Parsed] = []
    command, own, rest = _split(list(words))
    if COMPLETE_VARIABLE in os.environ:
        from typer._completion_classes import completion_init  # done only for its own --install-completion otherwise

        completion_init()
    program = get_command(application(found.append, rest=rest))
    asked_nothing = " ".join(own) in _GROUPS and COMPLETE_VARIABLE not in os.environ
    try:
        code = program.main([*own, "--help"] if asked_nothing else own, prog_name=PROGRAM, standalone_mode=False)
    except typer.TyperException as error:
        raise Usage(error.format_message(), hint=_hint(command)) from None
    except typer.Abort:
        raise KeyboardInterrupt from None
    if found:
        return found[0]
    if asked_nothing:
        return EXIT_USAGE  # a script whose variable was empty must not go on as if something had been done
    return code if isinstance(code, int) else 0


def application(take: Callable[[Parsed], None], *, rest: Sequence[str] | None = None) -> typer.Typer:
    """The typer application; what a command line means is given to `take`."""
    app = _group(ABOUT, epilog=EPILOG)
    groups: dict[str, typer.Typer] = {}
    for command in COMMANDS:
        group, _, name = command.name.rpartition(" ")
        home = app
        if group:
            if group not in groups:
                groups[group] = _group(GROUPS[group])
                app.add_typer(groups[group], name=group)
            home = groups[group]
        home.command(name, help=_help(command), short_help=command.about, epilog=None)(_callback(command, take, rest))
    return app


def completion_script(shell: str) -> str:
    """The completion script of `bash`, `zsh` or `fish`, as typer makes it."""
    from typer._completion_shared import get_completion_script  # not exported where it is documented

    wanted = {"prog_name": PROGRAM, "complete_var": COMPLETE_VARIABLE, "shell": shell}
    return get_completion_script(**wanted)


def _group(about: str, *, epilog: str | None = None) -> typer.Typer:
    return typer.Typer(
        help=about,
        epilog=epilog,
        add_completion=False,
        rich_markup_mode="rich" if _a_person_looks() else None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )


def _a_person_looks() -> bool:
    """Whether help may be drawn with boxes and colour; in a pipe it is plain text."""
    stream = sys.stdout
    return stream is not None and stream.isatty() and is_capable()


def _safe(text: str) -> str:
    """The text, escaped where brackets would be markup."""
    return escape(text) if _a_person_looks() else text


def _split(words: list[str]) -> tuple[Command | None, list[str], Sequence[str] | None]:
    """The command that is meant, its own words, and those after `--` that belong to another program."""
    for command in COMMANDS:
        name = command.name.split(" ")
        if words[: len(name)] == name:
            own, rest = hot.split_rest(command, words[len(name) :])
            return command, [*name, *own], rest
    return None, words, None


def _hint(command: Command | None) -> str:
    return f"see `{PROGRAM} {command.name} --help`" if command is not None else f"see `{PROGRAM} --help`"


def _help(command: Command) -> str:
    return _safe(f"{command.about}\n\n{command.details}" if command.details else command.about)


def _callback(command: Command, take: Callable[[Parsed], None], rest: Sequence[str] | None) -> Callable[..., None]:
    """A function with the signature that typer reads the parameters from; it only hands their texts on."""

    def callback(**raw: Any) -> None:
        if raw.pop("command", None):
            raise Usage(f"put the program behind --: {PROGRAM} {command.name} TASK -- CMD …")
        take(hot.parsed(command, raw, rest))

    parameters = [_parameter(param) for param in (*command.params, *EVERYWHERE)]
    if command.rest:
        words = typer.Argument(metavar="-- CMD ...", help="The program and its arguments.", show_default=False)
        parameters.append(_signed("command", Annotated[list[str] | None, words], default=None))
    signature = inspect.Signature(parameters)
    callback.__signature__ = signature  # type: ignore[attr-defined]  # typer reads the parameters from it
    callback.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    callback.__name__ = command.name.replace(" ", "_").replace("-", "_")
    return callback


def _parameter(param: Param) -> inspect.Parameter:
    about = param.about
    if param.default not in (None, False):
        about = f"{about} [default: {param.default}]"
    common: dict[str, Any] = {"help": _safe(about), "show_default": False, "metavar": param.shown}
    common["autocompletion"] = suggestions.for_param(param)
    if param.flags:
        if param.kind == "flag":
            common["metavar"] = ""  # else a person reads `--once <bool>`, and gives it a value
            del common["autocompletion"]
        info = typer.Option(*param.flags, **common)
    else:
        info = typer.Argument(**common)
    kind: Any = bool if param.kind == "flag" else list[str] if param.many else str
    if param.required:
        return _signed(param.name, Annotated[kind, info], default=inspect.Parameter.empty)
    if param.kind == "flag":
        return _signed(param.name, Annotated[kind, info], default=False)
    return _signed(param.name, Annotated[kind | None, info], default=None)


def _signed(name: str, annotation: Any, *, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
