"""The outbox by the command: what waits, what was given up, and what a person does about it."""

from __future__ import annotations

import json

import pytest

from sharedstate_cli.full.schemas import MODELS
from tests.unit.cli.shell import Shell
from tests.unit.cli.test_messages import NOBODYS, check, sent


def queued(shell: Shell, body: str = "hello", to: str = "desk/bob") -> str:
    answer = shell(f"send --from desk/ada --to {to} --no-deliver --body", body)
    assert answer.code == 9
    return str(answer.document["id"])


def damage(shell: Shell) -> str:
    """A message whose record holds nothing any more; returns its id."""
    message = queued(shell)
    [record] = [path for path in shell.root.rglob("outbox-*/*.json") if message in path.read_text()]
    record.write_bytes(b"")
    return message


def test_what_waits_is_listed_and_shown_with_its_body(shell: Shell) -> None:
    message = queued(shell, "hello\n\x1b[2J")
    queued(shell, to="desk/eve")
    assert [one["state"] for one in check("outbox", shell("outbox list"))["messages"]] == ["pending", "pending"]
    assert len(shell("outbox list --to desk/eve").document["messages"]) == 1
    assert len(shell("outbox list --limit 1").document["messages"]) == 1
    assert shell("outbox list --from desk/eve").document["messages"] == []
    assert shell("outbox list --state dead").document["messages"] == []
    assert check("outbox-message", shell(f"outbox show {message}"))["message"]["body"] == "hello\n\x1b[2J"
    told = shell.text(f"outbox show {message}").out
    assert "    \\x1b[2J" in told
    assert "pending, not tried yet" in told


def test_a_flush_counts_and_says_by_its_code_whether_something_waits(shell: Shell) -> None:
    queued(shell)
    queued(shell)
    answer = shell("outbox flush --count 1")
    assert (answer.code, check("flush", answer)["sent"], answer.document["stopped"]) == (9, 1, "count")
    answer = shell("outbox flush --time 5s")
    assert (answer.code, check("flush", answer)["sent"]) == (0, 1)
    assert shell.text("outbox flush").out == "0 messages in all: 0 sent, 0 failed, 0 dead, 0 waiting\n"
    assert [one["via"] for one in check("outbox", shell("outbox list --state sent"))["messages"]] == ["store"] * 2


@pytest.mark.parametrize("words", ["--count 0", "--count 100001", "--time 0", "--time 2d"])
def test_a_flush_without_bounds_is_a_usage_error(shell: Shell, words: str) -> None:
    answer = shell(f"outbox flush {words}")
    assert (answer.code, answer.document["error"]["code"]) == (2, "usage")


def test_the_counts_stand_in_the_status_too(shell: Shell) -> None:
    queued(shell)
    shell.advance(90)
    counts = check("outbox-status", shell("outbox status"))
    assert (counts["pending"], counts["dead"], counts["oldest_age_s"]) == (1, 0, 90)
    assert "1 m 30 s" in shell.text("outbox status").out
    assert check("status", shell("status"))["outbox"]["pending"] == 1
    assert "outbox pending" in shell.text("status").out


def test_a_dropped_message_is_gone_and_audited(shell: Shell) -> None:
    message = queued(shell)
    assert shell(f"outbox drop {message}").code == 2
    assert shell(f"outbox drop {message} --reason", " ").code == 2
    assert check("outbox-change", shell(f"outbox drop {message} --reason", "sent by mistake"))["changed"] == 1
    assert shell(f"outbox drop {message} --reason again").code == 5
    assert shell(f"outbox show {message}").code == 5
    [entry] = shell("audit").document["entries"]
    assert (entry["kind"], entry["about"], entry["reason"]) == (
        "message_dropped",
        f"outbox:{message}",
        "sent by mistake",
    )


def test_a_message_that_was_given_up_can_be_retried(shell: Shell) -> None:
    message = queued(shell)
    shell.advance(31 * 86_400)  # older than mail is kept: its receiver cannot know whether it has been there
    answer = shell("outbox flush")
    assert (answer.code, check("flush", answer)["dead"]) == (0, 1)
    [dead] = check("outbox", shell("outbox list --state dead"))["messages"]
    assert dead["reason"]
    assert "dead, tried 1 time" in shell.text(f"outbox show {message}").out
    assert check("outbox-change", shell(f"outbox retry {message}"))["changed"] == 1
    assert shell("outbox status").document["pending"] == 1
    shell("outbox flush")
    assert shell("outbox retry --all").document["changed"] == 1


def test_a_retry_says_what_there_is_to_retry(shell: Shell) -> None:
    arrived, waiting = sent(shell, "one"), queued(shell)
    assert shell(f"outbox retry {arrived}").code == 5
    answer = shell(f"outbox retry {waiting}")
    assert (answer.code, check("outbox-change", answer)["changed"]) == (0, 0)
    assert shell("outbox retry --all").document["changed"] == 0
    assert shell("outbox retry").code == 2
    assert shell(f"outbox retry {waiting} --all").code == 2
    assert shell(f"outbox retry {NOBODYS}").code == 5


def test_the_export_is_one_object_a_line(shell: Shell) -> None:
    queued(shell, "one")
    queued(shell, "two")
    lines = shell.text("outbox export").out.splitlines()
    assert [json.loads(line)["message"]["body"] for line in lines] == ["one", "two"]
    for line in lines:
        MODELS["outbox-export"].model_validate_json(line)
    assert shell("outbox export --state dead").out == ""


def test_a_damaged_record_is_told_everywhere_and_stops_nobody(shell: Shell) -> None:
    damage(shell)
    queued(shell)
    answer = shell("outbox list")
    assert len(check("outbox", answer)["damaged"]) == 1
    assert "unreadable" in answer.err
    assert check("outbox-status", shell("outbox status"))["damaged"] == 1
    flushed = shell("outbox flush")
    assert (flushed.document["sent"], len(flushed.document["damaged"])) == (1, 1)
    assert "damaged in the outbox" in flushed.err


def test_a_sweep_says_what_it_delivered(shell: Shell) -> None:
    queued(shell)
    document = check("sweep", shell("sweep"))
    assert document["outbox"]["sent"] == 1
    assert document["messages"]["messages"] == 0
    queued(shell)
    assert "1 message waited: 1 sent" in shell.text("sweep").out
    assert "outbox" not in check("sweep", shell("sweep --dry-run"))


def test_a_sweep_removes_what_everybody_has_read_long_ago(shell: Shell) -> None:
    sent(shell)
    shell("ack desk/bob --up-to 1")
    shell.advance(31 * 86_400)
    assert "would have removed 1 message" in shell.text("sweep --dry-run").out
    assert "removed 1 message that everybody has read" in shell.text("sweep").out
    assert "not kept any more" in shell.text("inbox desk/bob --all").out
