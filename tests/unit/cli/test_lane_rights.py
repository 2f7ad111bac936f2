"""Rights of lanes in the command: exit code 3, a clear text, an entry in the trail, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.shell import Shell

TABLES = """
[lanes.none]
rights = []
[lanes.plain]
[lanes.reader]
rights = ["read"]
"""
ID = "01J00000000000000000000000"


@pytest.fixture
def lanes(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    (tmp_path / "sharedstate.toml").write_text(TABLES)
    monkeypatch.setenv("SHARED_STATE_LANE", "none")
    return shell


@pytest.mark.parametrize(
    "line, right",
    [
        ("claim T-1", "claim"),
        ("next --from tasks.txt", "claim"),
        ("run T-1 -- true", "claim"),
        ("send --from ada --to bob --body x", "send"),
        ("inbox bob", "read"),
        ("unread bob", "read"),
        ("ack bob --up-to 0", "read"),
        (f"thread {ID}", "read"),
        ("overdue", "read"),
        ("flags status bob", "read"),
        ("flags reset bob --reason why", "read"),
    ],
)
def test_what_the_lane_has_no_right_to_is_refused_and_stands_in_the_trail(
    lanes: Shell, tmp_path: Path, line: str, right: str
) -> None:
    (tmp_path / "tasks.txt").write_text("T-1\nT-2\n")
    answer = lanes(line)
    assert answer.code == 3
    error = answer.document["error"]
    assert (error["code"], error["retryable"]) == ("no_right", False)
    assert error["message"].endswith(f": the lane none has no right to {right}")
    [entry] = lanes("audit").document["entries"]
    assert (entry["kind"], entry["facts"]["action"]) == ("right_denied", right)
    assert lanes("list").document["tasks"] == []
    assert lanes("outbox list").document["messages"] == []


def test_a_person_reads_what_is_missing_and_where_rights_are_shown(lanes: Shell) -> None:
    assert lanes("claim T-1", as_json=False).err.splitlines() == [
        "claims: T-1: the lane none has no right to claim",
        "claims: hint: `claims lanes` shows the rights of each lane; leave this to a lane that has the right",
    ]
    assert "right_denied" in lanes("audit", as_json=False).out


def test_force_on_a_claim_needs_the_right_to_force(lanes: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARED_STATE_LANE", "plain")
    assert lanes("claim T-1 --owner ws/other").code == 0
    denied = lanes("claim T-1 --force --reason why")
    assert (denied.code, denied.document["error"]["code"]) == (3, "no_right")
    assert denied.document["error"]["message"] == "T-1: the lane plain has no right to force"
    assert lanes("show T-1").document["owner"] == "ws/other"


def test_what_is_held_is_renewed_and_released_in_any_lane(lanes: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHARED_STATE_LANE")
    assert lanes("claim T-1").code == 0
    monkeypatch.setenv("SHARED_STATE_LANE", "none")
    assert lanes("renew T-1").code == 0
    assert lanes("release T-1").code == 0


def test_the_lane_named_at_a_send_needs_the_right(lanes: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHARED_STATE_LANE")
    assert lanes("send --from ada --to bob --body x --lane reader").code == 3
    assert lanes("send --from ada --to bob --body x --lane plain").code == 0


def test_state_trail_outbox_and_sweep_are_open_to_every_lane(lanes: Shell) -> None:
    for line in ("list", "status", "audit", "lanes", "service status", "outbox list", "outbox flush", "sweep"):
        assert lanes(line).code == 0, line
    assert lanes("audit").document["entries"] == []


def test_the_hook_of_a_lane_that_may_not_read_says_unknown_and_fails_nobody(lanes: Shell) -> None:
    answer = lanes("unread bob --hook", as_json=False)
    assert answer.code == 0
    assert answer.out == "unread: unknown (inbox:bob: the lane none has no right to read)\n"


@pytest.mark.parametrize("line", ["inbox bob", "inbox bob --all", "unread bob", "ack bob --up-to 1", f"thread {ID}"])
def test_behind_gateways_the_right_is_asked_before_they_are(
    lanes: Shell, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("SHARED_STATE_ENDPOINTS", "http://127.0.0.1:1")
    answer = lanes(line)
    assert (answer.code, answer.document["error"]["code"]) == (3, "no_right")
