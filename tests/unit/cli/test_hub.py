"""`claims hub`: contexts, records, events and health from a shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sharedstate.errors import EXIT_NOT_FOUND, EXIT_RETRY, EXIT_USAGE, StoreUnavailable
from sharedstate.testing.memory import MemoryStore
from sharedstate_cli.full.schemas import MODELS
from tests.unit.cli.shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path)


def test_an_update_is_seen_by_status_and_get(shell: Shell) -> None:
    made = shell("hub update ada --patch", '{"branch": "x", "n": 1}', "--status", "working", "--ttl", "5m")
    assert (made.code, made.document["number"], made.document["ttl_s"]) == (0, 1, 300.0)
    shell("hub update ada --set", "mood=calm")
    held = shell("hub get ada").document
    assert (held["status"], held["context"]) == ("working", {"branch": "x", "n": 1, "mood": "calm"})
    assert [one["agent"] for one in shell("hub status").document["contexts"]] == ["ada"]
    assert "working" in shell.text("hub status").out


def test_status_is_set_and_cleared_on_purpose_only(shell: Shell) -> None:
    shell("hub update ada --status working")
    assert shell("hub update ada --patch", '{"status": "other"}').document["status"] == "working"
    assert shell("hub update ada --status", "").document["status"] is None


def test_a_patch_comes_from_standard_input_too(shell: Shell) -> None:
    shell("hub update ada --patch - --replace", stdin='{"a": {"b": [1, 2.5, null, "é"]}}')
    assert shell("hub get ada").document["context"] == {"a": {"b": [1, 2.5, None, "é"]}}


def test_who_has_expired_is_shown_only_when_asked_for(shell: Shell) -> None:
    shell("hub update ada --set a=1 --ttl 10s")
    shell.advance(11)
    assert "nobody" in shell.text("hub status").out
    assert "ada" in shell.text("hub status --expired").out
    assert shell("hub status").document["contexts"][0]["expired"] is True


def test_who_changes_its_context_is_seen_at_that_moment(shell: Shell) -> None:
    shell("hub update ada --set n=1 --ttl 10s")
    shell.advance(8)
    changed = shell("hub update ada --set n=2").document
    shell.advance(8)
    held = shell("hub get ada").document
    assert (held["expired"], held["seen_at"]) == (False, changed["changed_at"])


@pytest.mark.parametrize(
    "line",
    [
        "hub update ada --patch [1]",
        "hub update ada --patch {",
        'hub update ada --patch 1,"x":2',
        "hub update ada --replace",
        "hub update ada --ttl 1ms",
        "hub record task ada T-1",
        "hub record task ada T-1 complete --result nope",
        "hub record task ada T-1 complete --use a=1",
        "hub record usage ada",
        "hub record usage ada --use a=x",
        "hub record usage ada --use a=-1",
        "hub record lesson ada --result 5",
        "hub record lesson ada T-1 --result {}",
        "hub watch --count 0",
        "hub lessons --last 0",
        "hub lessons --last 10001",
        "hub watch --after nix --timeout 1s",
        "hub run --every 1ms",
        "hub run --bridge no/such/folder",
        "hub record usage ada --use \udcff=1",
        "hub update ada --status \udcff",
    ],
)
def test_wrong_input_is_a_usage_error_and_changes_nothing(shell: Shell, line: str) -> None:
    answer = shell(line)
    assert answer.code == EXIT_USAGE, answer.out + answer.err
    assert answer.document["error"]["message"]
    assert shell("hub status").document["contexts"] == []


@pytest.mark.parametrize(
    "line, said",
    [
        (
            "hub update ada --patch {'a':1}",
            "--patch: not JSON: one JSON value is wanted; names and texts stand in double",
        ),
        ("hub update ada --patch null", 'an object such as {"branch": "main"}, not null'),
        ("hub update ada --patch [1]", "not a list"),
        ('hub update ada --patch {"a":NaN}', "--patch: not JSON: NaN is not JSON"),
        ("hub update ada --ttl 40d", "1 s to 30 days"),
        ("hub record task ada T-1", "an id and an outcome are needed"),
        ("hub record task ada T-1 done --result \udcff", "--result: not UTF-8 text"),
        ("hub record usage ada --use a=99999999999999999999", "a whole number from 0 to 1000000000000000"),
    ],
)
def test_what_is_wrong_is_said_in_words_of_the_command(shell: Shell, line: str, said: str) -> None:
    answer = shell.text(line)
    assert (answer.code, said in answer.err) == (EXIT_USAGE, True), answer.err


def test_watching_tells_an_outage_what_happens_here_and_the_end_of_it(tmp_path: Path) -> None:
    store = MemoryStore()
    shell = Shell(tmp_path, store=store, host=store.host)
    shell("hub update ada --set n=1")
    cursor = shell("hub watch --after first --count 1").documents[0]["cursor"]
    store.outage = StoreUnavailable("no way there")
    shell("hub update ada --set n=2")
    told = shell("hub watch --timeout 1s --after", cursor).documents
    for name, document in zip(("hub-outage", "hub-event"), told, strict=True):
        MODELS[name].model_validate_json(json.dumps(document))
    assert (told[0]["away"], told[0]["reason"], told[1]["local"]) == (True, "no way there", True)
    text = shell.text("hub watch --timeout 1s --after", cursor).out
    assert "only this machine's events" in text
    assert "(here only)" in text
    store.outage = None
    shell.advance(60)
    assert shell("hub status").code == 0, "it joins"
    assert shell("hub watch --timeout 0s --after", told[1]["cursor"]).documents == [], "told already"
    assert [one["event"]["number"] for one in shell("hub watch --timeout 0s --after first").documents] == [1, 2]


def test_records_stand_in_the_events_with_their_results(shell: Shell) -> None:
    shell("hub record task ada T-1 complete --result", '{"files": ["a.py"]}')
    shell("hub record proposal ada P-1 rejected")
    shell("hub record lesson ada --result", '{"never": "again"}')
    shell("hub record usage ada --use input_tokens=5 --use output_tokens=2")
    told = [one["event"] for one in shell("hub watch --after first --timeout 0s").documents]
    assert [one["type"] for one in told if one["type"].endswith("recorded")] == ["task_recorded", "proposal_recorded"]
    assert next(one for one in told if one["type"] == "task_recorded")["result"] == {"files": ["a.py"]}
    assert shell("hub get ada").document["context"]["last_proposal"] == {"outcome": "rejected", "proposal": "P-1"}


def test_lessons_and_usage_are_shown(shell: Shell) -> None:
    assert "nothing" in shell.text("hub lessons").out
    assert "no usage" in shell.text("hub usage").out
    for number in range(3):
        shell("hub record lesson ada --result", f'{{"n": {number}, "text": "\\u001b[31m"}}')
    shell("hub record usage ada --use tokens=1200 --use calls=2")
    shell("hub record usage ada --use tokens=34")
    lessons = shell("hub lessons --last 2").document["lessons"]
    assert [(one["sequence"], one["agent"], one["lesson"]["n"]) for one in lessons] == [(2, "ada", 1), (3, "ada", 2)]
    shown = shell.text("hub lessons").out
    assert (len(shown.splitlines()), "\x1b" in shown, '{"n":2,' in shown) == (3, False, True)
    usage = {"agent": "ada", "count": 2, "amounts": {"calls": 2, "tokens": 1234}}
    assert shell("hub usage").document["usage"] == [usage]
    assert "calls 2, tokens 1,234" in shell.text("hub usage").out


def test_a_time_to_live_can_be_taken_away(shell: Shell) -> None:
    shell("hub update ada --ttl 5s")
    assert "ttl_s" not in shell("hub update ada --ttl 0").document


def test_watching_shows_people_who_did_what(shell: Shell) -> None:
    shell("hub update ada --status", "at work", "--set", "a=1")
    shell("hub record task ada T-1 complete --result", '{"files": 3}')
    first, *_, last = shell.text("hub watch --after first --count 3").out.splitlines()
    assert '  context_updated  ada  number=1 status="at work" ' in first
    assert '  task_recorded  ada  result={"files":3} status=complete task=T-1' in last


def test_watching_goes_on_from_a_cursor(shell: Shell) -> None:
    for number in range(3):
        shell("hub update ada --set", f"n={number}")
    first = shell("hub watch --after first --count 1").documents[0]
    rest = shell("hub watch --timeout 0s --after", first["cursor"]).documents
    assert [one["event"]["number"] for one in rest] == [2, 3]
    assert shell("hub watch --count 1 --timeout 0s").code == EXIT_RETRY
    gap = shell("hub watch --timeout 0s --after", "0123:77").documents[0]
    assert [one["agent"] for one in gap["snapshot"]["contexts"]] == ["ada"]


def test_a_deleted_agent_is_gone(shell: Shell) -> None:
    shell("hub update ada --set a=1")
    assert shell("hub delete ada").code == 0
    assert shell("hub delete ada").code == EXIT_NOT_FOUND
    assert shell("hub get ada").code == EXIT_NOT_FOUND


def test_without_the_shared_store_it_says_so_and_goes_on(tmp_path: Path) -> None:
    store = MemoryStore()
    shell = Shell(tmp_path, store=store, host=store.host)
    store.outage = StoreUnavailable("no way there", hint="look at the network")
    answer = shell.text("hub update ada --set a=1")
    assert answer.code == 0
    assert "kept here until it is back" in answer.err
    for line in ("hub status", "hub get ada", "hub get bob", "hub delete bob"):
        assert "this is what this machine knows" in shell.text(line).err, line
    for line in ("hub update ada --set b=2", "hub get ada", "hub get bob", "hub record task ada T-1 complete"):
        assert shell(line).document["degraded"] is True, line
    sick = shell("hub health")
    assert (sick.code, sick.document["ok"]) == (EXIT_RETRY, False)
    assert "look at the network" in shell.text("hub health").err
    store.outage = None
    assert [one["agent"] for one in shell("hub status").document["contexts"]] == ["ada"], "it joins by itself"
    assert shell("hub get ada").document["degraded"] is False


def test_every_answer_fulfils_its_schema(shell: Shell) -> None:
    shell("hub record lesson ada --result {}")
    told = {
        "hub-context": ["hub update ada --set a=1 --ttl 10s", "hub get ada"],
        "hub-contexts": ["hub status"],
        "hub-health": ["hub health"],
        "hub-recorded": ["hub record task ada T-1 complete", "hub record usage ada --use tokens=5"],
        "hub-lessons": ["hub lessons"],
        "hub-usage": ["hub usage"],
        "hub-event": ["hub watch --after first --count 1"],
        "hub-gap": ["hub watch --after other:99 --timeout 0s"],
    }
    for name, lines in told.items():
        for line in lines:
            MODELS[name].model_validate_json(shell(line).out.splitlines()[0])


def test_usage_may_have_any_name(shell: Shell) -> None:
    assert shell("hub record usage ada --use agent=1 --use self=2 --use name=3").code == 0


def test_a_context_is_shown_line_by_line_whatever_separators_are_in_it(shell: Shell) -> None:
    shell("hub update ada --patch", '{"text": "a\\u2028b\\u0085c"}')
    assert '    "text": "a\\u2028b\\x85c"' in shell.text("hub get ada").out.splitlines()


def test_every_answer_is_one_json_object_a_line(shell: Shell) -> None:
    shell("hub update ada --set", "text=line\nbreak \u202e")
    for line in ("hub status", "hub get ada", "hub health"):
        assert json.loads(shell(line).out)["schema"] == 1
    assert "\u202e" not in shell.text("hub status").out
