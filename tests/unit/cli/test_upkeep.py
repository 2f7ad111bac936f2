"""`claims import` and `claims doctor` at the shell: documents, exit codes, and what a person sees."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sharedstate.ids import record_name
from sharedstate.testing.memory import MemoryStore
from tests.unit.cli.shell import Shell

GOLDEN = Path(__file__).parents[2] / "data" / "legacy"
LEDGERS = (str(GOLDEN / "shared-task-states.json"), str(GOLDEN / "task-claims.json"))


def test_import_answers_with_what_became_of_every_entry(shell: Shell) -> None:
    answer = shell("import", *LEDGERS)
    assert answer.code == 0
    assert answer.document["counts"] == {"taken": 4, "changed": 5, "refused": 4, "unchanged": 0, "files_refused": 0}
    first = answer.document["files"][0]["entries"][0]
    assert (first["task"], first["outcome"], first["fence"]) == ("T-live", "taken", 2)
    assert shell("show T-live").document["status"] == "claimed"
    assert shell("claim T-live").code == 3
    assert shell("claim T-ignored").code == 6


def test_import_twice_changes_nothing_and_a_dry_run_writes_nothing(shell: Shell) -> None:
    dry = shell("import --dry-run", *LEDGERS)
    assert dry.document["dry_run"] is True
    assert not shell.root.exists()
    shell("import", *LEDGERS)
    counts = shell("import", *LEDGERS).document["counts"]
    assert (counts["taken"], counts["changed"], counts["unchanged"]) == (0, 0, 9)


def test_import_shows_no_token(shell: Shell) -> None:
    answer, text = shell("import", *LEDGERS), shell.text("import", *LEDGERS)
    for shown in (answer.out, answer.err, text.out, text.err, shell("log T-live").out, shell("show C-mine").out):
        assert "9a1f0c52" not in shown
        assert "5e0c7d11" not in shown


def test_import_tells_bad_files_by_exit_code_and_takes_the_others(shell: Shell, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.json", tmp_path / "good.json"
    bad.write_text('{"tasks": NaN}')
    good.write_text(json.dumps({"T": {"attemptStatus": "done"}}))
    answer = shell("import", str(bad), str(good))
    assert answer.code == 7
    assert [file["ok"] for file in answer.document["files"]] == [False, True]
    assert shell("import", str(tmp_path / "missing")).code == 2
    assert "NaN" in shell.text("import", str(bad)).err


def test_doctor_finds_repairs_and_then_is_content(shell: Shell) -> None:
    assert shell("doctor").code == 0
    assert not shell.root.exists()
    shell("claim T-1")
    path = shell.root / "tasks" / f"{record_name('T-1')}.json"
    path.write_bytes(b"{torn")
    found = shell("doctor")
    assert found.code == 7
    [bad] = [finding for finding in found.document["findings"] if finding["severity"] == "error"]
    assert (bad["code"], bad["where"]) == ("record_unreadable", str(path))
    assert "doctor --fix" in bad["next_step"]
    fixed = shell("doctor --fix")
    assert fixed.code == 0
    assert [record["outcome"] for record in fixed.document["repairs"]["records"]] == ["restored"]
    assert shell("show T-1").document["status"] == "abandoned"
    assert shell("claim T-1").code == 0


def test_doctor_warns_of_stale_claims_without_failing(shell: Shell) -> None:
    shell("claim T-1")
    shell.advance(3600)
    answer = shell("doctor")
    assert answer.code == 0
    assert "stale_claim" in {
        finding["code"] for finding in answer.document["findings"] if finding["severity"] == "warn"
    }
    assert "claims sweep" in shell.text("doctor").out


def test_doctor_fails_for_an_unsafe_root(shell: Shell) -> None:
    shell("claim T-1")
    shell.root.chmod(0o777)
    answer = shell("doctor")
    assert answer.code == 1
    assert "unsafe_store" in {finding["code"] for finding in answer.document["findings"]}


def test_selftest_refuses_what_is_no_folder(shell: Shell, tmp_path: Path) -> None:
    assert shell("selftest", str(tmp_path / "missing")).code == 2


def test_selftest_says_that_a_folder_is_not_the_shared_store(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sharedstate.files.selftest.run_selftest", lambda _: ())
    assert not shell("selftest").err
    monkeypatch.setenv("SHARED_STATE_URL", "redis://127.0.0.1:1/0")
    shell.store = MemoryStore()
    assert "claims selftest --url" in shell("selftest").err
    assert not shell("selftest", str(shell.root.parent)).err, "who names a folder means it"
