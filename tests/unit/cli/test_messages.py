"""Sending, reading and acknowledging by the command: outcomes, exit codes, what a person sees."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sharedstate.errors import StoreUnavailable
from sharedstate.testing.memory import MemoryStore
from sharedstate_cli.full.schemas import MODELS
from tests.unit.cli.shell import Answer, Shell

NOBODYS = "01M7Y7YJNVBE8HK4TGSNP8QNTW"


def check(name: str, answer: Answer) -> dict[str, Any]:
    document: dict[str, Any] = answer.document
    MODELS[name].model_validate_json(json.dumps(document))
    return document


def sent(shell: Shell, body: str = "hello", *more: str, to: str = "desk/bob", sender: str = "desk/ada") -> str:
    answer = shell(f"send --to {to} --from {sender} --body", body, *more)
    assert answer.code == 0, answer
    return str(answer.document["id"])


# Sending


def test_a_sent_message_is_delivered_and_says_so(shell: Shell) -> None:
    answer = shell("send --to desk/bob --to desk/eve --kind question --phase build --requires-ack 15m --body", "hello")
    document = check("sending", answer)
    assert answer.code == 0
    assert document["outcome"] == "delivered"
    assert document["to"] == ["desk/bob", "desk/eve"]
    assert document["via"] == "store"
    assert document["from"] == shell("whoami").document["owner"]


def test_a_message_that_waits_is_queued_with_exit_code_9(shell: Shell) -> None:
    answer = shell("send --to desk/bob --no-deliver --body hello")
    assert (answer.code, check("sending", answer)["outcome"]) == (9, "queued")
    assert answer.document["ok"] is True


def test_a_full_outbox_rejects_with_exit_code_2(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHARED_STATE_OUTBOX_MESSAGES_MAX", "1")
    assert shell("send --to desk/bob --no-deliver --body one").code == 9
    answer = shell("send --to desk/bob --no-deliver --body two")
    document = check("rejection", answer)
    assert (answer.code, document["outcome"], document["reason"]) == (2, "rejected", "outbox_full")
    assert "nothing was kept" in shell.text("send --to desk/bob --no-deliver --body two").err


@pytest.mark.parametrize(
    "words, said",
    [
        (["--to", "*", "--to", "b", "--body", "x"], "stands alone"),
        (["--to", "b", "--body", "x", "--kind", "a b"], "kind"),
        (["--to", "b", "--body", "x", "--priority", "10"], "priority"),
        (["--to", "b", "--body", "x", "--reply-to", "no"], "reply_to"),
        (["--to", "b", "--body", "x", "--correlation", "no"], "correlation_id"),
        (["--to", "b", "--body", "x", "--requires-ack", "0"], "acknowledgement"),
        (["--to", " ", "--body", "x"], "recipient"),
        (["--to", "b", "--body", "a\0b"], "NUL"),
        (["--to", "b", "--body", "x" * 65_537], "65536"),
    ],
)
def test_a_message_that_nobody_would_take_is_rejected_before_it_is_kept(
    shell: Shell, words: list[str], said: str
) -> None:
    answer = shell("send", *words)
    assert (answer.code, answer.document["outcome"]) == (2, "rejected")
    assert said in check("error", answer)["error"]["message"]
    assert check("outbox-status", shell("outbox status"))["pending"] == 0


def test_a_body_from_standard_input_keeps_every_character(shell: Shell) -> None:
    body = "one\n\ttwo\r\nthree\n\n"
    assert shell("send --to desk/bob --body -", stdin=body).code == 0
    [letter] = check("inbox", shell("inbox desk/bob"))["letters"]
    assert letter["message"]["body"] == body


def test_too_long_a_body_from_standard_input_is_rejected(shell: Shell) -> None:
    assert shell("send --to desk/bob --body -", stdin="x" * 70_000).code == 2


def test_a_comma_in_a_name_is_remarked_upon(shell: Shell) -> None:
    assert "one name" in shell("send --to a,b --body x").err


@pytest.mark.parametrize("timeout", ["0", "11m"])
def test_a_timeout_without_bounds_is_a_usage_error(shell: Shell, timeout: str) -> None:
    answer = shell(f"send --to b --body x --timeout {timeout}")
    assert (answer.code, answer.document["error"]["code"]) == (2, "usage")


# Reading


def test_the_inbox_shows_what_is_unread_and_all_shows_the_rest(shell: Shell) -> None:
    sent(shell, "one")
    sent(shell, "two")
    assert shell("ack desk/bob --up-to 1").code == 0
    assert [one["sequence"] for one in check("inbox", shell("inbox desk/bob"))["letters"]] == [2]
    letters = check("inbox", shell("inbox desk/bob --all"))["letters"]
    assert [(one["sequence"], one["unread"]) for one in letters] == [(1, False), (2, True)]
    assert "no unread letters" in shell.text("inbox desk/bo").out


def test_a_limit_says_that_there_is_more_and_where_to_go_on(shell: Shell) -> None:
    for number in range(3):
        sent(shell, str(number))
    document = check("inbox", shell("inbox desk/bob --limit 2"))
    assert (len(document["letters"]), document["next_after"], document["more"]) == (2, 2, True)
    shown = shell.text("inbox desk/bob --limit 2").out
    assert "there are more: --after 2" in shown
    assert "claims ack desk/bob --up-to 2" in shown


def test_after_a_filter_only_ids_are_offered_to_be_acknowledged(shell: Shell) -> None:
    sent(shell, "not this")
    wanted = sent(shell, "this", "--kind", "question")
    shown = shell.text("inbox desk/bob --kind question").out
    assert "not this" not in shown
    assert f"claims ack desk/bob --id {wanted}" in shown
    assert "--up-to" not in shown


def test_a_body_cannot_pass_for_the_command_nor_steer_the_terminal(shell: Shell) -> None:
    sent(shell, "hello\n#2  message from boss to desk/bob\n\x1b[2J\x9b\u202eevil\n\ttabbed\n[red]x[/red]")
    shown = shell.text("inbox desk/bob", screen=True).out
    assert "\n    #2  message from boss" in shown
    assert "\\x1b[2J\\x9b\\u202eevil" in shown
    assert "    [red]x[/red]" in shown
    assert not {"\x1b", "\x9b", "\u202e", "\t"} & set(shown)
    unread = shell.text("unread desk/bob").out
    assert not {"\x1b", "\x9b", "\u202e", "\t"} & set(unread)
    assert sum(line.startswith("  #") for line in unread.splitlines()) == 1


@pytest.mark.parametrize("words", ["--limit 0", "--after -1", "--all --unread"])
def test_options_that_mean_nothing_are_usage_errors(shell: Shell, words: str) -> None:
    answer = shell(f"inbox desk/bob {words}")
    assert (answer.code, answer.document["error"]["code"]) == (2, "usage")


def test_a_thread_is_found_by_its_exact_id(shell: Shell) -> None:
    first = sent(shell, "question")
    answered = sent(shell, "answer", "--reply-to", first, to="desk/ada", sender="desk/bob")
    messages = check("thread", shell(f"thread {first}"))["messages"]
    assert [one["message_id"] for one in messages] == [first, answered]
    assert shell.text(f"thread {first}").out.endswith("2 messages\n")
    assert shell(f"thread {answered}").code == 5
    assert shell(f"thread {NOBODYS}").code == 5
    assert shell("thread nonsense").code == 2


def test_acknowledgements_that_are_late_are_listed(shell: Shell) -> None:
    message = sent(shell, "well?", "--requires-ack", "1m")
    assert check("overdue", shell("overdue"))["overdue"] == []
    shell.advance(61)
    [late] = check("overdue", shell("overdue --from desk/ada --to desk/bob"))["overdue"]
    assert (late["id"], late["from"], late["to"]) == (message, "desk/ada", "desk/bob")
    assert message in shell.text("overdue").out
    assert shell("overdue --from desk/eve").document["overdue"] == []
    assert shell("ack desk/bob --up-to 1").code == 0
    assert "nothing is overdue" in shell.text("overdue").out


# Acknowledging


def test_an_acknowledgement_never_goes_back_or_beyond_what_has_come(shell: Shell) -> None:
    ids = [sent(shell, str(number)) for number in range(3)]
    assert check("watermark", shell("ack desk/bob --up-to 2"))["up_to"] == 2
    assert shell("ack desk/bob --up-to 1").document["up_to"] == 2
    assert shell("ack desk/bob --up-to 9").code == 2
    assert shell("ack desk/bob --up-to -1").code == 2
    assert shell(f"ack desk/bob --id {ids[2]}").document["up_to"] == 3
    assert shell(f"ack desk/bob --id {NOBODYS}").code == 2
    assert shell("ack desk/bob").code == 2


def test_letters_that_came_after_the_look_stay_unread(shell: Shell) -> None:
    sent(shell, "one")
    up_to = shell("unread desk/bob").document["up_to"]
    sent(shell, "two")
    shell(f"ack desk/bob --up-to {up_to}")
    assert [one["summary"] for one in shell("unread desk/bob").document["letters"]] == ["two"]


def test_flags_say_how_far_an_agent_has_read_and_a_reset_is_audited(shell: Shell) -> None:
    sent(shell, "one")
    sent(shell, "two")
    shell("ack desk/bob --up-to 2")
    assert check("flags", shell("flags status desk/bob"))["unread"] == 0
    assert shell("flags reset desk/bob").code == 2
    assert shell("flags reset desk/bob --reason", " ").code == 2
    document = check("flags", shell("flags reset desk/bob --up-to 1 --reason", "lost it, password=hunter2"))
    assert (document["up_to"], document["unread"]) == (1, 1)
    assert shell("flags reset desk/bob --up-to 2 --reason why").code == 2
    [entry] = shell("audit").document["entries"]
    assert (entry["kind"], entry["about"]) == ("flags_reset", "inbox:desk/bob")
    assert entry["reason"].startswith("lost it")
    assert "hunter2" not in entry["reason"]


# Unknown is not nothing


@pytest.mark.parametrize("line", ["unread desk/bob", "inbox desk/bob", "flags status desk/bob"])
def test_a_store_that_is_away_makes_it_unknown_and_never_zero(tmp_path: Path, line: str) -> None:
    store = MemoryStore()
    shell = Shell(tmp_path, store=store)
    sent(shell)
    store.outage = StoreUnavailable("the far side does not answer")
    answer = shell(line)
    document = check("unknown", answer)
    assert (answer.code, document["count"], document["reason"]) == (75, None, "unknown")
    told = shell.text(line)
    assert told.code == 75
    assert "unknown" in told.err
    assert "does not answer" in told.err
    assert "0" not in told.out


def test_part_of_an_inbox_that_cannot_be_read_makes_the_count_unknown(shell: Shell) -> None:
    sent(shell, "one")
    sent(shell, "two")
    [journal] = (shell.root / "journal").glob("inbox.desk_bob*/*.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"x" * (len(lines[0]) - 1) + b"\n" + lines[1])
    answer = shell("unread desk/bob")
    document = check("unknown", answer)
    assert (answer.code, document["known"]) == (75, 1)
    told = shell.text("unread desk/bob")
    assert "two" in told.out
    assert "unread" not in told.out
    assert "at least 1" in told.err
