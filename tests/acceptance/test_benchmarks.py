"""The benchmark command works: a table with controls; a broken promise fails the run, a missed aim does not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks import run
from tests.benchmarks.bench import Bench
from tests.benchmarks.table import Broken, Row, at_least, at_most

ROOT = Path(__file__).resolve().parents[2]


def test_a_quick_run_of_one_section_prints_controls_and_writes_json(tmp_path: Path) -> None:
    rows_path = tmp_path / "rows.jsonl"
    arguments = ["--quick", "--only", "cpu", "--dir", str(tmp_path / "disk"), "--json", str(rows_path)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.run", *arguments],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "control: raw flock + write + rename" in done.stdout
    rows = [json.loads(line) for line in rows_path.read_text().splitlines()]
    assert {row["verdict"] for row in rows if row["aim"]} <= {"met", "missed"}
    assert [path.name for path in (tmp_path / "disk").iterdir()] == [], "the run leaves nothing behind"


def test_a_missed_aim_is_printed_and_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def section(bench: Bench) -> Iterator[Row]:
        yield Row(case="slow", figure=3.0, aim=at_most(2))
        yield Row(case="fast", figure=3.0, aim=at_least(2))

    monkeypatch.setattr(run, "SECTIONS", {"one": ("One", section)})
    assert run.main(["--dir", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "1 of 2 aims met" in printed
    assert "missed: slow: 3.00 x, aim <= 2.00 x" in printed


def test_a_broken_promise_fails_the_run_and_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(bench: Bench) -> Iterator[Row]:
        yield Row(case="before", figure=1.0)
        raise Broken("two owners at once")

    def sound(bench: Bench) -> Iterator[Row]:
        yield Row(case="after", figure=1.0)

    monkeypatch.setattr(run, "SECTIONS", {"one": ("One", broken), "two": ("Two", sound)})
    assert run.main(["--dir", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert "BROKEN: one: two owners at once" in printed
    assert "after" in printed
