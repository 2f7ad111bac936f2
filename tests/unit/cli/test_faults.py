"""Wrong input and things that break: one clear message, the documented exit code, never a traceback."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from sharedstate.testing.memory import MemoryStore
from sharedstate_cli import main as entry
from sharedstate_cli.answers import worse
from sharedstate_cli.session import Console, Session
from tests.unit.cli.shell import Shell


@pytest.mark.parametrize(
    "line,told",
    [
        ("clam T", "Did you mean 'claim'"),
        ("claim", "Missing argument 'TASK'"),
        ("claim T --tll 5s", "--ttl"),
        ("claim T --ttl 5x", "not a duration"),
        ("claim T --ttl -5s", "not a duration"),
        ("claim T --ttl 0", "ttl must be from"),
        ("claim T --meta novalue", "expected K=V"),
        ("claim T --meta a=1 --meta a=2", "given twice"),
        ("claim T --priority high", "not a whole number"),
        ("claim T --priority -1", "priority must be from"),
        ("claim T --token x", "a token has 8 to"),
        ("claim T U", "unexpected extra argument"),
        ("claim T --owner", "requires an argument"),
        ("claim T --scope ../x", "stays inside"),
        ("release T --status done", "not one of complete, failed, abandoned"),
        ("release T --status Failed", "did you mean 'failed'"),
        ("list --status complet", "did you mean 'complete'"),
        ("ignore T", "--reason"),
        ("ignore T --reason", "requires an argument"),
        ("config shw", "Did you mean 'show'"),
        ("completion tcsh", "not one of bash, zsh, fish"),
        ("schema nothing", "not one of record"),
        ("run T", "say what to run"),
        ("run T ls", "behind --"),
        ("run T --", "say what to run"),
        ("next --from nowhere.txt", "cannot read nowhere.txt"),
    ],
)
def test_wrong_usage_is_one_clear_message_with_exit_code_2(shell: Shell, line: str, told: str) -> None:
    answer = shell(line)
    assert answer.code == 2
    assert told in answer.document["error"]["message"]
    text = shell.text(line)
    assert (text.code, text.out) == (2, "")
    assert text.err.startswith("claims: ")
    assert told in text.err
    assert "Traceback" not in text.err


@pytest.mark.parametrize("task", ["", " x", "a\nb", "x" * 201, "\u202ex", "\ud800", "a\x00b"])
def test_a_bad_id_is_refused(shell: Shell, task: str) -> None:
    answer = shell("claim", task)
    assert (answer.code, answer.document["error"]["code"]) == (2, "invalid_id")
    assert shell.text("claim", task).err.count("\n") == 2


@pytest.mark.parametrize("task", ["../x", "CON", ".lock", "a/b", "T", "t", "t.json", "-", "--", "é", "#12", "x" * 200])
def test_an_odd_id_is_data(shell: Shell, task: str) -> None:
    answer = shell("claim", "--", task, stdin="from-stdin\n") if task != "--" else shell("claim", "--", "--")
    assert answer.code == 0
    assert answer.document["task"] == (task if task != "-" else "from-stdin")


def test_a_pipe_that_is_not_text_is_refused(shell: Shell) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"a\n\xff\xfe\n"), encoding="utf-8")
    out, err = io.StringIO(), io.StringIO()
    console = Console(stdin=stdin, stdout=out, stderr=err, host=shell.host)
    assert entry.main(["claim", "-", "--dir", str(shell.root)], console=console) == 2
    assert "not UTF-8" in err.getvalue()


def test_a_line_without_end_is_refused(shell: Shell) -> None:
    answer = shell("claim -", stdin="x" * 20_000)
    assert (answer.code, answer.document["error"]["code"]) == (2, "invalid_input")


def test_closed_streams_are_no_fault(shell: Shell) -> None:
    console = Console(stdin=None, stdout=None, stderr=None, host=shell.host)
    assert entry.main(["claim", "T", "--dir", str(shell.root)], console=console) == 0
    assert entry.main(["claim", "-", "--dir", str(shell.root)], console=console) == 2
    assert entry.main(["list", "--dir", str(shell.root)], console=console) == 0


@pytest.mark.parametrize("line", ["whoami", "claim T", "list", "config show"])
def test_settings_that_make_no_sense_are_exit_code_78(shell: Shell, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARED_STATE_MAX_RETRIES", "many")
    answer = shell(line)
    assert (answer.code, answer.document["error"]["code"]) == (78, "bad_settings")
    assert "SHARED_STATE_MAX_RETRIES" in answer.document["error"]["message"]


def test_a_root_that_is_no_folder_is_exit_code_78(shell: Shell) -> None:
    shell.root.write_text("mine")
    answer = shell("claim T")
    assert (answer.code, answer.document["error"]["code"]) == (78, "unsafe_store")
    assert shell.root.read_text() == "mine"


def test_a_store_that_is_away_is_exit_code_75(tmp_path: Path) -> None:
    from sharedstate.errors import StoreUnavailable

    store = MemoryStore()
    shell = Shell(tmp_path, store=store)
    shell("claim T")
    store.outage = StoreUnavailable("no connection")
    assert shell("show T").code == 75
    answer = shell("renew T")
    assert (answer.code, answer.document["reason"]) == (75, "unverifiable")
    listed = shell("list")
    assert (listed.code, listed.document["error"]["retryable"]) == (75, True)


def test_the_unexpected_is_one_line_and_on_request_a_traceback(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(handler: str) -> object:
        raise ZeroDivisionError("half\x1bway")

    monkeypatch.setattr(entry, "load", broken)
    answer = shell.text("list")
    assert answer.code == 1
    assert answer.err == (
        "claims: unexpected ZeroDivisionError: half\\x1bway (run with SHARED_STATE_DEBUG=1 for the traceback)\n"
    )
    assert shell("list").document["error"]["code"] == "unexpected"
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("SHARED_STATE_DEBUG", "1")
    shell("list")
    assert "Traceback" in capsys.readouterr().err


def test_hints_suggest_nothing_destructive(shell: Shell) -> None:
    from sharedstate import errors

    hints = [kind.hint for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "hint")]
    for hint in hints:
        assert not any(word in hint for word in ("rm ", "delete", "remove", "--force", "kill"))


def test_the_graver_exit_code_wins() -> None:
    assert worse(0, 3) == 3
    assert worse(3, 2) == 2
    assert worse(75, 7) == 75
    assert worse(1, 78) == 1
    assert worse(5, 0) == 5


def test_ctrl_c_while_reading_ids_gives_back_what_was_claimed(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def typed(session: Session) -> Iterator[str]:
        yield from ("a", "b")
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "ids", typed)
    answer = shell("claim -")
    assert answer.code == 130
    assert "2 claimed and given back" in answer.err
    assert shell("list").document["tasks"] == []
    assert shell("show a").document["status"] == "abandoned"


def test_ctrl_c_in_the_middle_of_a_claim_leaves_nothing_held(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    from sharedstate.claims.service import Claims

    real = Claims.claim

    def struck(self: Claims, task: str, **options: object) -> object:
        answer = real(self, task, **options)  # type: ignore[arg-type]  # options pass through as they come
        os.kill(os.getpid(), signal.SIGINT)
        return answer

    monkeypatch.setattr(Claims, "claim", struck)
    for line in ("claim T", "next --from -"):
        answer = shell(line, stdin="T\n")
        assert answer.code == 130
        assert answer.out == ""
        assert shell("list").document["tasks"] == []


def test_ctrl_c_does_not_end_a_claim_that_stood_before(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    from sharedstate.claims.service import Claims

    shell("claim T")
    real = Claims.claim

    def struck(self: Claims, task: str, **options: object) -> object:
        answer = real(self, task, **options)  # type: ignore[arg-type]  # options pass through as they come
        os.kill(os.getpid(), signal.SIGINT)
        return answer

    monkeypatch.setattr(Claims, "claim", struck)
    assert shell("claim T").code == 130
    assert shell("show T").document["status"] == "claimed"
