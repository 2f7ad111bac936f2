"""Claim, renew, release, next: shapes and exit codes are API."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.shell import Answer, Shell

OWNER = "ws/agent"
OTHER = "ws/other"


def refusal(answer: Answer) -> tuple[int, str]:
    assert answer.document["ok"] is False
    return answer.code, answer.document["reason"]


def test_a_claim_answers_in_the_documented_shape(shell: Shell) -> None:
    answer = shell("claim T-1 --ttl 5m --meta k=v --scope src --owner", OWNER)
    document = answer.document
    token = document.pop("token")
    assert answer.code == 0
    assert len(token) == 40
    assert list(document)[:5] == ["schema", "ok", "task", "owner", "fence"]
    assert document == {
        "schema": 1,
        "ok": True,
        "task": "T-1",
        "owner": OWNER,
        "fence": 1,
        "status": "claimed",
        "outcome": "claimed",
        "expires_at": "2026-03-01T00:05:00.000Z",
        "ttl_s": 300.0,
        "attempts": 1,
        "retries": 0,
        "degraded": False,
        "scope": ["src"],
        "meta": {"k": "v"},
    }


def test_a_held_task_is_refused_with_its_holder_and_exit_code_3(shell: Shell) -> None:
    shell("claim T-1 --owner", OWNER)
    shell.advance(12.3)
    answer = shell("claim T-1 --owner", OTHER)
    assert answer.code == 3
    assert answer.document == {
        "schema": 1,
        "ok": False,
        "reason": "existing_owner_active",
        "task": "T-1",
        "holder": {"owner": OWNER, "fence": 1, "age_s": 12.3, "ttl_s": 300.0},
        "detail": f"held by {OWNER}",
    }


def test_a_stale_claim_is_taken_over_and_its_owner_hears_that_it_is_lost(shell: Shell) -> None:
    first = shell("claim T-1 --ttl 10s --owner", OWNER).document
    shell.advance(11)
    taken = shell("claim T-1 --owner", OTHER).document
    assert (taken["outcome"], taken["reason"], taken["previous_owner"]) == ("taken_over", "owner_stale", OWNER)
    assert taken["fence"] > first["fence"]
    assert refusal(shell("renew T-1 --owner", OWNER)) == (4, "owner_mismatch")
    assert refusal(shell("release T-1 --owner", OWNER)) == (4, "owner_mismatch")


def test_a_later_shell_renews_and_releases_without_the_token(shell: Shell) -> None:
    shell("claim T-1")
    shell.advance(60)
    kept = shell("renew T-1")
    assert (kept.code, kept.document["outcome"], kept.document["expires_at"]) == (0, "kept", "2026-03-01T00:06:00.000Z")
    released = shell("release T-1 --status failed --error", "it broke")
    assert released.code == 0
    assert released.document["status"] == "failed"
    assert shell("show T-1").document["last_error"] == "it broke"
    assert shell("release T-1 --status failed").document["repeated"] is True


def test_a_wrong_token_is_refused_with_exit_code_4(shell: Shell) -> None:
    shell("claim T-1")
    assert refusal(shell("renew T-1 --token wrong-token")) == (4, "attempt_token_mismatch")


@pytest.mark.parametrize("verb", ["renew", "release"])
def test_a_task_that_was_never_claimed_is_exit_code_5(shell: Shell, verb: str) -> None:
    assert refusal(shell(f"{verb} T-1")) == (5, "task_not_found")


def test_a_complete_task_is_refused_and_reopened_on_request(shell: Shell) -> None:
    shell("claim T-1")
    shell("release T-1")
    assert refusal(shell("claim T-1")) == (3, "task_already_complete")
    assert shell("claim T-1 --reopen").document["reason"] == "reopened"


def test_ignored_and_exhausted_tasks_are_exit_code_6(shell: Shell) -> None:
    shell("ignore T-1 --reason", "a person decides")
    assert refusal(shell("claim T-1")) == (6, "task_ignored")
    for _ in range(4):
        shell("claim T-2")
        shell("release T-2 --status failed")
    assert refusal(shell("claim T-2")) == (6, "max_retries_exceeded")


def test_overlapping_scopes_are_refused_with_the_conflict(shell: Shell) -> None:
    shell("claim T-1 --scope src --owner", OWNER)
    answer = shell("claim T-2 --scope src/a.py --owner", OTHER)
    assert refusal(answer) == (3, "scope_conflict")
    assert answer.document["conflict"] == "T-1"


def test_force_needs_a_reason_and_takes_over(shell: Shell) -> None:
    shell("claim T-1 --owner", OWNER)
    assert shell("claim T-1 --force --owner", OTHER).document["error"]["code"] == "usage"
    assert shell("claim T-1 --reason why").document["error"]["code"] == "usage"
    forced = shell("claim T-1 --force --owner", OTHER, "--reason", "the holder hangs").document
    assert (forced["outcome"], forced["reason"]) == ("taken_over", "forced")


def test_next_takes_the_first_eligible_candidate(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "todo.txt").write_text("held\nignored\n\n  free  \nlater\n")
    shell("claim held --owner", OTHER)
    shell("ignore ignored --reason why")
    assert shell("next --from todo.txt").document["task"] == "free"
    assert shell("next --from -", stdin="held\nlater\n").document["task"] == "later"


def test_next_without_a_list_takes_the_oldest_known_task_that_waits(shell: Shell) -> None:
    for task in ("b", "a", "done"):
        shell(f"claim {task} --ttl 10s")
        shell.advance(1)
    shell("release done")
    shell("release a --status abandoned")
    shell.advance(10)
    assert shell("next --owner", OTHER).document["task"] == "b"
    assert shell("next --owner", OTHER).document["task"] == "a"
    nothing = shell("next --owner", OTHER)
    assert refusal(nothing) == (5, "nothing_eligible")


def test_next_says_why_each_candidate_was_passed_over(shell: Shell) -> None:
    shell("ignore x --reason why")
    answer = shell("next --from -", stdin="x\n")
    assert answer.document["considered"] == 1
    assert answer.document["refused"] == [{"task": "x", "reason": "task_ignored"}]


def test_ids_from_a_pipe_answer_one_line_each_and_end_with_the_worst_code(shell: Shell) -> None:
    shell("claim b --owner", OTHER)
    shell("ignore c --reason why")
    answer = shell("claim -", stdin="a\nb\nc\n\n\tbad\x07id\nd\n")
    assert [document["ok"] for document in answer.documents] == [True, False, False, False, True]
    assert answer.documents[3]["error"]["code"] == "invalid_id"
    assert answer.documents[3]["task"] == "bad\x07id"
    assert answer.code == 2
    assert shell("renew -", stdin="a\nd\n").code == 0
    released = shell("release - --status abandoned", stdin="a\nd\nnobody\n")
    assert [document.get("status") for document in released.documents] == ["abandoned", "abandoned", None]
    assert released.code == 5


def test_an_empty_pipe_is_fine(shell: Shell) -> None:
    answer = shell("release -", stdin="")
    assert (answer.code, answer.out) == (0, "")


def test_people_read_sentences_and_refusals_go_to_stderr(shell: Shell) -> None:
    claimed = shell.text("claim T-1 --owner", OWNER)
    assert claimed.out == f"claimed T-1 for {OWNER}, fence 1, until 2026-03-01 00:05:00 UTC unless renewed\n"
    shell.advance(12)
    refused = shell.text("claim T-1 --owner", OTHER)
    assert refused.out == ""
    assert refused.err == (
        f"claims: refused T-1: existing_owner_active: held by {OWNER} (fence 1, last seen 12 s ago, ttl 5 m)\n"
    )
