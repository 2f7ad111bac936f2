"""Shared services as real processes: whose they are, who stops them, and that nothing of them is left."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sharedstate.claims.services.log_file import BYTES_MAX, OLD_FILES_MAX, log_path, open_log
from sharedstate.claims.services.model import SERVICES, dump_service
from sharedstate.host import Host
from sharedstate.store import Decision, Snapshot
from tests.integration.claims.arena import command, is_running, wait_for
from tests.integration.services.yard import DAEMON, DEAF, FAMILY, OTHER, OWNER, SERVICE, Yard

# Who may


def test_a_stop_by_another_than_the_owner_is_denied_and_audited(yard: Yard) -> None:
    pid = yard.up()
    for words in (("stop", "web"), ("restart", "web")):
        done = yard.service(*words, by=OTHER)
        assert (done.returncode, done.stdout) == (3, ""), done.stderr
        assert "not_owner" in done.stderr
    assert yard.alive() == [pid]
    assert [entry[:2] for entry in yard.trail()[-2:]] == [("service_denied", OTHER)] * 2


def test_a_forced_stop_needs_a_reason_proceeds_and_is_audited(yard: Yard) -> None:
    pid = yard.up()
    for words in (("--force",), ("--force", "--reason", "  "), ("--reason", "why")):
        assert yard.service("stop", "web", *words, by=OTHER).returncode == 2
    assert yard.alive() == [pid]
    done = yard.service("stop", "web", "--force", "--reason", "token=abc leaked", by=OTHER)
    assert done.returncode == 0, done.stderr
    assert yard.alive() == []
    assert ("service_forced", OTHER, "token=… leaked") in yard.trail()
    assert yard.json("status", "web")["owner"] == OWNER
    shown = yard.claims("audit", "--service", "web")
    assert "service_forced" in shown.stdout
    assert "abc" not in shown.stdout


def test_the_owner_stops_what_another_lane_has_started_for_it(yard: Yard) -> None:
    first = yard.up()
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: yard.json("status", "web")["state"] == "ended", what="end written down")
    started = yard.json("start", "web", by=OTHER)
    assert (started["outcome"], started["recovery"], started["owner"]) == ("started", True, OWNER)
    assert (started["started_by"], started["command"][:2]) == (OTHER, [sys.executable, "-c"])
    second = wait_for(lambda: yard.alive() or None, what="recovered service")
    assert yard.service("stop", "web", by=OTHER).returncode == 3
    assert yard.alive() == second
    assert yard.service("stop", "web").returncode == 0
    assert yard.alive() == []


def test_recovery_runs_the_owners_command_and_no_other(yard: Yard) -> None:
    yard.up()
    yard.service("stop", "web")
    done = yard.service("start", "web", "--", "sleep", "600", by=OTHER)
    assert done.returncode == 3
    assert "other_command" in done.stderr
    forced = yard.json("start", "web", "--force", "--reason", "it is ours now", "--", "sleep", "600", by=OTHER)
    assert (forced["outcome"], forced["owner"]) == ("started", OTHER)
    assert yard.service("stop", "web").returncode == 3
    assert yard.service("stop", "web", by=OTHER).returncode == 0


def test_a_running_service_is_started_only_once(yard: Yard) -> None:
    pid = yard.up()
    again = yard.json("start", "web", by=OTHER)
    assert (again["outcome"], again["pid"]) == ("already_running", pid)
    other = yard.service("start", "web", "--", "true")
    assert other.returncode == 3
    assert yard.alive() == [pid]


def test_a_lane_without_the_right_may_not_even_as_owner(yard: Yard) -> None:
    lanes = '[lanes.reader]\nrights = ["read"]\n[lanes.worker]\nrights = ["read", "start", "stop"]\n'
    (yard.folder / "sharedstate.toml").write_text(lanes)
    pid = yard.up()
    for words in (("stop", "web"), ("start", "other", "--", "true")):
        done = yard.service(*words, SHARED_STATE_LANE="reader")
        assert done.returncode == 3
        assert "no_right" in done.stderr
    force = ("stop", "web", "--force", "--reason", "why")
    assert yard.service(*force, by=OTHER, SHARED_STATE_LANE="worker").returncode == 3
    assert yard.alive() == [pid]
    assert yard.service("stop", "web", SHARED_STATE_LANE="worker").returncode == 0


# What is ended


def test_a_reused_pid_is_never_killed(yard: Yard) -> None:
    pid = yard.up()
    yard.service("stop", "web")
    with yard.running(["sleep", "600"]) as stranger, yard.open() as state:
        view = state.guard.status("web")
        assert view is not None
        now = Host().process(stranger.pid)
        assert now is not None
        stale = now.replace(start=now.start - 1)
        fake = view.record.replace(state="running", process=stale, supervisor=stale, ended_ms=None, code=None)
        state.store.transact(SERVICES, "web", lambda _: Decision(result=None, write=dump_service(fake)))
        assert yard.json("status", "web")["state"] == "dead"
        stopped = yard.json("stop", "web")
        assert stopped["outcome"] == "not_running"
        assert stranger.poll() is None
        assert not is_running(pid)


def test_a_service_that_ignores_sigterm_is_killed_after_the_grace(yard: Yard) -> None:
    pid = yard.up(DEAF)
    began_s = time.monotonic()
    stopped = yard.json("stop", "web", "--grace", "500ms")
    assert (stopped["outcome"], stopped["killed"]) == ("stopped", True)
    assert 0.5 <= time.monotonic() - began_s < 5
    assert not is_running(pid)


@pytest.mark.parametrize("code", [FAMILY, DAEMON + SERVICE], ids=["child", "daemon"])
def test_children_and_daemons_of_the_service_end_with_it(yard: Yard, code: str) -> None:
    yard.up(code)
    assert len(family(yard)) == 2
    assert yard.service("stop", "web", "--grace", "300ms").returncode == 0
    assert family(yard) == []


def test_what_a_service_leaves_behind_ends_when_it_ends_by_itself(yard: Yard) -> None:
    pid = yard.up(DAEMON.replace("signal.signal(signal.SIGTERM, signal.SIG_IGN)", "0") + SERVICE)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: yard.json("status", "web")["state"] == "ended", what="end written down")
    wait_for(lambda: family(yard) == [], what="daemon gone")
    assert yard.json("status", "web")["code"] == 137


def test_no_zombie_and_no_supervisor_is_left(yard: Yard) -> None:
    pid = yard.up(DAEMON + SERVICE)
    supervisor = yard.supervisor()
    zombies = [child for child in children(supervisor.pid) if child != pid and not is_running(child)]
    assert zombies == []
    yard.service("stop", "web", "--grace", "200ms")
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), what="service reaped")
    wait_for(lambda: not is_running(supervisor.pid), what="supervisor gone")
    assert yard.processes() == {}


# Deaths


def test_a_service_outlives_its_supervisor_and_the_next_start_adopts_it(yard: Yard) -> None:
    pid = yard.up()
    first = yard.supervisor()
    os.kill(first.pid, signal.SIGKILL)
    wait_for(lambda: not is_running(first.pid), what="death")
    seen = yard.json("status", "web")
    assert (seen["state"], seen["supervised"], seen["pid"]) == ("running", False, pid)
    yard.claims("sweep")
    adopted = yard.json("start", "web", by=OTHER)
    assert (adopted["outcome"], adopted["pid"], adopted["owner"]) == ("adopted", pid, OWNER)
    assert adopted["fence"] > seen["fence"]
    assert yard.begun() == [pid]
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: yard.json("status", "web")["state"] == "ended", what="end seen by the one who adopted it")
    wait_for(lambda: yard.processes() == {}, what="supervisor gone")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_the_owner_stops_it_when_the_supervisor_is_dead_or_stopped(yard: Yard, number: int) -> None:
    yard.up(FAMILY)
    os.kill(yard.supervisor().pid, number)
    stopped = yard.json("stop", "web", "--grace", "2s")
    assert stopped["outcome"] == "stopped"
    assert [pid for pid in family(yard) if "supervisor" not in yard.processes()[pid]] == []
    assert yard.json("status", "web")["state"] == "stopped"


def test_a_claim_that_somebody_released_is_taken_again_and_the_service_goes_on(yard: Yard) -> None:
    (yard.folder / "sharedstate.toml").write_text("heartbeat_interval_ms = 100\nstale_threshold_ms = 1000\n")
    pid = yard.up()
    fence = yard.json("status", "web")["fence"]
    assert yard.claims("release", "service:web", environment={"SHARED_STATE_OWNER": OWNER}).returncode == 0
    wait_for(lambda: yard.json("status", "web")["fence"] > fence, what="claim taken again")
    assert yard.alive() == [pid]
    assert yard.json("stop", "web")["outcome"] == "stopped"


def test_a_service_is_found_dead_after_a_kill_of_everything_and_starts_again(yard: Yard) -> None:
    pid = yard.up()
    supervisor = yard.supervisor().pid
    os.kill(supervisor, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    os.kill(supervisor, signal.SIGKILL)
    wait_for(lambda: yard.json("status", "web")["state"] == "dead", what="death seen")
    assert yard.json("start", "web")["outcome"] == "started"
    assert len(wait_for(lambda: yard.alive() or None, what="service")) == 1


def test_after_a_restart_of_the_machine_a_service_is_dead_and_can_be_started_at_once(yard: Yard) -> None:
    pid = yard.up()
    for victim in (yard.supervisor().pid, pid):
        os.kill(victim, signal.SIGKILL)
    before = "00000000-0000-4000-8000-000000000000"

    def earlier(snapshot: Snapshot) -> Decision[None]:
        """The same record, from before the machine was started anew."""
        text = json.dumps(snapshot.value).replace(Host().boot_id(), before)
        return Decision(result=None, write=json.loads(text), live=(snapshot.value or {})["fence"])

    with yard.open() as state:
        state.store.transact("tasks", "service:web", earlier)
        state.store.transact(SERVICES, "web", lambda snapshot: earlier(snapshot).replace(live=None))
        view = state.tasks.get("service:web")
        assert view is not None
        assert not view.stale  # nobody could take it over yet
    assert yard.json("status", "web")["state"] == "dead"
    started = yard.json("start", "web", by=OTHER)
    assert (started["outcome"], started["owner"]) == ("started", OWNER)


# Starting


def test_of_eight_starts_at_once_one_process_comes_out(yard: Yard) -> None:
    words = command("service", "start", "--json", "web", *yard.program())
    started = [yard.start(words, environment={"SHARED_STATE_OWNER": f"here/{n}"}) for n in range(8)]
    answers = [json.loads(one.communicate(timeout=60)[0]) for one in started]
    wait_for(lambda: yard.begun() or None, what="service")
    assert sorted(answer.get("outcome", answer.get("reason")) for answer in answers) == [
        *["already_running"] * 7,
        "started",
    ], answers
    assert len({answer["owner"] for answer in answers}) == 1
    assert len({answer["pid"] for answer in answers}) == 1
    assert yard.begun() == yard.alive()
    assert len(yard.alive()) == 1


def test_eight_recoveries_at_once_start_one_process_for_the_owner(yard: Yard) -> None:
    first = yard.up()
    os.kill(yard.supervisor().pid, signal.SIGKILL)
    os.kill(first, signal.SIGKILL)
    words = command("service", "start", "--json", "web")
    started = [yard.start(words, environment={"SHARED_STATE_OWNER": f"here/{n}"}) for n in range(8)]
    answers = [json.loads(one.communicate(timeout=60)[0]) for one in started]
    assert [answer["owner"] for answer in answers] == [OWNER] * 8, answers
    assert sum(answer.get("outcome") == "started" for answer in answers) == 1, answers
    wait_for(lambda: yard.alive() or None, what="service")
    assert len(yard.alive()) == 1


@pytest.mark.parametrize("program,code", [("no-such-program", 127), ("/dev/null", 126)])
def test_a_program_that_cannot_be_executed_says_so_and_leaves_nothing(yard: Yard, program: str, code: int) -> None:
    done = yard.service("start", "web", "--", program)
    assert done.returncode == code
    assert program in done.stderr
    assert yard.json("status", "web")["state"] == "failed"
    wait_for(lambda: yard.processes() == {}, what="nothing left")


def test_a_restart_keeps_owner_and_command_and_stops_nothing_that_cannot_start(yard: Yard) -> None:
    first = yard.up()
    assert yard.service("restart", "web", "--", "no-such-program").returncode == 2
    assert yard.alive() == [first]
    answer = yard.json("restart", "web", "--force", "--reason", "hangs", by=OTHER)
    assert (answer["outcome"], answer["owner"], answer["started_by"]) == ("started", OWNER, OTHER)
    [second] = wait_for(lambda: yard.alive() or None, what="service")
    assert second != first


def test_secrets_of_the_command_stay_on_this_machine_and_survive_a_restart(yard: Yard) -> None:
    code = f"import sys\nassert sys.argv[2:] == ['--token', 'hunter' + '2']\n{SERVICE}"
    done = yard.service("start", "web", *yard.program(code), "--token", "hunter2")
    assert done.returncode == 0, done.stderr
    wait_for(lambda: yard.begun() or None, what="service")
    assert yard.json("restart", "web")["outcome"] == "started"
    wait_for(lambda: len(yard.begun()) == 2, what="service again")
    with_secret = [path for path in yard.root.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    assert with_secret
    for path in with_secret:
        assert "local" in path.relative_to(yard.root).parts
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_program_knows_its_fence_and_owner_and_not_the_token(yard: Yard) -> None:
    done = yard.service("start", "web", "--", "sh", "-c", "env; sleep 600", by=OWNER)
    assert done.returncode == 0
    log = Path(log_path(str(yard.root), "web"))
    wait_for(lambda: "SHARED_STATE_OWNER" in log.read_text(), what="environment")
    assert {"SHARED_STATE_TASK=service:web", "SHARED_STATE_FENCE=1", f"SHARED_STATE_OWNER={OWNER}"} <= set(
        log.read_text().splitlines()
    )
    with yard.open(OWNER) as state:
        local = state.claims.local("service:web")
        assert local is not None
        assert local.token not in log.read_text()


def test_the_log_is_private_and_bounded(tmp_path: Path) -> None:
    root, host = tmp_path / "root", Host()
    path = Path(log_path(str(root), "web"))
    for _ in range(OLD_FILES_MAX + 3):
        os.close(open_log(str(root), "web", host=host))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.write_bytes(b"x" * (BYTES_MAX + 1))
    assert len(list(path.parent.iterdir())) == OLD_FILES_MAX + 1


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    path = Path(log_path(str(tmp_path), "web"))
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="log"):
        open_log(str(tmp_path), "web", host=Host())
    assert not (tmp_path / "elsewhere").exists()


def test_a_service_is_no_work_for_next(yard: Yard) -> None:
    pid = yard.up()
    os.kill(yard.supervisor().pid, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    yard.claims("sweep")
    assert yard.claims("next").returncode == 5


# A process that registers itself

REGISTERED = """
import signal, sys, time
from sharedstate import SharedState
def end(number, frame):
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
with SharedState.open() as state, state.guard.running("web") as mine:
    fd = open(sys.argv[1], "a")
    print(__import__("os").getpid(), file=fd, flush=True)
    print("held" if mine.hold else "supervised", flush=True)
    time.sleep(600)
