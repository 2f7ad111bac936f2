"""`claims timeline`: the same journal as a chart, as JSON, as a picture."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.unit.cli.shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    shell = Shell(tmp_path)
    for line in ("claim T-1 --owner a", "release T-1 --owner a --status failed", "claim T-1 --owner b", "claim T-2"):
        assert shell(line).code == 0
        shell.advance(3)
    return shell


def test_the_chart_has_a_line_for_every_task(shell: Shell) -> None:
    answer = shell.text("timeline")
    lines = answer.out.splitlines()
    assert answer.code == 0
    assert lines[0].startswith("2 tasks, 3 owners, 3 ownerships, 1 failed, 2 still held")
    assert [line.split()[0] for line in lines[2:4]] == ["T-1", "T-2"]


def test_the_json_says_what_the_chart_shows(shell: Shell) -> None:
    document = shell("timeline").document
    assert (document["ok"], document["schema"], document["tasks"]) == (True, 1, ["T-1", "T-2"])
    first = document["bars"][0]
    assert (first["task"], first["fence"], first["ending"], first["duration_s"]) == ("T-1", 1, "failed", 3.0)
    assert document["bars"][1]["ended_at"] is None


def test_the_picture_goes_into_the_file_or_to_stdout(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "picture.svg"
    answer = shell.text("timeline --svg", str(file))
    assert (answer.code, answer.out) == (0, f"{file}\n")
    assert ET.parse(file).getroot().tag.endswith("svg")  # noqa: S314 - our own output, just made
    assert shell.text("timeline --svg -").out == file.read_text()
    assert shell("timeline --svg", str(file)).document["svg"] == str(file)


def test_a_journal_file_from_elsewhere_is_read(shell: Shell, tmp_path: Path) -> None:
    (segment,) = sorted((shell.root / "journal" / "events").iterdir())
    elsewhere = Shell(tmp_path / "elsewhere")
    assert elsewhere("timeline --journal", str(segment)).document["bars"] == shell("timeline").document["bars"]
    assert not elsewhere.root.exists()


def test_a_journal_with_two_owners_at_once_is_an_error(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    events = [{"type": "claimed", "task": "T-1", "owner": owner, "fence": n} for n, owner in ((1, "w/a"), (2, "w/b"))]
    at = "2026-01-01T00:00:0{}.000Z"
    lines = [json.dumps({"seq": n, "at": at.format(n), "record": "", **event}) for n, event in enumerate(events, 1)]
    journal.write_text("\n".join(["", "torn {", *lines]))
    answer = Shell(tmp_path).text("timeline --journal", str(journal))
    assert answer.code == 1
    assert "two owners at once: T-1 held by w/a (fence 1) and w/b (fence 2)" in answer.err
    assert Shell(tmp_path)("timeline --journal", str(journal)).document["ok"] is False


@pytest.mark.parametrize("option", ["--journal", "--svg"])
def test_a_file_that_cannot_be_opened_is_a_usage_error(shell: Shell, tmp_path: Path, option: str) -> None:
    answer = shell(f"timeline {option}", str(tmp_path / "no" / "such" / "file"))
    assert answer.code == 2
    assert "No such file" in answer.document["error"]["message"]


def test_a_file_without_entries_is_refused(shell: Shell, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("{}\nnothing\n")
    assert shell("timeline --journal", str(empty)).document["error"]["code"] == "invalid_input"


def test_picture_and_json_do_not_share_stdout(shell: Shell) -> None:
    assert shell("timeline --svg -").code == 2


def test_an_untouched_state_is_drawn_empty_and_left_untouched(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    assert shell("timeline").document["bars"] == []
    assert not shell.root.exists()
