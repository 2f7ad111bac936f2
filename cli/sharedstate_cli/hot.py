"""The fast parser: what it takes, the full one takes with the same result; all else it leaves to that one.

It knows long options (`--opt value`, `--opt=value`), flags, positionals and `--`. Help, unknown options, missing and
surplus arguments are the full parser's. Texts become values here, for both, so that errors about values are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sharedstate.clock import parse_duration_ms
from sharedstate.errors import InvalidInput
from sharedstate.values import Value
from sharedstate_cli.table import BY_NAME, EVERYWHERE, GROUPS, Command, Param

NUMBER_DIGITS_MAX = 18


class Usage(InvalidInput):
    """The command line is not one of ours; nothing was read or written."""

    code = "usage"


class Parsed(Value):
    """A command line as values: what to call with which keywords, and the options that every command has."""

    command: Command
    arguments: Mapping[str, Any]
    json: bool = False
    root: str | None = None


def parse(argv: Sequence[str]) -> Parsed | None:
    """The command line of a hot verb, or None when the full parser must look at it. Raises `Usage` for a bad value."""
    command = BY_NAME.get(argv[0]) if argv else None
    if command is None or not command.hot:
        return None
    words, rest = split_rest(command, argv[1:])
    raw = _raw_values(command, words)
    return None if raw is None else parsed(command, raw, rest)


def in_order(words: Sequence[str]) -> list[str]:
    """The words, with options of every command that stand before its name put behind it.

    `--dir X board show T` is `board show --dir X T`. A name of two words begins with one that begins several. Raises
    `Usage` when there is no command behind them.
    """
    at = 0
    while at < len(words) and (width := _width(words[at])):
        at += width
    own = list(words[at:])
    if not own:
        raise Usage(f"there is no command behind {words[0]}", hint="see `claims --help`")
    if own[0].startswith("-") and own[0] != "--version":
        return own  # help, or an option that belongs behind a command
    width = 2 if own[0] in GROUPS and own[1:] and not own[1].startswith("-") else 1
    return [*own[:width], *words[:at], *own[width:]]


def _width(word: str) -> int:
    """How many words an option of every command takes, itself included; 0: it is none."""
    for param in EVERYWHERE:
        if word in param.flags:
            return 1 if param.kind == "flag" else 2
        if word.startswith(f"{param.flags[0]}=") and param.kind != "flag":
            return 1
    return 0


def split_rest(command: Command, words: Sequence[str]) -> tuple[Sequence[str], Sequence[str] | None]:
    """The words of the command itself, and those behind the first `--` if it runs a program (None without `--`)."""
    if not command.rest or "--" not in words:
        return words, None
    at = list(words).index("--")
    return words[:at], words[at + 1 :]


def parsed(command: Command, raw: Mapping[str, Any], rest: Sequence[str] | None) -> Parsed:
    """Texts as values. `raw`: by parameter a text, a list of texts when repeatable, True for a flag, or nothing."""
    arguments = {param.name: value_of(param, raw.get(param.name)) for param in command.params}
    if command.rest:
        if not rest and command.rest_required:
            raise Usage(f"say what to run: claims {command.name} TASK -- CMD …")
        arguments["command"] = tuple(rest or ())
    return Parsed(command=command, arguments=arguments, json=bool(raw.get("json")), root=raw.get("dir"))


def value_of(param: Param, raw: Any) -> Any:
    """The value of one parameter. Raises `Usage` naming it."""
    if param.kind == "flag":
        return bool(raw)
    if param.many:
        texts = raw or ()
        return _pairs(param, texts) if param.kind == "pair" else tuple(_one(param, text) for text in texts)
    return param.default if raw is None else _one(param, raw)


def _one(param: Param, text: str) -> Any:
    if param.kind == "number":
        return _number(param, text)
    if param.kind == "duration":
        try:
            return parse_duration_ms(text)
        except ValueError as error:
            raise Usage(f"{param.label}: {error}") from None
    if param.kind == "choice" and text not in param.choices:
        raise Usage(_no_choice(param, text))
    return text


def _number(param: Param, text: str) -> int:
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or len(digits) > NUMBER_DIGITS_MAX:
        raise Usage(f"{param.label}: not a whole number: {text[:40]!r}")
    return int(text)


def _pairs(param: Param, texts: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise Usage(f"{param.label}: expected K=V, not {text[:40]!r}")
        if name in pairs:
            raise Usage(f"{param.label}: {name[:40]!r} is given twice")
        pairs[name] = value
    return pairs


def _no_choice(param: Param, text: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(text.lower(), param.choices, n=1)
    told = f"{param.label}: {text[:40]!r} is not one of {', '.join(param.choices)}"
    return f"{told}; did you mean {close[0]!r}?" if close else told


def _raw_values(command: Command, words: Sequence[str]) -> dict[str, Any] | None:
    """Texts by parameter; None for anything that is not plainly right."""
    options = {flag: param for param in (*command.params, *EVERYWHERE) for flag in param.flags}
    raw: dict[str, Any] = {}
    free: list[str] = []
    left = iter(words)
    for word in left:
        if word == "--":
            free.extend(left)
        elif word == "-" or not word.startswith("-"):
            free.append(word)
        elif not _take_option(options, raw, word, left):
            return None
    return raw if _place(command, free, raw) else None


def _take_option(options: Mapping[str, Param], raw: dict[str, Any], word: str, left: Any) -> bool:
    flag, sign, given = word.partition("=")
    param = options.get(flag)
    if param is None:
        return False
    if param.kind == "flag":
        raw[param.name] = True
        return not sign
    text = given if sign else next(left, None)
    if text is None:
        return False
    if param.many:
        raw.setdefault(param.name, []).append(text)
    else:
        raw[param.name] = text
    return True


def _place(command: Command, free: Sequence[str], raw: dict[str, Any]) -> bool:
    """Give the free words to the positional parameters; False when they do not fit or something required is missing."""
    at = 0
    for param in command.params:
        if param.flags:
            if param.required and param.name not in raw:
                return False
            continue
        if param.many:
            raw[param.name], at = list(free[at:]), len(free)
        elif at < len(free):
            raw[param.name], at = free[at], at + 1
        if param.required and not raw.get(param.name) and raw.get(param.name) != "":
            return False
    return at == len(free)
