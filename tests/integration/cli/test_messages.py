"""Messages by the installed command: the tour of the README, several stores behind real gateways, many at once."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.real import COMMAND, claims, environment
from tests.integration.http.gateways import TOKEN, RealGateway
from tests.style.source import ROOT

BOB, ADA = "desk/bob", "desk/ada"
COOLED_S_MAX = 30.0  # a gateway that failed three times is left alone for ten seconds


def answer(root: Path, *words: str, code: int = 0, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The JSON object of a command that ends with `code`."""
    done = claims(root, *words, "--json", **(env or {}))
    assert done.returncode == code, done
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_the_tour_of_the_readme_does_what_it_shows(tmp_path: Path) -> None:
    section = (ROOT / "README.md").read_text("utf-8").partition("\n## Messages\n")[2].partition("\n## ")[0]
    [tour] = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    output = ""
    for line in tour.splitlines():
        if line.startswith("$ claims "):
            done = claims(tmp_path / "state", *shlex.split(line.removeprefix("$ claims ")))
            assert done.returncode in (0, 9)
            output = done.stdout
        else:
            assert line in output.splitlines()


def test_a_program_can_go_on_from_each_outcome(tmp_path: Path) -> None:
    script = """
        claims send --to desk/bob --body one >/dev/null; echo $?
        claims send --to desk/bob --no-deliver --body two >/dev/null; echo $?
        claims send --to '*' --to desk/bob --body three 2>/dev/null; echo $?
        printf 'four\\nlines' | claims send --to desk/bob --body - >/dev/null; echo $?
    """
    command = Path(COMMAND[0]).parent
    env = environment(tmp_path / "state", PATH=f"{command}:/usr/bin:/bin")
    done = subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["0", "9", "2", "0"]
    # The fourth took the second with it, and did not overtake it.
    bodies = [one["message"]["body"] for one in answer(tmp_path / "state", "inbox", BOB)["letters"]]
    assert bodies == ["one", "two", "four\nlines"]


def test_many_senders_flushers_and_readers_at_once_lose_nothing(tmp_path: Path) -> None:
    root = tmp_path / "state"

    def send(number: int) -> str:
        how = ["--no-deliver"] if number % 2 else []
        done = claims(root, "send", "--from", f"a{number % 3}", "--to", BOB, *how, "--body", str(number), "--json")
        assert done.returncode in (0, 9)
        return str(json.loads(done.stdout)["id"])

    def flush(_: int) -> int:
        return claims(root, "outbox", "flush", "--count", "5").returncode

    with ThreadPoolExecutor(4) as pool:
        ids = pool.map(send, range(24))
        codes = pool.map(flush, range(6))
        sent = set(ids)
        assert set(codes) <= {0, 9}
    answer(root, "outbox", "flush")
    letters = answer(root, "inbox", BOB)["letters"]
    assert sorted(one["id"] for one in letters) == sorted(sent)
    assert [one["sequence"] for one in letters] == list(range(1, 25))
    by_sender = {name: [int(one["message"]["body"]) for one in letters if one["from"] == name] for name in ("a0", "a1")}
    assert all(len(numbers) == 8 for numbers in by_sender.values())


# Behind gateways


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RealGateway]:
    root = tmp_path / "hub" / "state"
    root.parent.mkdir()
    running = RealGateway(root, "--allow-write")
    yield running
    running.end()


def remote(*urls: str) -> dict[str, str]:
    return {"SHARED_STATE_ENDPOINTS": ",".join(urls), "SHARED_STATE_HTTP_TOKEN": TOKEN}


