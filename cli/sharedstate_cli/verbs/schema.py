"""`claims schema`: the JSON Schemas of the files and of what the command prints."""

from __future__ import annotations

import json

from sharedstate_cli.report import Report
from sharedstate_cli.session import Session


def schema(session: Session, *, name: str | None) -> Report:
    """One JSON Schema, or all of them by name. Without `--json` the plain schema document, indented."""
    from sharedstate_cli.full.schemas import schema_of, schemas

    if name is None:
        found = schemas()
        return Report(document={"ok": True, "schemas": found}, lines=tuple(json.dumps(found, indent=2).splitlines()))
    one = schema_of(name)
    document = {"ok": True, "name": name, "json_schema": one}
    return Report(document=document, lines=tuple(json.dumps(one, indent=2).splitlines()))
