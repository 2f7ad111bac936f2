"""Cuts GitHub's API description down to what the fake answers; tests/data/github/PROVENANCE.md says where it is from.

    python -m tests.integration.github.cut_description PACKAGE/generated/api.github.com.json

Kept: parameters, bodies, responses, and the components they use. Dropped: prose, examples, extensions.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from sharedstate.testing.github.world import ROUTES
from tests.integration.github.description import FILE

_PROSE = frozenset(("description", "examples", "example", "externalDocs", "tags", "summary", "deprecated", "title"))


def cut(whole: dict[str, Any]) -> dict[str, Any]:
    """The description of the fake's operations alone; `KeyError` for an operation that GitHub does not describe."""
    paths: dict[str, dict[str, Any]] = {}
    for method, path, _ in ROUTES:
        paths.setdefault(path, {})[method.lower()] = _slim(whole["paths"][path][method.lower()])
    kept: dict[str, Any] = {"openapi": whole["openapi"], "paths": paths, "components": {}}
    pending = _references(paths)
    while pending:
        reference = pending.pop()
        _, kind, name = reference.removeprefix("#/").split("/")
        held = kept["components"].setdefault(kind, {})
        if name not in held:
            held[name] = _slim(whole["components"][kind][name])
            pending |= _references(held[name])
    return kept


def _slim(node: Any, *, names: bool = False) -> Any:
    """The node without prose. Below `properties` every key is a name, also one that reads like prose."""
    if isinstance(node, list):
        return [_slim(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _slim(value, names=key == "properties" and not names)
        for key, value in node.items()
        if names or not (key in _PROSE or key.startswith("x-"))
    }


def _references(node: Any) -> set[str]:
    if isinstance(node, list):
        return {reference for entry in node for reference in _references(entry)}
    if not isinstance(node, dict):
        return set()
    found = {reference for value in node.values() for reference in _references(value)}
    reference = node.get("$ref")
    return found | {reference} if isinstance(reference, str) else found


if __name__ == "__main__":
    document = cut(json.loads(Path(sys.argv[1]).read_text("utf-8")))
    FILE.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", "utf-8")
