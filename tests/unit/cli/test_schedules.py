"""Schedules as text: each is accepted by what will read it, whatever is in the paths."""

from __future__ import annotations

import os
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharedstate.errors import InvalidInput
from sharedstate_cli import schedules
from sharedstate_cli.schedules import Job, check_job, render

MARK = "0011aabb"
FOLDERS = (
    "plain",
    "a b",
    "100%",
    "%h",
    'q"uote',
    "it's",
    "$HOME",
    "a$$b",
    "back\\slash",
    "größe",
    "a;b&c",
    "#x",
    "<x>",
    "k=v",
)
crontab_text = st.text(st.characters(exclude_characters="\0", codec="utf-8"))


def job(name: str = "sweep", *, folder: str = "/srv/app", every_ms: int = 300_000) -> Job:
    return Job(
        name=name,
        command=(f"{folder}/bin/claims",),
        root=f"{folder}/state",
        folder=folder,
        mark=MARK,
        every_ms=every_ms,
    )


def program(folder: Path, *, mark: str = MARK) -> Job:
    """A job whose command is a program that really is there: it writes down what it was called with, and where."""
    folder.mkdir(parents=True)
    path = folder / "claims"
    path.write_text('#!/bin/sh\n{ pwd; for word in "$@"; do echo "$word"; done; } > "$OUT"\n')
    path.chmod(0o755)
    return Job(name="sync", command=(str(path),), root=str(folder / "state"), folder=str(folder), mark=mark)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not on this machine")
@pytest.mark.parametrize("name", FOLDERS)
def test_systemd_takes_the_units_and_no_others(tmp_path: Path, name: str) -> None:
    made = check_job(program(tmp_path / name))
    done = _verify(tmp_path, {file.name: file.content for file in render("systemd", [made])})
    assert (done.returncode, done.stderr) == (0, "")
    broken = {file.name: file.content.replace("OnUnit", "OnUnits") for file in render("systemd", [made])}
    assert "OnUnitsActiveSec" in _verify(tmp_path, broken).stderr


def _verify(folder: Path, units: dict[str, str]) -> subprocess.CompletedProcess[str]:
    (folder / "run").mkdir(mode=0o700, exist_ok=True)
    for name, content in units.items():
        (folder / name).write_text(content)
    return subprocess.run(
        ["systemd-analyze", "verify", "--user", *(str(folder / name) for name in units)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder / "run")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_systemd_keeps_to_the_interval() -> None:
    service, timer = render("systemd", [job(every_ms=600_000)])
    assert "OnUnitActiveSec=10min" in timer.content
    assert (service.name, timer.name) == (f"sharedstate-sweep-{MARK}.service", f"sharedstate-sweep-{MARK}.timer")


def test_systemd_is_told_nothing_that_it_would_expand() -> None:
    [service, _] = render("systemd", [job(folder="/srv/100%/$x")])
    assert 'ExecStart="/srv/100%%/$x/bin/claims" sweep --dir "/srv/100%%/$$x/state"' in service.content
    assert "WorkingDirectory=/srv/100%%/$x\n" in service.content


@pytest.mark.parametrize("name", FOLDERS)
def test_a_shell_runs_the_crontab_line_as_meant(tmp_path: Path, name: str) -> None:
    made = check_job(program(tmp_path / name))
    times, command = _split(schedules.crontab_line(made))
    assert times == "*/5 * * * *"
    out = tmp_path / "out"
    shell = ["/bin/sh", "-c", _as_cron_does(command)]
    done = subprocess.run(shell, env={"OUT": str(out)}, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert out.read_text().splitlines() == [made.folder, *made.words[1:]]


def _split(line: str) -> tuple[str, str]:
    words = line.split(" ", 5)
    return " ".join(words[:5]), words[5]


def _as_cron_does(command: str) -> str:
    """What cron hands to the shell: up to the first bare %, with `\\%` read as %."""
    end = next((at for at, c in enumerate(command) if c == "%" and command[at - 1] != "\\"), len(command))
    return command[:end].replace("\\%", "%")


@pytest.mark.parametrize("name", FOLDERS)
def test_a_launch_agent_holds_the_words_as_they_are(name: str) -> None:
    made = job("sync", folder=f"/srv/{name}", every_ms=120_000)
    [file] = render("launchd", [made])
    agent = plistlib.loads(file.content.encode())
    assert agent["ProgramArguments"] == list(made.words)
    assert (agent["WorkingDirectory"], agent["StartInterval"]) == (made.folder, 120)
    assert file.name == f"{agent['Label']}.plist"


@pytest.mark.parametrize("names", [("sweep",), ("sync",), ("sweep", "sync")])
def test_the_workflow_fulfils_the_published_schema(tmp_path: Path, names: tuple[str, ...]) -> None:
    [file] = render("github-actions", [job(name, folder="/srv/it's: #1") for name in names])
    path = tmp_path / file.name
    path.write_text(file.content)
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)]
    done = subprocess.run(checker, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert file.name == Path(schedules.WORKFLOW).name
    commands = {"sweep": "run: claims sweep\n", "sync": "run: claims sync --once\n"}
    assert [name for name in commands if commands[name] in file.content] == list(names)
    assert "/srv" not in file.content  # paths of this machine mean nothing there


def test_the_schema_refuses_what_is_no_workflow(tmp_path: Path) -> None:
    path = tmp_path / "broken.yml"
    path.write_text(render("github-actions", [job()])[0].content.replace("runs-on:", "run-on:"))
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(path)]
    assert subprocess.run(checker, capture_output=True, check=False, timeout=60).returncode == 1


