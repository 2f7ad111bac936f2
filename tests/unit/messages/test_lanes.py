"""Lanes: what the tables may say, which endpoints win, how the matrix looks; credentials never show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sharedstate import SharedState
from sharedstate.addresses import masked
from sharedstate.errors import BadSettings, InvalidInput
from sharedstate.messages.lanes import (
    RIGHTS,
    RIGHTS_DEFAULT,
    check_lanes,
    endpoints_of,
    lane_of,
    lanes_of,
    markdown,
    matrix,
    may,
)
from sharedstate.settings import Settings, resolve

TABLES = """
max_retries = 4
[lanes.core]
role = "a | *b*"
endpoints = ["http://127.0.0.1:8801", "http://127.0.0.1:8802"]

[lanes.web]
role = "the web view"
rights = ["send", "read"]
primary = "https://robot:hidden-word@gate.example/a?key=hidden-word"
fallback = "https://spare.example"

[lanes.docs]
rights = []
"""


def configured(folder: Path, text: str, *, env: dict[str, str] | None = None, **arguments: Any) -> Settings:
    (folder / ".git").mkdir(exist_ok=True)
    (folder / "sharedstate.toml").write_text(text)
    return resolve(arguments, env=env or {}, folder=str(folder))


# What the tables may say


def test_lanes_are_read_with_role_rights_and_endpoints(tmp_path: Path) -> None:
    lanes = lanes_of(configured(tmp_path, TABLES))
    assert list(lanes) == ["core", "web", "docs"]
    assert lanes["core"].rights == RIGHTS_DEFAULT
    assert lanes["web"].rights == ("read", "send"), "in the order of the table of rights"
    assert lanes["docs"].rights == ()


def test_lanes_stand_in_pyproject_as_well(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "pyproject.toml").write_text("[tool.sharedstate.lanes.core]\nrole = 'x'\n")
    assert list(lanes_of(resolve({}, env={}, folder=str(tmp_path)))) == ["core"]


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("[lanes.core]\nroles = 'x'", r"unknown key 'roles' \(lanes.core\); did you mean 'role'\?"),
        ("[lanes.core]\nrights = ['sent']", r"unknown right 'sent' \(lanes.core.rights\); did you mean 'send'\?"),
        ("[lanes.core]\nrights = ['zzz']", "known: read, send, claim, start, stop, force"),
        ("[lanes.core]\nrights = 'send'", "lanes.core.rights: expected a list of texts"),
        ("[lanes.core]\nrole = 5", "lanes.core.role: expected one line of text"),
        ("[lanes.core]\nendpoints = [5]", "lanes.core.endpoints: expected one line of text"),
        ("[lanes.core]\nfallback = 'http://a'", "lanes.core: a fallback without a primary"),
        ("[lanes.core]\nprimary = 'http://a'\nendpoints = ['http://b']", "either endpoints, or primary and fallback"),
        ("lanes = 5", "expected tables"),
        ("[lanes]\ncore = 5", r"expected a table \[lanes.core\]"),
        ("[lanes.'a b']\n", "lane: at most 60 of"),
        ("[lane.core]\n", "lane"),
        ("[lanse.core]\n", "did you mean 'lanes'"),
        (f"[lanes.core]\nendpoints = {[f'http://h{number}' for number in range(9)]}", "9 endpoints"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_suggestion(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BadSettings, match=complaint):
        check_lanes(configured(tmp_path, text))


def test_an_unknown_lane_is_refused_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"unknown lane 'cor' \(environment SHARED_STATE_LANE\); did you mean 'core'"):
        check_lanes(configured(tmp_path, TABLES, env={"SHARED_STATE_LANE": "cor"}))
    with pytest.raises(BadSettings, match="known: none"):
        lane_of(configured(tmp_path, ""), "core")


def test_opening_the_state_refuses_a_typo_in_the_lanes(tmp_path: Path) -> None:
    configured(tmp_path, "[lanes.core]\nright = []\n")
    with pytest.raises(BadSettings, match="did you mean 'rights'"):
        SharedState.open(folder=tmp_path)


def test_a_lane_is_chosen_by_name_or_setting_or_not_at_all(tmp_path: Path) -> None:
    settings = configured(tmp_path, TABLES, lane="web")
    assert getattr(lane_of(settings), "name", None) == "web"
    assert getattr(lane_of(settings, "core"), "name", None) == "core"
    assert lane_of(settings, "") is None
    assert lane_of(configured(tmp_path, TABLES)) is None


def test_a_lane_may_what_its_rights_say_and_nobody_is_held_to_no_lane(tmp_path: Path) -> None:
    lanes = lanes_of(configured(tmp_path, TABLES))
    assert [right for right in RIGHTS if may(lanes["web"], right)] == ["read", "send"]
    assert not may(lanes["core"], "force"), "force is never had by default"
    assert all(may(None, right) for right in RIGHTS)
    with pytest.raises(InvalidInput):
        may(None, "sent")


# Which endpoints


ALL = {
    "endpoints": ("http://global1", "http://global2"),
    "endpoint_primary": "http://globalp",
    "endpoint_fallback": "http://globalf",
}


@pytest.mark.parametrize(
    "lane, without, expected, source",
    [
        ("core", (), ("http://127.0.0.1:8801", "http://127.0.0.1:8802"), "lane list"),
        ("pair", (), ("http://lanep", "http://lanef"), "lane primary/fallback"),
        ("bare", (), ("http://global1", "http://global2"), "global list"),
        ("bare", ("endpoints",), ("http://globalp", "http://globalf"), "global primary/fallback"),
        ("bare", ("endpoints", "endpoint_fallback"), ("http://globalp",), "global primary/fallback"),
        ("bare", tuple(ALL), (), "own store"),
    ],
)
def test_the_first_level_that_names_endpoints_decides_alone(
    tmp_path: Path, lane: str, without: tuple[str, ...], expected: tuple[str, ...], source: str
) -> None:
    text = TABLES + "[lanes.pair]\nprimary = 'http://lanep'\nfallback = 'http://lanef'\n[lanes.bare]\n"
    given: dict[str, Any] = {name: value for name, value in ALL.items() if name not in without}
    settings = configured(tmp_path, text, env=None, **given)
    assert endpoints_of(settings, lane_of(settings, lane)) == expected
    assert {row.lane: row.source for row in matrix(settings)}[lane] == source
    assert endpoints_of(settings, lane_of(settings, lane), ["http://mine", "http://mine "]) == ("http://mine",)


def test_endpoints_come_from_the_environment_in_their_order() -> None:
    settings = resolve({}, env={"SHARED_STATE_ENDPOINTS": "http://b, http://a"}, folder="/")
    assert endpoints_of(settings, None) == ("http://b", "http://a")


# The matrix, and what is not shown


def test_the_matrix_is_a_table_in_markdown_without_credentials(tmp_path: Path) -> None:
    text = markdown(matrix(configured(tmp_path, TABLES)))
    assert text.splitlines() == [
        "| Lane | Role | read | send | claim | start | stop | force | Endpoints |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        r"| core | a \| \*b\* | yes | yes | yes | yes | yes | - | `http://127.0.0.1:8801`, `http://127.0.0.1:8802` |",
        "| web | the web view | yes | yes | - | - | - | - | `https://…@gate.example/a?…`, `https://spare.example` |",
        "| docs |  | - | - | - | - | - | - | own store |",
    ]


def test_no_credential_shows_in_a_repr_of_settings_or_lanes(tmp_path: Path) -> None:
    settings = configured(tmp_path, TABLES, http_token="hidden-word", endpoints=("http://u:hidden-word@h",), lane="web")
    assert "hidden-word" not in repr(settings) + repr(lane_of(settings)) + repr(matrix(settings))


@pytest.mark.parametrize(
    "text, shown",
    [
        ("http://u:p@h:1/x", "http://…@h:1/x"),
        ("http://u:p@w@h/x", "http://…@h/x"),
        ("http://u:p/w@h/x", "http://…@h/x"),
        ("two: 'http://u@h', 'redis://:p@k/0?q=p'", "two: 'http://…@h', 'redis://…@k/0?…'"),
        ("https://h/x#p", "https://h/x?…"),
        ("nobody@example", "nobody@example"),
        ("http://h/x", "http://h/x"),
    ],
)
def test_credentials_in_addresses_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown
