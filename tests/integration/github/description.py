"""GitHub's API description as a judge: is this request one of its operations, and this response one of its answers?

The description allows fields that it does not name. The judge is stricter: an object whose fields are described may
have no others, so that neither the fake nor the adapter gets used to something GitHub does not have.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jsonschema import Draft202012Validator, FormatChecker

from sharedstate.testing.github import Request, Response

FILE = Path(__file__).parents[2] / "data" / "github" / "openapi.json"
# Answers that any operation may give although the description names them with few.
_ANYWHERE = (304, 307, 400, 401, 403, 404, 410, 415, 429)
# What GitHub sends on top of its description.
_UNDESCRIBED = {
    "basic-error": ("errors",),
    "rate-limit": ("resource",),
    "validation-error": ("status",),
}
_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("date-time", raises=ValueError)
def _is_moment(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@_FORMATS.checks("uri", raises=ValueError)
def _is_uri(value: object) -> bool:
    return not isinstance(value, str) or bool(urlsplit(value).scheme and urlsplit(value).netloc)


class Description:
    """The operations by method and path, and what is wrong with an exchange."""

    def __init__(self, document: dict[str, Any]) -> None:
        schemas = {name: _json_schema(schema, name) for name, schema in document["components"]["schemas"].items()}
        self._document = document
        self._defs = {"components": {"schemas": schemas}}
        self._validators: dict[str, Draft202012Validator] = {}

    def complaints(self, request: Request, response: Response) -> list[str]:
        """What in an exchange is not as described. Requests are judged when they were accepted, answers always."""
        found = self._operation(request.method, request.path)
        if found is None:
            return [] if response.status in (401, 403, 404, 415, 429) else [f"{request.method} {request.path}: unknown"]
        path, operation = found
        where = f"{request.method} {path} -> {response.status}"
        complaints = [] if request.method == "HEAD" else list(self._of_response(operation, response))
        complaints = [f"{where}: {complaint}" for complaint in complaints]
        return complaints + (self.request_complaints(request) if response.status < 400 else [])

    def request_complaints(self, request: Request) -> list[str]:
        """What in a request is not as described."""
        found = self._operation(request.method, request.path)
        if found is None:
            return [f"{request.method} {request.path}: unknown"]
        path, operation = found
        return [f"{request.method} {path}: {complaint}" for complaint in self._of_request(operation, request)]

    def template(self, method: str, path: str) -> str:
        """The path as the description writes it, empty for an unknown one."""
        found = self._operation(method, path)
        return "" if found is None else found[0]

    # Requests

    def _of_request(self, operation: dict[str, Any], request: Request) -> Iterator[str]:
        known = {entry["name"]: entry for entry in map(self._resolved, operation.get("parameters", ()))}
        for name, text in request.query:
            parameter = known.get(name.removesuffix("[]"))
            if parameter is None or parameter["in"] != "query":
                yield f"the parameter {name} is not described"
            else:
                yield from self._errors(parameter["schema"], _read_as(parameter["schema"], text), at=f"?{name}")
        described = operation.get("requestBody")
        if not request.body:
            if described is not None and described.get("required"):
                yield "the body is missing"
            return
        if described is None:
            yield "no body is described"
            return
        schema = described["content"]["application/json"]["schema"]
        sent = json.loads(request.body)
        if isinstance(sent, list) and request.path.endswith("/labels"):
            sent = {"labels": sent}  # the prose of the description allows the list alone, its schema forgets it
        yield from self._errors(schema, sent, at="body")

    # Responses

    def _of_response(self, operation: dict[str, Any], response: Response) -> Iterator[str]:
        described = operation["responses"].get(str(response.status))
        if described is None:
            if response.status not in _ANYWHERE:
                yield "the status is not described"
            elif response.status >= 400:
                yield from self._errors({"$ref": "#/components/schemas/basic-error"}, response.json(), at="body")
            return
        content = self._resolved(described).get("content", {})
        if "application/json" not in content:
            if response.body and response.status < 400:
                yield "no body is described"
            return
        yield from self._errors(content["application/json"]["schema"], response.json(), at="body")

    # Schemas

    def _errors(self, schema: dict[str, Any], value: Any, *, at: str) -> Iterator[str]:
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            whole = {**_json_schema(schema, ""), **self._defs}
            self._validators[key] = Draft202012Validator(whole, format_checker=_FORMATS)
        for error in self._validators[key].iter_errors(value):
            yield f"{at}{error.json_path.removeprefix('$')}: {error.message[:300]}"

    def _resolved(self, node: dict[str, Any]) -> dict[str, Any]:
        if "$ref" not in node:
            return node
        found: Any = self._document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return dict(found)

    def _operation(self, method: str, path: str) -> tuple[str, dict[str, Any]] | None:
        segments = path.removeprefix("/api/v3").strip("/").split("/")
        if segments[0] == "repositories" and len(segments) > 1:
            segments = ["repos", "owner", "repo", *segments[2:]]
        wanted = "get" if method == "HEAD" else method.lower()
        matching = [
            (template, operations[wanted])
            for template, operations in self._document["paths"].items()
            if wanted in operations and _matches(template.strip("/").split("/"), segments)
        ]
        return min(matching, key=lambda match: match[0].count("{"), default=None)


@functools.cache
def description() -> Description:
    """The description that lies in the repository."""
    return Description(json.loads(FILE.read_text("utf-8")))


def _matches(template: list[str], segments: list[str]) -> bool:
    if len(template) != len(segments):
        return False
    return all(wanted.startswith("{") or wanted == given for wanted, given in zip(template, segments, strict=True))


def _read_as(schema: dict[str, Any], text: str) -> Any:
    return int(text) if schema.get("type") == "integer" and text.lstrip("-").isdigit() else text


def _json_schema(node: Any, name: str) -> Any:
    """A schema of OpenAPI 3.0 as JSON Schema: `nullable` becomes a type, described objects allow nothing else."""
    if isinstance(node, list):
        return [_json_schema(entry, name) for entry in node]
    if not isinstance(node, dict):
        return node
    made = {key: _json_schema(value, name) for key, value in node.items() if key != "nullable"}
    if made.get("type") == "object" and "properties" in made:
        made["properties"] |= {extra: {} for extra in _UNDESCRIBED.get(name, ())}
        made.setdefault("additionalProperties", False)
    for part in made.get("allOf", ()):
        part.pop("additionalProperties", None)  # the parts of a whole know nothing of each other
    if node.get("nullable") is not True:
        return made
    if "enum" in made:
        made["enum"] = [*made["enum"], None]
    if isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
        return made
    return {"anyOf": [made, {"type": "null"}]}