def test_github_runs_no_schedule_more_often_than_every_five_minutes() -> None:
    [file] = render("github-actions", [job(every_ms=60_000)])
    assert 'cron: "*/5 * * * *"' in file.content


@pytest.mark.parametrize(
    "minutes,times",
    [(1, "* * * * *"), (15, "*/15 * * * *"), (60, "0 * * * *"), (120, "0 */2 * * *"), (1440, "0 0 * * *")],
)
def test_cron_keeps_what_divides_an_hour_or_a_day(minutes: int, times: str) -> None:
    assert schedules.crontab_line(job(every_ms=minutes * 60_000)).startswith(f"{times} cd ")


@pytest.mark.parametrize("minutes", [7, 45, 90, 300])
def test_cron_refuses_what_it_could_not_keep(minutes: int) -> None:
    with pytest.raises(InvalidInput, match="divide an hour or a day"):
        render("cron", [job(every_ms=minutes * 60_000)])


@pytest.mark.parametrize("every_ms", [0, 59_999, 90_000, 86_460_000])
def test_an_interval_is_in_whole_minutes_up_to_a_day(every_ms: int) -> None:
    with pytest.raises(InvalidInput, match="whole minutes"):
        check_job(job(every_ms=every_ms))


@pytest.mark.parametrize("folder", ["/a\nb", "/a\x1bb", "/a\\", "/a ", "/a\u2028b"])
def test_a_path_that_would_break_a_line_is_refused(folder: str) -> None:
    with pytest.raises(InvalidInput, match="path"):
        check_job(job(folder=folder))


# The crontab of somebody who has more in it


@given(crontab_text, st.booleans())
def test_other_lines_of_a_crontab_stay_as_they_are(text: str, both: bool) -> None:
    names = ("sweep", "sync") if both else ("sync",)
    lines = {job(name).unit: schedules.crontab_line(job(name)) for name in names}
    after = schedules.crontab_with(text, lines=lines)
    assert schedules.crontab_with(after, lines=lines) == after
    assert schedules.crontab_lines(after, units=list(lines)) == list(lines.values())
    whole = text if not text or text.endswith("\n") else text + "\n"
    assert schedules.crontab_without(after, units=list(lines)) == whole


def test_a_new_interval_takes_the_old_line_s_place_and_doubles_go() -> None:
    old, new = schedules.crontab_line(job()), schedules.crontab_line(job(every_ms=60_000))
    text = f"MAILTO=me\n{old}\n0 1 * * * backup # mine\n{old}\n"
    after = schedules.crontab_with(text, lines={job().unit: new})
    assert after == f"MAILTO=me\n{new}\n0 1 * * * backup # mine\n"


def test_the_jobs_of_another_state_root_are_not_ours() -> None:
    other = schedules.crontab_line(job().replace(mark="ffffffff"))
    assert schedules.crontab_without(f"{other}\n", units=[job().unit]) == f"{other}\n"
