"""`claims config show`: every setting, its value, and where that comes from."""

from __future__ import annotations

from typing import Any

from sharedstate.settings import SETTINGS, Settings
from sharedstate_cli.report import Grid, Report
from sharedstate_cli.session import Session


def show(session: Session, *, origin: bool) -> Report:
    """The resolved settings. Raises `BadSettings`, naming the setting and its origin."""
    state = session.state
    document: dict[str, Any] = {"ok": True, "root": state.root, "settings": _values(state.settings)}
    if origin:
        document["origins"] = dict(state.settings.origins)
    columns = ("SETTING", "VALUE", "ORIGIN", "VARIABLE") if origin else ("SETTING", "VALUE")
    return Report(document=document, grid=Grid(columns=columns, rows=_rows(state.settings, origin=origin)))


def _values(settings: Settings) -> dict[str, Any]:
    held = settings.fields()
    return {setting.name: _plain(held[setting.name]) for setting in SETTINGS}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _rows(settings: Settings, *, origin: bool) -> tuple[tuple[str, ...], ...]:
    held = settings.fields()
    rows: list[tuple[str, ...]] = []
    for setting in SETTINGS:
        row = (setting.name, _text(held[setting.name]))
        rows.append((*row, settings.origins[setting.name], setting.env) if origin else row)
    return tuple(rows)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(value) if isinstance(value, tuple) else str(value)
