"""What a starter and its supervisor say to each other: one JSON line each way, through pipes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sharedstate import jsonio
from sharedstate.values import Value

LINE_BYTES_MAX: Final = 1 << 20


class Wish(Value, hidden=("arguments", "command")):
    """What shall be started: `opener` (`module:function`) called with `arguments` gives the claims to work with.

    `root`: the state root on this machine. `owner`: in whose name; `by`: who starts it. `forced`: why it is taken over
    from its owner. `command` and `arguments` may hold secrets; they go through a pipe only.
    """

    opener: str
    arguments: Mapping[str, Any]
    root: str
    name: str
    owner: str
    by: str
    command: tuple[str, ...]
    folder: str
    forced: str | None = None


class Word(Value):
    """What became of it.

    `outcome`: `started`, `adopted`, `already_running`, `denied` (`code`, `detail`), `not_started` (exit code
    `number`, `detail`), `other_owner` (ask again), `fault` (`code`, `detail`).
    """

    outcome: str
    code: str = ""
    detail: str = ""
    number: int = 0
    retryable: bool = False


def wish_line(wish: Wish) -> bytes:
    """The starter's line."""
    return jsonio.encode_line({**wish.fields(), "arguments": dict(wish.arguments), "command": list(wish.command)})


def wish_of(line: bytes) -> Wish:
    """The wish in the starter's line."""
    fields = jsonio.decode(line, what="wish")
    fields["command"] = tuple(fields["command"])
    return Wish(**fields)


def word_line(word: Word) -> bytes:
    """The supervisor's line."""
    return jsonio.encode_line(word.replace(detail=word.detail.encode(errors="replace").decode()).fields())


def word_of(line: bytes) -> Word:
    """The word in the supervisor's line."""
    return Word(**jsonio.decode(line, what="word of the supervisor"))
