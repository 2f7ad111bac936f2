"""What the JSON Schemas are made of: kinds of values, and objects that may grow."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0)]
Fence = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(ge=0)]
Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
TaskId = Annotated[str, Field(min_length=1, max_length=200)]
Status = Literal["new", "claimed", "complete", "failed", "abandoned"]


class Open(BaseModel):
    """An object that may grow: unknown fields are allowed and kept."""

    model_config = ConfigDict(extra="allow", strict=True)


class Ok(Open):
    """An answer of the command that went well."""

    schema_: Literal[1] = Field(alias="schema")
    ok: Literal[True]


class NotOk(Open):
    """An answer of the command that says no, and why."""

    schema_: Literal[1] = Field(alias="schema")
    ok: Literal[False]
    reason: str
    task: str | None = None
    detail: str | None = None
