"""`claims config show`: every setting, its value, and where that comes from."""

from __future__ import annotations

import os
from typing import Any, Final

from sharedstate.addresses import masked, without_users
from sharedstate.errors import BadSettings
from sharedstate.masking import masked_url
from sharedstate.settings import SETTINGS, Setting, Settings
from sharedstate_cli.report import Grid, Report, error_document
from sharedstate_cli.session import Session

SECRET: Final = "…"  # what is shown of a secret that is set


def show(session: Session, *, origin: bool) -> Report:
    """The resolved settings. Where they make no sense: the fault, what the environment says, and exit code 78."""
    try:
        state = session.state
    except BadSettings as error:
        return _unresolved(error)
    document: dict[str, Any] = {"ok": True, "root": state.root, "settings": _values(state.settings)}
    if origin:
        document["origins"] = dict(state.settings.origins)
    columns = ("SETTING", "VALUE", "ORIGIN", "VARIABLE") if origin else ("SETTING", "VALUE")
    return Report(document=document, grid=Grid(columns=columns, rows=_rows(state.settings, origin=origin)))


def _unresolved(error: BadSettings) -> Report:
    """What can be told of settings that make no sense: the fault, and every variable that is set."""
    given = {s.env: str(_shown(s, os.environ[s.env])) for s in SETTINGS if os.environ.get(s.env)}
    fault = error_document(code=error.code, message=str(error), hint="correct the named setting", retryable=False)
    grid = Grid(columns=("VARIABLE", "VALUE"), rows=tuple(given.items()))
    document = {**fault, "environment": given}
    return Report(code=error.exit_code, document=document, grid=grid, problems=(str(error),))


def _values(settings: Settings) -> dict[str, Any]:
    held = settings.fields()
    return {setting.name: _plain(_shown(setting, held[setting.name])) for setting in SETTINGS}


def _shown(setting: Setting, value: Any) -> Any:
    """The value; of a secret only whether there is one, of a URL all but its credentials."""
    if setting.secret and value:
        return SECRET
    if isinstance(value, tuple):
        return tuple(masked(item) for item in value)
    if setting.name == "url" and isinstance(value, str) and value and ("://" not in value or len(value.split()) > 1):
        return SECRET  # no address, or one with a blank in it: nobody knows which part of it is secret
    if setting.name == "url" and isinstance(value, str):
        return masked_url(without_users(value))  # prefix, schema and the like are what people look for
    return masked(value) if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _rows(settings: Settings, *, origin: bool) -> tuple[tuple[str, ...], ...]:
    held = settings.fields()
    rows: list[tuple[str, ...]] = []
    for setting in SETTINGS:
        row = (setting.name, _text(_shown(setting, held[setting.name])))
        rows.append((*row, settings.origins[setting.name], setting.env) if origin else row)
    return tuple(rows)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
