"""What a command is: its name, its parameters and the name of its handler, as plain data.

A handler is called with the session and one keyword per parameter: text -> `str`, number -> `int`, duration -> `int`
milliseconds, flag -> `bool`, pair -> `dict[str, str]`, choice -> `str`, repeatable text -> `tuple[str, ...]`; not given
-> the default. With `rest`, the words behind `--` come as `command: tuple[str, ...]`.
"""

from __future__ import annotations

from typing import Any, Final

from sharedstate.values import Value

_METAVARS: Final = {"number": "N", "duration": "DURATION", "pair": "K=V"}


class Param(Value):
    """One option (with `flags`) or one positional argument (without).

    `kind`: text, number, duration, flag, pair (K=V), choice. `many`: repeatable (positional: one or more). `ids`: what
    completion offers: `live` or `all` task ids, `file`, `folder`, or nothing.
    """

    name: str
    about: str
    flags: tuple[str, ...] = ()
    kind: str = "text"
    many: bool = False
    required: bool = False
    default: Any = None
    choices: tuple[str, ...] = ()
    metavar: str = ""
    ids: str = ""

    @property
    def shown(self) -> str:
        """What stands for the value in help and messages: `TASK`, `DURATION`, `[complete|failed]`."""
        if self.choices:
            return f"[{'|'.join(self.choices)}]"
        return self.metavar or _METAVARS.get(self.kind, "TEXT")

    @property
    def label(self) -> str:
        """How a message names the parameter: its flag, or its metavar."""
        return self.flags[0] if self.flags else self.shown


class Command(Value):
    """One verb. `hot`: takes the fast path and keeps the start-up budget. `rest`: takes `-- CMD …`, which must be there
    unless not `rest_required`.
    """

    name: str
    about: str
    handler: str
    params: tuple[Param, ...] = ()
    hot: bool = False
    rest: bool = False
    rest_required: bool = True
    details: str = ""
