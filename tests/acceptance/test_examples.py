"""Every example is a program that runs, says what its text promises, and leaves nothing held."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sharedstate import SharedState, TaskView
from sharedstate.testing.github import FakeGitHub

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# Run elsewhere: the fleet and its parts by `test_demo.py`, parts by their programs.
ELSEWHERE = {"fleet.py", "fleet_parts", "lanes_parts"}


def run(name: str, *words: str, root: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run an example with a state root of its own; `claims` is the one installed beside this Python."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    known = {"SHARED_STATE_DIR": str(root), "SHARED_STATE_OWNER": "tester", "PATH": path, "KANBAN_REPO": ""}
    environment = {**os.environ, **known, **more}
    program = [sys.executable, str(EXAMPLES / name)] if name.endswith(".py") else [str(EXAMPLES / name)]
    return subprocess.run(
        [*program, *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=EXAMPLES.parent,
    )


def statuses(root: Path) -> dict[str, str]:
    with SharedState.open(root) as state:
        return {view.state.task: view.state.status for view in state.tasks.list() if isinstance(view, TaskView)}


def test_every_example_is_run_by_a_test() -> None:
    tested = Path(__file__).read_text(encoding="utf-8")
    names = {path.name for path in EXAMPLES.iterdir() if path.name != "__pycache__"} - ELSEWHERE
    assert {name for name in names if f'"{name}"' not in tested} == set()


def test_the_cron_job_has_a_help_and_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    told = run("sweep_cron.py", "--help", root=tmp_path)
    assert (told.returncode, "--verbose" in told.stdout) == (0, True)
    assert run("sweep_cron.py", "--verbos", "now", root=tmp_path).returncode == 2
    assert not list(tmp_path.iterdir())


def test_the_reviewer_says_what_is_missing(tmp_path: Path) -> None:
    alone = run("kanban_reviewer.py", root=tmp_path, KANBAN_REPO="me/sandbox", GITHUB_TOKEN="")
    assert (alone.returncode, alone.stderr) == (1, "set GITHUB_TOKEN: a token that may write issues there\n")


def test_the_dashboard_shows_who_does_what_and_the_last_events(tmp_path: Path) -> None:
    with SharedState.open(tmp_path) as state:
        state.hub.update("ada", {"branch": "fix-12"}, status="working")
        for number in range(9):
            state.hub.publish({"type": f"event-{number}"})
    told = run("hub_dashboard.py", "--refreshes", "2", "--every", "0.1", "--events", "3", root=tmp_path)
    assert (told.returncode, told.stderr) == (0, "")
    rows, events = told.stdout.count("ada  working"), told.stdout.count("event-8")
    assert (rows, events) == (2, 2), told.stdout
    assert "branch=fix-12" in told.stdout
    assert "event-5" not in told.stdout


def test_the_dashboard_says_in_a_sentence_why_it_cannot_begin(tmp_path: Path) -> None:
    told = run("hub_dashboard.py", "--refreshes", "1", root=tmp_path, SHARED_STATE_URL="nonsense://x")
    assert (told.returncode, told.stdout) == (78, "")
    assert told.stderr.startswith("no store for the URL scheme 'nonsense'")


def told_by(root: Path) -> list[dict[str, object]]:
    with SharedState.open(root) as state:
        events = [getattr(one, "body", {}) for one in state.hub.subscribe(timeout_s=0)]
    return [dict(body) for body in events if str(body.get("type")).endswith("_recorded")]


def test_the_hooks_of_the_hub_record_what_came_of_the_work_and_never_fail_it(tmp_path: Path) -> None:
    good = run("hub_hooks.sh", "dispatch", "ada", "T-1", "echo", '{"files": ["a b.py"]}', root=tmp_path)
    assert (good.returncode, good.stderr) == (0, "")
    bad = run("hub_hooks.sh", "dispatch", "ada", "T-2", "sh", "-c", "echo 5; exit 17", root=tmp_path)
    assert (bad.returncode, bad.stderr) == (17, "")
    run("hub_hooks.sh", "consume", "bob", "P-1", "false", root=tmp_path)
    nasty = f"$(touch {tmp_path}/evaluated) `touch {tmp_path}/evaluated` __import__('os')"
    odd = run("hub_hooks.sh", "consume", "bob", "P-2", "printf", "%s", nasty, root=tmp_path)
    assert (odd.returncode, "not JSON" in odd.stderr, "P-2: recorded without its result" in odd.stderr) == (
        0,
        True,
        True,
    )
    assert not (tmp_path / "evaluated").exists()
    told = [tuple(one.get(name) for name in ("agent", "status", "outcome", "result")) for one in told_by(tmp_path)]
    assert told == [
        ("ada", "complete", None, {"files": ["a b.py"]}),
        ("ada", "failed", None, 5),
        ("bob", None, "rejected", None),
        ("bob", None, "accepted", None),
    ]
    with SharedState.open(tmp_path) as state:
        ada = state.hub.context("ada")
        assert ada is not None
        assert (ada.status, ada.context["last_task"]["status"]) == ("idle", "failed")
    assert run("hub_hooks.sh", "dispatch", "ada", root=tmp_path).returncode == 2
    lost = run("hub_hooks.sh", "dispatch", "ada", "T-3", "true", root=tmp_path, SHARED_STATE_URL="nonsense://x")
    assert (lost.returncode, "the hub was not told" in lost.stderr) == (0, True), "the work is done all the same"


def test_a_claim_in_20_lines(tmp_path: Path) -> None:
    first = run("claim_in_20_lines.py", root=tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[-1] == "T-1 is complete now"
    again = run("claim_in_20_lines.py", root=tmp_path)
    assert (again.returncode, again.stderr) == (1, "not ours: task_already_complete\n")


def test_the_orchestrator_finishes_all_tasks_and_retries_the_flaky_ones(tmp_path: Path) -> None:
    done = run("orchestrator.py", root=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "10 complete, 12 attempts, 2 retries" in done.stdout
    assert set(statuses(tmp_path).values()) == {"complete"}


def test_three_lanes_lose_both_gateways_and_no_message(tmp_path: Path) -> None:
    done = run("three_lanes.py", root=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    proof = done.stdout.partition("proof")[2].splitlines()
    assert [line.split()[0] for line in proof[1:7]] == ["yes"] * 6
    assert "both gateways are stopped by their owner" in proof[7]


def test_scopes_keep_two_agents_out_of_one_folder(tmp_path: Path) -> None:
    done = run("scopes.py", root=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert "refused (scope_conflict)" in lines[1]
    assert [line.split(":")[0] for line in lines if "is ours" in line] == ["ann", "cleo", "bob"]
    assert set(statuses(tmp_path).values()) == {"complete"}


def test_the_hook_runs_the_command_once_and_skips_politely(tmp_path: Path) -> None:
    first = run("hook.sh", "nightly", "echo", "working", root=tmp_path)
    assert (first.returncode, first.stdout) == (0, "working\nnightly: done\n")
    again = run("hook.sh", "nightly", "echo", "working", root=tmp_path)
    assert (again.returncode, again.stdout) == (0, "nightly: somebody else has it, or it is done\n")


def test_the_unread_hook_is_silent_without_news_and_never_fails(tmp_path: Path) -> None:
    nothing = run("unread_hook.sh", "desk/bob", root=tmp_path)
    assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", "")
    with SharedState.open(tmp_path, owner="somebody") as state:
        state.outbox.send(sender="desk/ada", to="desk/bob", body="hello")
    news = run("unread_hook.sh", "desk/bob", "build", root=tmp_path)
    assert (news.returncode, news.stderr) == (0, "")
    assert news.stdout == "unread: 1 letter from desk/ada (claims unread desk/bob)\n"
    broken = run("unread_hook.sh", "*", root=tmp_path)
    assert (broken.returncode, broken.stderr) == (0, "")
    assert broken.stdout.startswith("unread: unknown (")


def test_the_hook_passes_on_the_exit_code_of_a_failed_command(tmp_path: Path) -> None:
    failed = run("hook.sh", "nightly", sys.executable, "-c", "raise SystemExit(17)", root=tmp_path)
    assert failed.returncode == 17
    assert statuses(tmp_path) == {"nightly": "failed"}


@pytest.mark.parametrize("ignored", [True, False], ids=["ignored", "held"])
def test_the_hook_leaves_alone_what_is_ignored_or_held(tmp_path: Path, ignored: bool) -> None:
    with SharedState.open(tmp_path, owner="somebody") as state:
        if ignored:
            state.tasks.ignore("nightly", reason="not today", by="human/me")
        else:
            state.claims.claim("nightly")
    skipped = run("hook.sh", "nightly", "echo", "working", root=tmp_path)
    assert skipped.returncode == 0
    assert "working" not in skipped.stdout


def test_the_reviewer_is_obeyed_and_every_issue_is_done_in_the_end(tmp_path: Path) -> None:
    done = run("kanban_reviewer.py", root=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = [line.strip() for line in done.stdout.splitlines()]
    for told in (
        "ben stops GH-2: task_abandoned",
        "ben asks for GH-3 and is refused: task_ignored",
        "sync obeys the board: complete GH-4",
        "ben stops GH-4: task_already_complete",
        "ada asks for GH-2 and works on it",
    ):
        assert told in lines
    comment = lines.index("ann reads the comment on GH-2:")
    seen = lines[comment - 4 : comment]
    assert [line.split()[2] for line in seen] == ["GH-1", "GH-2", "GH-3", "GH-4"]
    assert all("**Complete**" in line for line in seen)
    assert lines[comment + 1] == "| **Complete**"
    assert lines[-1].startswith("| Attempt 2 of 4")


def test_a_cron_job_ends_what_is_stale_and_shows_it_on_the_board(tmp_path: Path) -> None:
    with FakeGitHub(users={"bot": "push"}) as github:
        known = {"GITHUB_API_URL": github.url, "GITHUB_TOKEN": "token-bot", "SHARED_STATE_REPOSITORY": "acme/app"}
        github.open_issue("Build")
        assert run("sweep_cron.py", root=tmp_path, **known).stdout == ""
        with SharedState.open(tmp_path, owner="somebody") as state:
            state.claims.claim("GH-1", ttl_ms=30)
            state.host.sleep(0.1)
        done = run("sweep_cron.py", "--verbose", root=tmp_path, **known)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines()[0] == "sweep: 1 ended, 0 archived"
        assert "**Abandoned**" in github.comments(1)[0]["body"]
        known["GITHUB_TOKEN"] = "wrong"
        wrong = run("sweep_cron.py", root=tmp_path, **known)
        assert (wrong.returncode, wrong.stdout) == (78, "")
        assert wrong.stderr == "sync: forbidden: 401 Bad credentials\n"
    away = run("sweep_cron.py", root=tmp_path, **known)  # nobody listens any more
    assert (away.returncode, away.stdout, away.stderr) == (0, "", "")


def test_a_cron_job_without_a_board_sweeps(tmp_path: Path) -> None:
    done = run("sweep_cron.py", "--verbose", root=tmp_path, SHARED_STATE_REPOSITORY="")
    assert (done.returncode, done.stdout) == (0, "sweep: 0 ended, 0 archived\nsync: no board\n")
