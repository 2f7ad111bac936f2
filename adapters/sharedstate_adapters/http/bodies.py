"""The bodies that the gateway takes, as pydantic models: strict, every field bounded, nothing unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from sharedstate.claims.model import TTL_MS_MAX, TTL_MS_MIN
from sharedstate.errors import InvalidInput
from sharedstate.jsonio import COUNT_MAX

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Token = Annotated[str, StringConstraints(min_length=8, max_length=200)]
Note = Annotated[str, StringConstraints(max_length=1000)]
ErrorText = Annotated[str, StringConstraints(max_length=20_000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AckBody(_Body):
    """Either `up_to`, a sequence that was looked at, or `ids` of messages; `store` where the sequence came from."""

    up_to: Annotated[int, Field(ge=0, le=COUNT_MAX)] | None = None
    ids: Annotated[list[Name], Field(min_length=1, max_length=1000)] | None = None
    store: Annotated[str, StringConstraints(max_length=100)] = ""


class ClaimBody(_Body):
    """A claim for an owner; the answer holds the token that renews and releases it."""

    task: Name
    owner: Name
    ttl_ms: Annotated[int, Field(ge=TTL_MS_MIN, le=TTL_MS_MAX)] | None = None
    token: Token | None = None
    meta: Annotated[dict[Name, Note], Field(max_length=50)] | None = None
    scope: Annotated[list[Annotated[str, StringConstraints(max_length=500)]], Field(max_length=100)] = []
    priority: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    reopen: bool = False


class RenewBody(_Body):
    """Shows that an owner is alive; the token is always asked for here."""

    owner: Name
    token: Token


class ReleaseBody(_Body):
    """Ends an attempt; `error` only says something with `failed`."""

    owner: Name
    token: Token
    status: Literal["complete", "failed", "abandoned"] = "complete"
    error: ErrorText | None = None


MODELS: dict[str, type[_Body]] = {"Ack": AckBody, "Claim": ClaimBody, "Renew": RenewBody, "Release": ReleaseBody}
B = TypeVar("B", bound=_Body)


def read_body(model: type[B], document: Mapping[str, Any]) -> B:
    """The body as a value. Raises `InvalidInput` that names the first field that is wrong."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the body"
        raise InvalidInput(f"{where[:100]}: {first['msg']}") from None
