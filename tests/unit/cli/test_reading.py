"""Show, log, list, status, sweep, retry-check, whoami, config: what readers get, and what they never get."""

from __future__ import annotations

from pathlib import Path

import pytest

from sharedstate.settings import SETTINGS
from sharedstate.testing.memory import MemoryStore
from tests.unit.cli.shell import Shell

OTHER = "ws/other"


def corrupt(shell: Shell, task: str) -> None:
    [path] = (shell.root / "tasks").glob(f"{task}-*.json")
    path.write_bytes(b"<<<<<<< ours\n")


def test_show_tells_everything_but_the_token(shell: Shell) -> None:
    token = shell("claim T-1 --meta k=v --scope src").document["token"]
    shell.advance(7)
    answer = shell("show T-1")
    document = answer.document
    assert (document["status"], document["holder"]["age_s"], document["lease"]["scope"]) == ("claimed", 7.0, ["src"])
    assert token not in answer.out + shell.text("show T-1").out
    assert "digest" not in answer.out


@pytest.mark.parametrize("verb", ["show", "log"])
def test_an_unknown_task_is_exit_code_5(shell: Shell, verb: str) -> None:
    answer = shell(f"{verb} T-1")
    assert (answer.code, answer.document["reason"]) == (5, "task_not_found")


def test_no_reading_command_tells_a_token(shell: Shell) -> None:
    token = shell("claim T-1").document["token"]
    for line in (
        "show T-1",
        "log T-1",
        "list",
        "list --status all",
        "status",
        "sweep --dry-run",
        "config show",
        "whoami",
    ):
        for answer in (shell(line), shell.text(line), shell.text(line, screen=True)):
            assert answer.code == 0
            assert token not in answer.out + answer.err


def test_reading_commands_write_nothing(shell: Shell) -> None:
    for line in (
        "show T-1",
        "log T-1",
        "list",
        "status",
        "sweep --dry-run",
        "retry-check T-1",
        "whoami",
        "config show",
    ):
        shell(line)
    assert not shell.root.exists()


def test_log_tells_the_history_oldest_first(shell: Shell) -> None:
    shell("claim T-1")
    shell.advance(1)
    shell("release T-1 --status failed --error boom")
    assert [entry["event"] for entry in shell("log T-1").document["history"]] == ["claimed", "released"]
    assert [entry["event"] for entry in shell("log T-1 --limit 1").document["history"]] == ["released"]
    assert shell("log T-1 --limit 0").code == 2
    text = shell.text("log T-1").out.splitlines()
    assert text[0].split() == ["WHEN", "EVENT", "FENCE", "STATUS", "OWNER", "DETAIL"]
    assert text[2].startswith("2026-03-01 00:00:01 UTC  released")


def test_log_tells_lengths_of_time_as_people_read_them(shell: Shell) -> None:
    shell("claim T-1 --ttl 90s")
    assert shell("log T-1").document["history"][0]["ttl_ms"] == 90_000
    text = shell.text("log T-1").out
    assert ("ttl 1 m 30 s" in text, "ttl_ms" in text) == (True, False)


def test_list_shows_live_claims_and_on_request_others(shell: Shell) -> None:
    for task in ("b", "a", "c"):
        shell(f"claim {task}")
    shell("release c")
    shell("claim d --ttl 10s --owner", OTHER)
    shell.advance(20)

    def ids(line: str) -> list[str]:
        return [task["task"] for task in shell(line).document["tasks"]]

    assert ids("list") == ["a", "b", "d"]
    assert ids("list --status complete") == ["c"]
    assert ids("list --status all") == ["a", "b", "c", "d"]
    assert ids(f"list --owner {OTHER}") == ["d"]
    assert ids("list --stale") == ["d"]
    assert ids("list --archived") == []


def test_an_unreadable_record_is_reported_by_list_and_a_fault_by_show(shell: Shell) -> None:
    shell("claim a")
    shell("claim b")
    corrupt(shell, "a")
    listed = shell("list")
    assert listed.code == 0
    assert [task["task"] for task in listed.document["tasks"]] == ["b"]
    assert "conflict markers" in listed.document["unreadable"][0]["reason"]
    assert "unreadable" in listed.err
    shown = shell("show a")
    assert (shown.code, shown.document["error"]["code"]) == (7, "corrupt")
    assert shell("claim a").code == 7
    assert shell("status").document["unreadable"] == 1
    assert shell("sweep").code == 0


def test_status_counts_tasks_and_events(shell: Shell) -> None:
    shell("claim a")
    shell("release a")
    shell("claim b --ttl 10s")
    shell.advance(20)
    document = shell("status").document
    assert (document["claimed"], document["stale"], document["by_status"]["complete"]) == (1, 1, 1)
    assert document["counters"]["by_type"] == {"claimed": 2, "released": 1}
    assert document["counters"]["by_reason"] == {"released/complete": 1}
    assert document["root"] == str(shell.root)
    assert document["store"] == f"file://{shell.root}"


