"""The front door: settings, root, URL of the store, and what is refused there."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharedstate import SharedState
from sharedstate.errors import BadSettings
from sharedstate.tasks.outcomes import Claimed, Refused


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_opening_creates_nothing_before_the_first_write(folder: Path) -> None:
    with SharedState.open() as state:
        assert state.tasks.get("T-1") is None
        assert list(state.events()) == []
        assert state.claims.sweep(dry_run=True).swept == ()
    assert [path.name for path in folder.iterdir()] == [".git"]


def test_a_relative_root_in_a_file_is_one_root_for_every_folder(folder: Path) -> None:
    (folder / "sharedstate.toml").write_text('dir = "state"')
    (folder / "src").mkdir()
    with SharedState.open() as above, SharedState.open(folder=folder / "src") as below:
        assert above.root == below.root == str(folder / "state")


def test_a_shared_store_elsewhere_serves_several_roots(folder: Path) -> None:
    url = f"file://{folder / 'shared'}"
    with (
        SharedState.open(folder / "a", owner="h/a", url=url) as one,
        SharedState.open(folder / "b", owner="h/b", url=url) as other,
    ):
        assert isinstance(one.claims.claim("T-1"), Claimed)
        assert isinstance(other.claims.claim("T-1"), Refused)


def test_the_url_of_the_default_root_is_the_default(folder: Path) -> None:
    with SharedState.open(folder / "r") as state:
        assert isinstance(state.claims.claim("T-1"), Claimed)
    for url in (f"file://{folder / 'r'}", f"file://{folder / 'r'}/"):
        with SharedState.open(folder / "r", url=url) as state:
            assert state.tasks.get("T-1") is not None


@pytest.mark.parametrize(
    "url",
    ["file://relative/path", "file://", "file:", "nonsense", "redis+x://host", "://", "http://user:secret@host/x"],
)
def test_a_url_that_no_store_serves_is_a_bad_setting_and_not_repeated(folder: Path, url: str) -> None:
    with pytest.raises(BadSettings) as caught:
        SharedState.open(url=url)
    assert "secret" not in str(caught.value)


def test_a_bad_owner_is_refused_at_the_door(folder: Path) -> None:
    with pytest.raises(BadSettings, match="owner from argument"):
        SharedState.open(owner="a\nb")


def test_an_unknown_setting_is_refused_at_the_door(folder: Path) -> None:
    with pytest.raises(BadSettings, match="did you mean 'max_retries'"):
        SharedState.open(max_retrys=5)