def test_two_machines_talk_through_a_gateway(tmp_path: Path, gateway: RealGateway) -> None:
    here, there, env = tmp_path / "here", tmp_path / "there", remote(gateway.url)
    sent = answer(here, "send", "--from", ADA, "--to", BOB, "--body", "hello", env=env)
    assert sent["outcome"] == "delivered"
    assert sent["via"].startswith("http://127.0.0.1")
    looked = answer(there, "unread", BOB, env=env)
    assert (looked["count"], looked["up_to"], looked["letters"][0]["summary"]) == (1, 1, "hello")
    told = claims(there, "unread", BOB, **env).stdout
    assert f"claims ack {BOB} --up-to 1" in told
    assert answer(there, "inbox", BOB, env=env)["letters"][0]["message"]["body"] == "hello"
    assert answer(there, "thread", sent["id"], env=env)["messages"][0]["message_id"] == sent["id"]
    assert claims(there, "unread", BOB, "--hook", **env).stdout.startswith("unread: 1 letter from desk/ada")
    assert answer(there, "ack", BOB, "--up-to", "1", env=env)["up_to"] == 1
    assert answer(there, "unread", BOB, env=env)["count"] == 0
    assert answer(there, "inbox", BOB, "--all", env=env)["letters"][0]["unread"] is False
    assert "own store only" in claims(there, "overdue", **env).stderr


def test_while_the_gateway_is_away_messages_wait_and_nothing_is_known(tmp_path: Path, gateway: RealGateway) -> None:
    here, env = tmp_path / "here", remote(gateway.url)
    gateway.end()
    queued = answer(here, "send", "--from", ADA, "--to", BOB, "--body", "later", "--timeout", "1s", code=9, env=env)
    assert queued["outcome"] == "queued"
    unknown = answer(here, "unread", BOB, code=75, env=env)
    assert (unknown["reason"], unknown["count"]) == ("unknown", None)
    assert answer(here, "inbox", BOB, code=75, env=env)["reason"] == "unknown"
    assert "unknown" in claims(here, "inbox", BOB, **env).stderr
    again = RealGateway(gateway.root, "--allow-write", port=gateway.port)
    try:
        answer(here, "outbox", "retry", "--all", env=env)
        deadline_s = time.monotonic() + COOLED_S_MAX
        while claims(here, "outbox", "flush", **env).returncode == 9 and time.monotonic() < deadline_s:
            time.sleep(0.3)
            claims(here, "outbox", "retry", "--all", **env)
        [letter] = answer(here, "inbox", BOB, env=env)["letters"]
        assert letter["message"]["body"] == "later"
        assert letter["id"] == queued["id"]
    finally:
        again.end()


def test_letters_of_several_stores_are_one_inbox_by_id(tmp_path: Path, gateway: RealGateway) -> None:
    (tmp_path / "other").mkdir()
    other = RealGateway(tmp_path / "other" / "state", "--allow-write")
    here = tmp_path / "here"
    both = remote(gateway.url, other.url)
    try:
        one = answer(here, "send", "--to", BOB, "--body", "one", env=remote(gateway.url))["id"]
        two = answer(here, "send", "--to", BOB, "--body", "two", env=remote(other.url))["id"]
        mine = answer(here, "send", "--to", BOB, "--body", "mine", "--endpoint", "store:", env=both)["id"]
        looked = answer(here, "unread", BOB, env=both)
        assert (looked["count"], looked["up_to"]) == (3, 0)
        assert [letter["id"] for letter in looked["letters"]] == [one, two, mine]
        told = claims(here, "unread", BOB, **both).stdout
        assert f"claims ack {BOB} --id {one} --id {two} --id {mine}" in told
        assert claims(here, "ack", BOB, "--up-to", "1", **both).returncode == 2
        answer(here, "ack", BOB, "--id", one, "--id", mine, env=both)
        assert [letter["id"] for letter in answer(here, "inbox", BOB, env=both)["letters"]] == [two]
        assert len(answer(here, "inbox", BOB, "--all", env=both)["letters"]) == 3
        other.end()
        unknown = answer(here, "unread", BOB, code=75, env=both)
        assert (unknown["known"], unknown["count"]) == (0, None)
    finally:
        other.end()


def test_a_wrong_token_is_unknown_and_names_no_token(tmp_path: Path, gateway: RealGateway) -> None:
    env = {**remote(gateway.url), "SHARED_STATE_HTTP_TOKEN": "wrong-token-of-mine"}
    done = claims(tmp_path / "here", "unread", BOB, **env)
    assert done.returncode == 75
    assert "unknown" in done.stderr
    assert "wrong-token" not in done.stderr + done.stdout
