"""`claims service`, `claims audit`, `claims lanes` as answers: codes, schemas, texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sharedstate.connect import SharedState
from sharedstate.host import Host
from sharedstate.testing.clock import FakeHost
from sharedstate_cli.full.schemas import MODELS
from tests.unit.cli.shell import Shell


def check(name: str, document: Any) -> None:
    MODELS[name].model_validate_json(json.dumps(document))


def serve(shell: Shell, host: Host) -> Any:
    """Another process on the machine that runs as the service `web` of `ws/one`."""
    state = SharedState.open(shell.root, owner="ws/one", host=host)
    return state.guard.running("web", command=("serve", "\x1b[31m", "--token", "abc"), renewal="manual")


@pytest.fixture
def served(shell: Shell) -> Shell:
    assert isinstance(shell.host, FakeHost)
    serve(shell, FakeHost(machine=shell.host.machine)).__enter__()
    return shell


def test_answers_fulfil_their_schemas(served: Shell) -> None:
    check("service", served("service status web").document)
    check("services", served("service status").document)
    denied = served("service stop web --owner ws/two")
    check("service-denial", denied.document)
    assert (denied.code, denied.document["reason"], denied.document["owner"]) == (3, "not_owner", "ws/one")
    check("service", served("service start web --owner ws/two").document)
    stopped = served("service stop web --owner ws/two --force --reason why")
    check("service", stopped.document)
    assert (stopped.code, stopped.document["outcome"], stopped.document["forced"]) == (0, "stopped", True)
    assert "pid" not in served("service status web").document
    nobody = served("service stop nobody")
    check("service-denial", nobody.document)
    assert (nobody.code, nobody.document["reason"]) == (5, "no_such_service")
    check("audit", served("audit --service web").document)
    assert [entry["kind"] for entry in served("audit").document["entries"]] == [
        *("service_started", "service_denied", "service_forced", "service_ended")
    ]
    check("lanes", served("lanes").document)


def test_people_see_no_secret_and_no_control_character(served: Shell) -> None:
    shown = served.text("service status web").out
    assert "serve \\x1b[31m --token …" in shown
    assert "ws/one" in served.text("service status").out
    assert "\x1b" not in served.text("audit").out
    assert "service_started" in served.text("audit").out


@pytest.mark.parametrize("words", [["--force"], ["--reason", "why"], ["--force", "--reason", " "], ["--grace", "11m"]])
def test_half_a_force_is_refused(served: Shell, words: list[str]) -> None:
    assert served("service stop web --owner ws/two", *words).code == 2
    assert served("service status web").document["state"] == "running"


def test_a_service_that_was_never_started_says_what_to_do(shell: Shell) -> None:
    answer = shell("service start web")
    assert answer.code == 2
    assert "say what to run" in answer.document["error"]["message"]
    assert shell("service restart web").code == 5
    assert shell.text("service status").out == "no services\n"
    assert shell.text("audit").out == "nothing was denied or overridden\n"
    assert shell("audit --limit 0").code == 2


def test_the_lane_matrix_is_printed_for_people_programs_and_readmes(shell: Shell, tmp_path: Path) -> None:
    assert "everybody may do everything" in shell.text("lanes").out
    (tmp_path / "sharedstate.toml").write_text(
        'lane = "core"\n[lanes.core]\nrole = "keeps [x] up"\nrights = ["read", "stop"]\n[lanes.web]\n'
        'primary = "https://me:secret@example.org"\n'
    )
    document = shell("lanes").document
    check("lanes", document)
    assert (document["lane"], [lane["lane"] for lane in document["lanes"]]) == ("core", ["core", "web"])
    assert "secret" not in shell("lanes").out + shell.text("lanes").out
    assert shell.text("lanes --markdown").out.startswith("| Lane | Role |")
    assert shell("service start web -- true").document["reason"] == "no_right"
    assert shell("audit").document["entries"][0]["kind"] == "service_denied"


def test_a_typo_in_a_lane_is_an_error(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "sharedstate.toml").write_text('lane = "cor"\n[lanes.core]\n')
    for line in ("lanes", "service status", "service stop web"):
        assert shell(line).code == 78
