"""`claims schedule`: what is printed is installed, installing twice changes nothing, removing takes all back."""

from __future__ import annotations

import os
import plistlib
from pathlib import Path

import pytest

from tests.unit.cli.shell import Shell
from tests.unit.cli.tools import Tools

SYSTEMS = ("systemd", "cron", "launchd", "github-actions")


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    return Tools(tmp_path, monkeypatch)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a difficult name to work in, and a board to sync with."""
    folder = tmp_path / "it's 100% $HOME"
    (folder / ".git").mkdir(parents=True)
    (folder / "sharedstate.toml").write_text('repository = ["acme/app"]\n')
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_schedule_goes_round(shell: Shell, tools: Tools, repository: Path, system: str) -> None:
    printed = {file["content"] for file in shell(f"schedule print --{system}").document["files"]}
    assert shell(f"schedule status --{system}").document["installed"] == []
    first = shell(f"schedule install --{system}")
    assert (first.code, first.document["unchanged"]) == (0, [])
    assert printed == _installed(first.document["changed"], tools)
    found = shell("schedule status").document["installed"]
    assert {one["system"] for one in found} == {system}
    assert {one["active"] for one in found} == {None if system == "github-actions" else True}
    tools.told()
    assert shell(f"schedule install --{system}").document["changed"] == []
    assert not {"crontab -", "launchctl bootstrap"} & set(tools.told())
    removed = shell(f"schedule remove --{system}").document["changed"]
    assert sorted(removed) == sorted(first.document["changed"])
    assert shell("schedule status").document["installed"] == []
    assert shell(f"schedule remove --{system}").document["changed"] == []
    assert "nothing had to be removed" in shell.text(f"schedule remove --{system}").out


def _installed(wheres: list[str], tools: Tools) -> set[str]:
    return {tools.crontab if where == "crontab" else Path(where).read_text() for where in wheres}


def test_a_new_interval_replaces_the_old_one_and_restarts_the_timer(
    shell: Shell, tools: Tools, repository: Path
) -> None:
    shell("schedule install --systemd --sweep-every 5m")
    tools.told()
    changed = shell("schedule install --systemd --sweep-every 10m").document["changed"]
    assert [os.path.basename(where).partition("-")[2][:5] for where in changed] == ["sweep"]
    verbs = [line.split()[1] for line in tools.told()]
    assert verbs == ["daemon-reload", "enable", "restart", "enable", "start"]


def test_one_job_is_removed_and_the_other_stays(shell: Shell, tools: Tools, repository: Path) -> None:
    tools.crontab = "MAILTO=me\n"
    shell("schedule install --cron")
    shell("schedule remove --cron --job sync")
    [line] = tools.crontab.splitlines()[1:]
    assert " sweep --dir " in line
    shell("schedule remove --cron")
    assert tools.crontab == "MAILTO=me\n"


def test_a_crontab_that_cannot_be_read_is_not_written_over(shell: Shell, tools: Tools) -> None:
    tools.crontab = "0 1 * * * backup\n"
    tools.break_down()
    answer = shell("schedule install --cron")
    assert (answer.code, answer.document["error"]["code"]) == (75, "store_unavailable")
    assert "you may not use this program" in answer.document["error"]["message"]
    assert tools.crontab == "0 1 * * * backup\n"


def test_a_scheduler_that_is_not_there_is_said_with_the_next_step(shell: Shell, tools: Tools) -> None:
    shell("schedule install --systemd")
    tools.remove()
    for system in ("cron", "systemd", "launchd"):
        answer = shell(f"schedule install --{system}")
        assert answer.code == 75
        assert "schedule print" in answer.document["error"]["hint"]
    assert shell("schedule remove --systemd").document["changed"]  # the files are gone all the same
    assert shell("schedule status --cron").code == 0


def test_a_sync_is_scheduled_only_where_there_is_something_to_sync_with(
    shell: Shell, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    [file] = shell("schedule print --cron").document["files"]
    assert len(file["content"].splitlines()) == 1
    refused = shell("schedule print --cron --job sync")
    assert (refused.code, "SHARED_STATE_REPOSITORY" in refused.document["error"]["hint"]) == (78, True)
    monkeypatch.setenv("SHARED_STATE_REPOSITORY", "acme/app")
    [file] = shell("schedule print --cron").document["files"]
    assert len(file["content"].splitlines()) == 2


def test_what_a_scheduler_does_not_know_is_said(
    shell: Shell, tools: Tools, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARED_STATE_OWNER", "me")
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_secret")
    answer = shell("schedule print --cron")
    assert "SHARED_STATE_OWNER" in answer.err
    assert "github_token_file" in answer.err
    assert "ghp_secret" not in answer.out + answer.err
    monkeypatch.setenv("SHARED_STATE_GITHUB_TOKEN_FILE", "/etc/token")
    assert "github_token_file" not in shell("schedule print --cron").err


def test_the_workflow_belongs_to_a_repository_and_a_foreign_one_is_left_alone(
    shell: Shell, tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shell("schedule install --github-actions").code == 2
    (tmp_path / ".git").mkdir()
    path = tmp_path / ".github" / "workflows" / "sharedstate.yml"
    path.parent.mkdir(parents=True)
    path.write_text("name: mine\n")
    assert shell("schedule install --github-actions").code == 2
    assert shell("schedule remove --github-actions").code == 2
    assert path.read_text() == "name: mine\n"


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_is_printed_is_what_is_installed(shell: Shell, tools: Tools, repository: Path, system: str) -> None:
    for job in ("sweep", "sync"):
        files = shell(f"schedule print --job {job} --{system}").document["files"]
        printed = shell.text(f"schedule print --job {job} --{system}").out
        assert all(file["content"] in printed for file in files)


@pytest.mark.parametrize("system", ["systemd", "launchd"])
def test_an_install_that_cannot_be_leaves_nothing_behind(
    shell: Shell, tools: Tools, repository: Path, system: str
) -> None:
    tools.remove()
    assert shell(f"schedule install --{system}").code == 75
    assert shell("schedule status").document["installed"] == []


def test_two_state_roots_live_side_by_side(shell: Shell, tools: Tools, tmp_path: Path) -> None:
    other = Shell(tmp_path / "other")
    shell("schedule install --cron")
    other("schedule install --cron")
    assert len(tools.crontab.splitlines()) == 2
    other("schedule remove --cron")
    assert len(tools.crontab.splitlines()) == 1
    assert len(shell("schedule status --cron").document["installed"]) == 1


def test_one_scheduler_at_a_time(shell: Shell) -> None:
    assert shell("schedule print --cron --systemd").code == 2
    assert shell("schedule print --cron --sweep-every 90s").code == 2


def test_print_writes_nothing_and_is_ready_to_be_piped(shell: Shell, tools: Tools, repository: Path) -> None:
    out = shell.text("schedule print --launchd --job sweep").out
    assert plistlib.loads(out.encode())["StartInterval"] == 300
    assert tools.told() == []
    assert list(tools.home.iterdir()) == []
    assert not shell.root.exists()
