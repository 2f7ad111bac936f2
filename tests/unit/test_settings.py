"""Settings: where each value comes from, and what is refused with name and range."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sharedstate.errors import BadSettings
from sharedstate.settings import BY_NAME, SETTINGS, Setting, Settings, resolve


def settings(
    arguments: Mapping[str, Any] | None = None, *, env: Mapping[str, str] | None = None, folder: Path | str = "/"
) -> Settings:
    return resolve(arguments, env=env or {}, folder=str(folder))


def project(tmp_path: Path, **files: str) -> Path:
    (tmp_path / ".git").mkdir()
    for name, text in files.items():
        (tmp_path / f"{name}.toml").write_text(text, "utf-8")
    return tmp_path


# Defaults, as promised to users


def test_the_defaults_are_the_documented_ones() -> None:
    resolved = settings()
    assert resolved.enabled is True
    assert resolved.required is False
    assert resolved.heartbeat_interval_ms == 60_000
    assert resolved.stale_threshold_ms == 300_000
    assert resolved.max_retries == 3
    assert resolved.owner_stale_ttl_ms == 600_000
    assert resolved.durability == "full"
    assert set(resolved.origins.values()) == {"default"}


def test_every_setting_has_its_variable_and_its_field() -> None:
    assert set(resolve({}, env={}, folder="/").fields()) - {"origins", "lanes"} == set(BY_NAME)
    assert len({setting.env for setting in SETTINGS}) == len(SETTINGS)
    theirs = {"owner_stale_ttl_ms", "github_api_url"}  # names that others have given
    assert all(setting.env.startswith("SHARED_STATE_") for setting in SETTINGS if setting.name not in theirs)
    assert BY_NAME["owner_stale_ttl_ms"].env == "TASK_CLAIM_OWNER_STALE_TTL_MS"


def test_every_default_would_pass_its_own_check() -> None:
    for setting in SETTINGS:
        assert getattr(settings({setting.name: setting.default}), setting.name) == setting.default


# Precedence


def test_argument_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    folder = project(tmp_path, sharedstate="max_retries = 7\nstale_threshold_ms = 400_000\nclock_skew_ms = 1")
    env = {"SHARED_STATE_MAX_RETRIES": "8", "SHARED_STATE_STALE_THRESHOLD_MS": "500000"}
    resolved = settings({"max_retries": 9}, env=env, folder=folder)
    assert (resolved.max_retries, resolved.stale_threshold_ms, resolved.clock_skew_ms) == (9, 500_000, 1)
    assert resolved.origins["max_retries"] == "argument"
    assert resolved.origins["stale_threshold_ms"] == "environment SHARED_STATE_STALE_THRESHOLD_MS"
    assert resolved.origins["clock_skew_ms"] == str(tmp_path / "sharedstate.toml")
    assert resolved.origins["durability"] == "default"


def test_an_argument_that_is_none_and_an_empty_variable_count_as_not_given() -> None:
    resolved = settings({"max_retries": None}, env={"SHARED_STATE_MAX_RETRIES": ""})
    assert resolved.max_retries == 3
    assert resolved.origins["max_retries"] == "default"


def test_the_nearest_file_above_the_folder_counts_up_to_the_top_of_the_repository(tmp_path: Path) -> None:
    (tmp_path / "sharedstate.toml").write_text("max_retries = 1")
    top = tmp_path / "repository"
    deep = top / "src" / "deep"
    deep.mkdir(parents=True)
    assert settings(folder=deep).max_retries == 1, "outside a repository, any folder above"
    (top / ".git").mkdir()
    assert settings(folder=deep).max_retries == 3, "what lies above the repository is not its configuration"
    (top / "pyproject.toml").write_text("[tool.sharedstate]\nmax_retries = 2")
    assert settings(folder=deep).max_retries == 2
    (top / "src" / "sharedstate.toml").write_text("max_retries = 4")
    assert settings(folder=deep).max_retries == 4


def test_own_file_wins_over_the_table_in_pyproject_beside_it(tmp_path: Path) -> None:
    folder = project(tmp_path, sharedstate="max_retries = 5", pyproject="[tool.sharedstate]\nmax_retries = 6")
    assert settings(folder=folder).max_retries == 5


def test_a_pyproject_without_our_table_says_nothing(tmp_path: Path) -> None:
    folder = project(tmp_path, pyproject='[project]\nname = "x"\n[tool.other]\nmax_retries = 6')
    assert settings(folder=folder).max_retries == 3


def test_a_relative_state_root_in_a_file_is_relative_to_that_file(tmp_path: Path) -> None:
    """Else every folder of one repository would have a state of its own."""
    folder = project(tmp_path, sharedstate='dir = "state"')
    (folder / "src").mkdir()
    assert settings(folder=folder / "src").dir == str(tmp_path / "state")
    assert settings({"dir": "state"}, folder=folder / "src").dir == "state", "an argument is the caller's own path"


# Kinds


@pytest.mark.parametrize("text", ["1", "true", "YES", " on "])
def test_flags_that_are_true(text: str) -> None:
    assert settings(env={"SHARED_STATE_REQUIRED": text}).required is True


@pytest.mark.parametrize("text", ["0", "False", "no", "off"])
def test_flags_that_are_false(text: str) -> None:
    assert settings(env={"SHARED_STATE_ENABLED": text}).enabled is False


def test_lists_are_separated_by_commas_or_are_lists() -> None:
    assert settings(env={"SHARED_STATE_COORDINATORS": "h/a, h/b*,,"}).coordinators == ("h/a", "h/b*")
    assert settings({"coordinators": ["h/a"]}).coordinators == ("h/a",)


def test_paths_are_texts() -> None:
    assert settings({"dir": Path("state")}).dir == "state"


def _each(name: str, values: list[Any]) -> list[tuple[str, Any]]:
    return [(name, value) for value in values]


BAD: list[tuple[str, Any]] = [
    *_each("max_retries", [-1, 1001, "many", "", "3.5", 3.0, True, "0x3", "1e3", "\u0663", "-", "--3", [3]]),
    *_each("max_retries", ["9" * 30, 10**30, "3 4", "+3", "3_0"]),
    *_each("heartbeat_interval_ms", [0, 9, 86_400_001]),
    *_each("stale_threshold_ms", [0, 29, 30 * 86_400_000 + 1]),
    *_each("lock_timeout_ms", [0, 600_001]),
    *_each("enabled", ["maybe", 2, "2", 1.0, []]),
    *_each("durability", ["sometimes", "FULL", 1, True]),
    *_each("dir", [5, "a\0b", ["x"]]),
    *_each("coordinators", [5, [5], {"h/a": 1}, ["h/a", None]]),
]


@pytest.mark.parametrize("name, bad", BAD, ids=lambda value: ascii(value)[:30])
def test_a_bad_value_is_refused_with_name_and_origin(name: str, bad: Any) -> None:
    with pytest.raises(BadSettings) as caught:
        settings({name: bad})
    message = str(caught.value)
    assert message.startswith(f"{name}=")
    assert "(argument)" in message


@pytest.mark.parametrize("setting", [s for s in SETTINGS if s.kind == "number"], ids=lambda s: s.name)
def test_out_of_range_names_the_range(setting: Setting) -> None:
    for bad in (setting.low - 1, setting.high + 1):
        with pytest.raises(BadSettings, match=f"must be from {setting.low} to {setting.high}|whole number from"):
            settings({setting.name: bad})


def test_a_bad_variable_is_called_by_the_name_of_the_variable() -> None:
    with pytest.raises(BadSettings, match=r"^SHARED_STATE_MAX_RETRIES='lots' \(environment"):
        settings(env={"SHARED_STATE_MAX_RETRIES": "lots"})


# Contradictions


def test_a_heartbeat_of_exactly_a_third_of_the_threshold_is_allowed() -> None:
    resolved = settings({"heartbeat_interval_ms": 1_000, "stale_threshold_ms": 3_000})
    assert resolved.heartbeat_interval_ms * 3 == resolved.stale_threshold_ms


def test_a_slower_heartbeat_is_refused_with_both_values_and_the_limit() -> None:
    with pytest.raises(BadSettings, match=r"HEARTBEAT_INTERVAL_MS=1001.*STALE_THRESHOLD_MS=3000 \(at most 1000\)"):
        settings({"heartbeat_interval_ms": 1_001, "stale_threshold_ms": 3_000})


def test_a_threshold_lowered_alone_contradicts_the_default_heartbeat() -> None:
    with pytest.raises(BadSettings, match="at most 3333"):
        settings(env={"SHARED_STATE_STALE_THRESHOLD_MS": "10000"})


# Unknown names


@pytest.mark.parametrize(
    "name, close", [("max_retrys", "max_retries"), ("staleThresholdMs", "stale_threshold_ms"), ("durable", ".")]
)
def test_an_unknown_key_is_refused_with_a_suggestion(tmp_path: Path, name: str, close: str) -> None:
    folder = project(tmp_path, sharedstate=f"{name} = 1")
    with pytest.raises(BadSettings, match=f"unknown setting '{name}'.*sharedstate.toml.*{close}"):
        settings(folder=folder)
    with pytest.raises(BadSettings, match=f"unknown setting '{name}' .argument"):
        settings({name: 1})


def test_an_unknown_key_like_nothing_gets_the_list_of_known_ones() -> None:
    with pytest.raises(BadSettings, match="known: dir, url, owner"):
        settings({"zzzz": 1})


# Files that are no settings

BROKEN = {
    "syntax": b"max_retries = = 3",
    "not UTF-8": b'owner = "\xff"',
    "twice": b"max_retries = 1\nmax_retries = 2",
    "truncated": b'[tool.sharedstate]\nowner = "ho',
    "nothing but NULs": b"\0" * 100,
    "conflict markers": b"<<<<<<< ours\nmax_retries = 1\n=======\nmax_retries = 2\n>>>>>>> theirs\n",
    "byte order mark": b"\xef\xbb\xbfmax_retries = 1",
    "huge number": b"max_retries = " + b"9" * 5_000,
    "bottomless": b"max_retries = " + b"[" * 100_000,
    "2 MB": b"# " + b"x" * 2_000_000 + b"\nmax_retries = 4\n",
    "a moment": b"owner = 2026-03-01",
    "a table": b"[max_retries]\nvalue = 3",
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_named_and_never_a_traceback(tmp_path: Path, raw: bytes) -> None:
    path = project(tmp_path) / "sharedstate.toml"
    path.write_bytes(raw)
    with pytest.raises(BadSettings, match=r"sharedstate\.toml") as caught:
        settings(folder=tmp_path)
    assert len(str(caught.value)) < 500


def test_a_table_of_another_kind_is_named(tmp_path: Path) -> None:
    folder = project(tmp_path, pyproject='[tool]\nsharedstate = "tool.sharedstate"')
    with pytest.raises(BadSettings, match=r"\[tool.sharedstate\] is not a table"):
        settings(folder=folder)


def test_a_folder_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    (project(tmp_path) / "sharedstate.toml").mkdir()
    with pytest.raises(BadSettings, match=r"cannot read .*sharedstate\.toml"):
        settings(folder=tmp_path)


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert settings(folder=project(tmp_path, sharedstate="")).max_retries == 3


def test_the_error_says_how_to_see_all_values() -> None:
    with pytest.raises(BadSettings) as caught:
        settings({"max_retries": -1})
    assert caught.value.hint == "see `claims config show --origin` for every value and where it comes from"
    assert caught.value.exit_code == 78