def test_status_names_the_shared_store_without_its_secrets(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.store = MemoryStore(shell.host)
    monkeypatch.setenv("SHARED_STATE_URL", "redis://fleet:hidden-word@db:6379/0?prefix=ours")
    assert shell("status").document["store"] == "redis://…@db:6379/0?prefix=ours"
    assert "redis://…@db:6379/0?prefix=ours" in shell.text("status").out


def test_config_show_tells_what_a_url_asks_for_without_its_secrets(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.store = MemoryStore(shell.host)
    url = "redis+sentinel://fleet:hid/den-word@db/main?prefix=ours&sentinel_password=hidden-word"
    monkeypatch.setenv("SHARED_STATE_URL", url)
    shown = shell.text("config show").out
    assert "prefix=ours" in shown
    assert "den-word" not in shown


def test_sweep_finds_stale_claims_and_still_exits_0(shell: Shell) -> None:
    shell("claim a --ttl 10s")
    shell.advance(20)
    dry = shell("sweep --dry-run")
    assert (dry.code, dry.document["dry_run"], len(dry.document["swept"])) == (0, True, 1)
    done = shell("sweep")
    assert done.code == 0
    [swept] = done.document["swept"]
    assert (swept["task"], swept["reason"], swept["age_s"]) == ("a", "owner_stale", 20.0)
    assert shell("sweep").document["swept"] == []
    assert shell("show a").document["status"] == "abandoned"


def test_retry_check_says_what_a_claim_would_hear(shell: Shell) -> None:
    def verdict(task: str) -> tuple[int, str]:
        answer = shell(f"retry-check {task}")
        assert answer.document["ok"] is answer.document["eligible"]
        return answer.code, answer.document["reason"]

    assert verdict("a") == (0, "no_previous_attempts")
    shell("claim a")
    assert verdict("a") == (3, "currently_owned_by_active_agent")
    shell("release a --status failed")
    assert verdict("a") == (0, "eligible_for_retry")
    shell("ignore a --reason why")
    assert verdict("a") == (6, "ignored")
    shell("unignore a")
    shell("claim a")
    shell("release a")
    assert verdict("a") == (3, "already_complete")


def test_ignoring_twice_changes_nothing(shell: Shell) -> None:
    assert shell("ignore a --reason why").document["changed"] is True
    assert shell("ignore a --reason why").document["changed"] is False
    assert shell("unignore a").document["changed"] is True
    assert shell("unignore a").code == 0


def test_whoami_tells_the_owner_and_where_it_comes_from(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shell("whoami").document["origin"] == "default"
    monkeypatch.setenv("SHARED_STATE_OWNER", OTHER)
    assert shell("whoami").document["owner"] == OTHER
    assert shell.text("whoami").out == f"{OTHER}\n"


def test_config_show_tells_every_setting_with_its_origin(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARED_STATE_MAX_RETRIES", "7")
    (Path.cwd() / "sharedstate.toml").write_text("clock_skew_ms = 1000\n")
    document = shell("config show --origin").document
    assert set(document["settings"]) == {setting.name for setting in SETTINGS}
    assert (document["settings"]["max_retries"], document["settings"]["clock_skew_ms"]) == (7, 1000)
    assert document["origins"]["max_retries"] == "environment SHARED_STATE_MAX_RETRIES"
    assert document["origins"]["clock_skew_ms"].endswith("sharedstate.toml")
    assert "origins" not in shell("config show").document
    assert "environment SHARED_STATE_MAX_RETRIES" in shell.text("config show --origin").out


def test_config_show_helps_with_settings_that_make_no_sense(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARED_STATE_HEARTBEAT_INTERVAL_MS", "200000")
    assert shell("whoami").code == 78
    answer = shell("config show --origin")
    assert answer.code == 78
    assert "a third" in answer.document["error"]["message"]
    assert answer.document["environment"] == {"SHARED_STATE_HEARTBEAT_INTERVAL_MS": "200000"}


def test_config_show_tells_no_secret_of_settings_that_make_sense_or_not(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARED_STATE_HTTP_TOKEN", "hidden-word")
    monkeypatch.setenv("SHARED_STATE_ENDPOINTS", "https://robot:hidden-word@gate.example/a,http://spare.example")
    assert shell("config show").document["settings"]["endpoints"] == [
        "https://…@gate.example/a",
        "http://spare.example",
    ]
    assert "hidden-word" not in shell.text("config show --origin").out
    monkeypatch.setenv("SHARED_STATE_MAX_RETRIES", "many")
    broken = shell.text("config show")
    assert broken.code == 78
    assert "hidden-word" not in broken.out + broken.err


def test_the_command_works_over_any_store(tmp_path: Path) -> None:
    shell = Shell(tmp_path, store=MemoryStore())
    shell("claim a")
    assert [task["task"] for task in shell("list").document["tasks"]] == ["a"]
    assert shell("release a").code == 0


def test_config_show_tells_no_password_of_an_address(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARED_STATE_DETAILS_URL", "https://ana:hunter2@example.org/{task}")
    told = shell("config show").out + shell.text("config show").out
    monkeypatch.setenv("SHARED_STATE_SIGNING_KEY", "k1:hunter2-hunter2-hunter2-hunter2")
    monkeypatch.setenv("SHARED_STATE_HEARTBEAT_INTERVAL_MS", "200000")
    told += shell("config show").out + shell.text("config show").out
    assert "example.org" in told
    assert "hunter2" not in told


def test_config_show_tells_no_part_of_a_password_with_a_blank(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARED_STATE_URL", "redis://u:hunter2 hunter3@host/0")
    monkeypatch.setenv("SHARED_STATE_HEARTBEAT_INTERVAL_MS", "200000")
    broken = shell.text("config show")
    assert broken.code == 78
    assert "hunter" not in broken.out + broken.err