"""


def test_a_process_that_registers_itself_is_the_service_until_its_owner_stops_it(yard: Yard) -> None:
    words = [sys.executable, "-c", REGISTERED, str(yard.pids)]
    with yard.running(words, environment={"SHARED_STATE_OWNER": OWNER}) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        second = yard.start(words, environment={"SHARED_STATE_OWNER": OTHER})
        assert "already_running" in second.communicate(timeout=30)[1]
        assert yard.json("status", "web")["pid"] == first.pid
        assert yard.service("stop", "web", by=OTHER).returncode == 3
        stop = yard.start(command("service", "stop", "--json", "web"), environment={"SHARED_STATE_OWNER": OWNER})
        first.wait(30)
        assert json.loads(stop.communicate(timeout=30)[0])["outcome"] == "stopped"


def test_under_a_supervisor_a_process_that_registers_itself_is_that_service_already(yard: Yard) -> None:
    yard.up(REGISTERED)
    log = Path(log_path(str(yard.root), "web"))
    assert wait_for(lambda: log.read_text() or None, what="output") == "supervised\n"
    assert yard.json("status", "web")["supervised"] is True


def family(yard: Yard) -> list[int]:
    """Everybody who runs with this root, but for supervisors and ourselves."""
    return [pid for pid, line in yard.processes().items() if "supervisor" not in line and "sharedstate_cli" not in line]


def children(pid: int) -> list[int]:
    """The children of a process, zombies included."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]
