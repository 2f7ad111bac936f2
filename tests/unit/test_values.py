"""Values: frozen, keyword-only, compared by type and content, silent about secrets."""

from __future__ import annotations

from typing import Any

import pytest

from sharedstate.clock import Instant
from sharedstate.values import Value


class Point(Value):
    x: int
    y: int = 2


class Named(Point):
    name: str = ""


class Secret(Value, hidden=("token",)):
    owner: str
    token: str


def test_fields_have_defaults_and_come_in_declaration_order() -> None:
    assert Point(x=1).fields() == {"x": 1, "y": 2}
    assert list(Named(name="n", x=1).replace(y=5).fields()) == ["x", "y", "name"]


def test_missing_and_unknown_fields_are_refused() -> None:
    wrong: list[dict[str, Any]] = [{}, {"y": 1}, {"x": 1, "z": 2}, {"x": 1, "y": 2, "z": 3}]
    for fields in wrong:
        with pytest.raises(TypeError, match="fields"):
            Point(**fields)


def test_an_unknown_field_does_not_stand_in_for_a_missing_one() -> None:
    misspelt: dict[str, Any] = {"at_ms": 1, "boot_ms": 2, "boot": "b"}
    with pytest.raises(TypeError, match=r"unknown fields \['boot'\], missing fields \['boot_id'\]"):
        Instant(**misspelt)


def test_replace_refuses_unknown_names() -> None:
    with pytest.raises(TypeError):
        Point(x=1).replace(z=3)


def test_values_cannot_be_changed() -> None:
    point: Any = Point(x=1)
    with pytest.raises(AttributeError, match="frozen"):
        point.x = 2
    with pytest.raises(AttributeError, match="frozen"):
        del point.x
    assert point.x == 1


def test_equal_means_same_type_and_content() -> None:
    assert Point(x=1) == Point(x=1, y=2)
    assert hash(Point(x=1)) == hash(Point(x=1, y=2))
    assert Point(x=1) != Point(x=2)
    assert Point(x=1) != Named(x=1)
    assert len({Point(x=1), Point(x=1), Point(x=3)}) == 2


def test_fields_are_a_copy() -> None:
    point = Point(x=1)
    point.fields()["x"] = 9
    assert point.x == 1


def test_secrets_are_masked_in_every_text() -> None:
    secret = Secret(owner="host/a", token="swordfish")
    for text in (repr(secret), str(secret), f"{secret}", repr([secret])):
        assert "swordfish" not in text
        assert "host/a" in text
