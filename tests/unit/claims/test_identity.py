"""Who is the owner, by default and by choice."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharedstate.claims.identity import host_name, identify
from sharedstate.errors import BadSettings


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "ada")


def default_of(folder: Path) -> str:
    return identify("", origin="default", folder=str(folder)).owner


def test_a_configured_owner_without_a_slash_gets_the_workstation_in_front() -> None:
    assert identify("agent-1", origin="argument", folder="/").owner == f"{host_name()}/agent-1"
    assert identify("elsewhere/agent-1", origin="argument", folder="/").owner == "elsewhere/agent-1"


@pytest.mark.parametrize("owner", ["a\nb", "x" * 201, "\u202ex", " x/y", "\ud800"])
def test_a_bad_owner_is_a_bad_setting_that_says_where_it_came_from(owner: str) -> None:
    with pytest.raises(BadSettings, match="owner from environment SHARED_STATE_OWNER"):
        identify(owner, origin="environment SHARED_STATE_OWNER", folder="/")


def test_the_default_is_the_same_in_every_folder_of_a_work_tree_and_through_links(tmp_path: Path) -> None:
    tree = tmp_path / "project"
    (tree / ".git").mkdir(parents=True)
    (tree / "src" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tree)
    owner = default_of(tree)
    assert owner.startswith(f"{host_name()}/ada.project-")
    assert default_of(tree / "src" / "deep") == owner
    assert default_of(tmp_path / "link" / "src") == owner


def test_work_trees_of_the_same_name_have_different_owners(tmp_path: Path) -> None:
    """A fleet puts each agent into a folder of its own, with the same name below: `agent-17/project`."""
    owners = set()
    for number in range(2_000):
        tree = tmp_path / f"{number}" / "project"
        tree.mkdir(parents=True)
        owners.add(default_of(tree))
    assert len(owners) == 2_000


def test_users_of_one_work_tree_have_different_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = default_of(tmp_path)
    monkeypatch.setenv("USER", "grace")
    assert default_of(tmp_path) != first


def test_any_name_of_a_folder_makes_a_sound_owner(tmp_path: Path) -> None:
    for name in ("a b", "x\ny", "\u202e", "日本", "a" * 200, "e\u0301", ".", "-rf"):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        assert default_of(folder).startswith(f"{host_name()}/ada.")


@pytest.mark.parametrize("name", ["", "x\ny", "\u202ex", "u" * 300])
def test_any_name_of_a_user_makes_a_sound_owner(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(variable, name)
    assert default_of(tmp_path).startswith(f"{host_name()}/")
