"""The configuration file: `sharedstate.toml`, or the table `[tool.sharedstate]` of a `pyproject.toml`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from sharedstate.errors import BadSettings

CONFIG_FILE: Final = "sharedstate.toml"
_BYTES_MAX: Final = 1 << 20


def nearest(folder: str) -> tuple[str, Mapping[str, Any]]:
    """The configuration nearest to `folder`, up to the top of its repository: its path and table, or an empty one.

    Raises `BadSettings` for a file that cannot be read or is no TOML.
    """
    here = os.path.abspath(folder)
    while True:
        own = os.path.join(here, CONFIG_FILE)
        if (raw := _read(own)) is not None:
            return own, _table(own, raw, ())
        project = os.path.join(here, "pyproject.toml")
        raw = _read(project)
        if raw is not None and b"tool.sharedstate" in raw:  # tomllib costs 11 ms: only where there is something to find
            return project, _table(project, raw, ("tool", "sharedstate"))
        above = os.path.dirname(here)
        if above == here or os.path.exists(os.path.join(here, ".git")):
            return "", {}
        here = above


def _read(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BadSettings(f"cannot read {path}: {error.strerror}") from error
    try:
        raw = os.read(fd, _BYTES_MAX + 1)
    except OSError as error:
        raise BadSettings(f"cannot read {path}: {error.strerror}") from error
    finally:
        os.close(fd)
    if len(raw) > _BYTES_MAX:
        raise BadSettings(f"cannot read {path}: more than {_BYTES_MAX} bytes")
    return raw


def _table(path: str, raw: bytes, keys: tuple[str, ...]) -> Mapping[str, Any]:
    import tomllib

    try:
        table: Any = tomllib.loads(raw.decode())
    except RecursionError:
        raise BadSettings(f"{path}: nested too deeply") from None
    except ValueError as error:
        raise BadSettings(f"{path}: {error}") from None
    for key in keys:
        table = table.get(key, {}) if isinstance(table, dict) else {}
    if not isinstance(table, dict):
        raise BadSettings(f"{path}: [{'.'.join(keys)}] is not a table")
    return table
