"""Tasks to issues and back, older tools' comments, credentials, base URLs, settings of the board."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sharedstate.errors import BadSettings
from sharedstate.settings import SYNC_POLICIES, Settings, resolve
from sharedstate.sync.model import POLICIES
from sharedstate.testing.clock import FakeHost
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.github.credentials import Credential, find_credential
from sharedstate_adapters.github.edge import check_base_url
from sharedstate_adapters.github.keys import Handle, Keys, Place
from sharedstate_adapters.github.legacy import LegacyState, is_legacy, read_legacy
from sharedstate_adapters.github.opening import github_board
from sharedstate_adapters.github.projects import option_for
from sharedstate_cli.verbs.config import SECRET

CAMEL = """"ownerId": "ws/a", "attemptToken": "secret", "attemptStarted": "2026-02-14T17:00:00Z",
  "heartbeat": "2026-02-14T17:30:00Z", "status": "working", "retryCount": 1"""
SNAKE = """"owner_id": "ws/a", "attempt_token": "secret", "attempt_started": "2026-02-14T17:00:00Z",
  "heartbeat": "2026-02-14T17:30:00Z", "status": "working", "retry_count": 1"""
HOME = Place(repository="acme/app", number=42)


def settings(**given: Any) -> Settings:
    return resolve(given, env={}, folder="/")


# Keys


@pytest.mark.parametrize("pattern,task", [("GH-{number}", "GH-42"), ("{number}", "42"), ("app#{number}!", "app#42!")])
def test_a_task_at_home_goes_by_the_pattern(pattern: str, task: str) -> None:
    keys = Keys(home="acme/app", pattern=pattern)
    assert keys.task_of(HOME) == task
    assert keys.task_of(Place(repository="ACME/App", number=42)) == task
    assert keys.place_of(task) == HOME


def test_a_task_of_another_repository_names_it() -> None:
    keys = Keys(home="acme/app")
    there = Place(repository="acme/lib.py", number=7)
    assert keys.task_of(there) == "acme/lib.py#7"
    assert keys.place_of("acme/lib.py#7") == there


@pytest.mark.parametrize(
    "task", ["GH-0", "GH-042", "GH-", "gh-42", "GH-42 ", "42", "acme#7", "a/b/c#7", "GH-99999999999"]
)
def test_other_tasks_live_on_no_issue(task: str) -> None:
    assert Keys(home="acme/app").place_of(task) is None


@pytest.mark.parametrize("pattern", ["GH-", "{number}{number}", "GH-{no}", "x" * 101 + "{number}"])
def test_a_pattern_without_exactly_one_number_is_refused(pattern: str) -> None:
    with pytest.raises(BadSettings):
        Keys(home="acme/app", pattern=pattern)


@pytest.mark.parametrize("name", ["app", "acme/", "/app", "a/b/c", "acme/app ", "acme/..", "acme/a?b", "https://x/y"])
def test_a_repository_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(BadSettings):
        Keys(home=name)


def test_a_handle_reads_back_and_a_foreign_one_is_begun_anew() -> None:
    keys = Keys(home="acme/app")
    handle = Handle(place=HOME, comment_id=3_100_000_001, card_id=7)
    assert keys.handle_of("GH-42", handle.text()) == handle
    for text in ("", "junk", "acme/app#41 c3 p7", "acme/app#42 c-3 p7"):
        assert keys.handle_of("GH-42", text) == Handle(place=HOME)
    assert keys.handle_of("nothing", handle.text()) is None


# Older tools


@pytest.mark.parametrize("tool", ["codex-monitor-state", "bosun-state"])
@pytest.mark.parametrize("fields", [CAMEL, SNAKE], ids=["camel", "snake"])
def test_comments_of_older_tools_are_readable_in_both_spellings_without_their_token(tool: str, fields: str) -> None:
    state = read_legacy(f"<!-- {tool}\n{{{fields}}}\n-->\n**Status**: working")
    assert state == LegacyState(
        tool=tool,
        owner="ws/a",
        status="working",
        started_ms=1_771_088_400_000,
        heartbeat_ms=1_771_090_200_000,
        retries=1,
    )
    assert "secret" not in repr(state)


@pytest.mark.parametrize(
    "body",
    ["hello", "<!-- codex-monitor-state", "<!-- codex-monitor-state\n{not json}\n-->", "> <!-- bosun-state {} -->"],
)
def test_what_cannot_be_read_as_an_older_tools_comment_is_none(body: str) -> None:
    assert read_legacy(body) is None


def test_odd_fields_of_older_tools_are_unknown_not_errors() -> None:
    body = '<!-- bosun-state\n{"owner": 7, "heartbeat": "yesterday", "retryCount": true, "status": ""}\n-->'
    assert read_legacy(body) == LegacyState(tool="bosun-state")
    assert is_legacy(body)


# Credentials


def test_a_token_comes_from_the_file_before_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    env = {"GITHUB_TOKEN": "from-actions", "GH_TOKEN": "from-gh"}
    assert find_credential(settings(), env=env).token == "from-actions"
    assert find_credential(settings(), env={"GH_TOKEN": "from-gh"}).token == "from-gh"
    assert find_credential(settings(github_token_file=str(file)), env=env).token == "from-file"


def test_an_app_needs_all_three_of_its_settings(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text("-----BEGIN-----")
    whole = {"github_app_id": "7", "github_installation_id": 9, "github_private_key_file": str(key)}
    credential = find_credential(settings(**whole), env={})
    assert (credential.app_id, credential.installation_id, credential.is_app) == ("7", 9, True)
    for name in whole:
        with pytest.raises(BadSettings):
            find_credential(settings(**{**whole, name: 0 if name == "github_installation_id" else ""}), env={})


@pytest.mark.parametrize("token", ["two words", "ünïcode", "line\nbreak", "x" * 2000])
def test_what_is_no_token_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(BadSettings) as caught:
        find_credential(settings(), env={"GITHUB_TOKEN": token})
    assert token not in str(caught.value)


def test_no_credential_is_an_error_that_says_where_to_put_one(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="no credential"):
        find_credential(settings(), env={"GITHUB_TOKEN": " "})
    with pytest.raises(BadSettings, match="cannot read"):
        find_credential(settings(github_token_file=str(tmp_path / "none")), env={})


def test_secrets_are_in_no_repr_and_can_be_masked() -> None:
    credential = Credential(token="ghp_secret", private_key="PEM")
    assert "ghp_secret" not in repr(credential)
    assert "ghp_secret" not in credential.key
    assert credential.without_secrets("bad ghp_secret PEM") == "bad … …"
    assert credential.key != Credential(token="other").key


@pytest.mark.parametrize("url", ["https://api.github.com", "https://ghe.acme.example/api/v3/", "http://127.0.0.1:8080"])
def test_base_urls_are_https_or_on_this_machine(url: str) -> None:
    assert check_base_url(url) == url.rstrip("/")


@pytest.mark.parametrize("url", ["http://ghe.acme.example", "ftp://x", "", "https://user:pw@x", "https://x?y", "x"])
def test_a_base_url_that_would_show_the_token_is_refused(url: str) -> None:
    with pytest.raises(BadSettings):
        check_base_url(url)


# Settings


def test_the_policies_of_the_settings_are_those_of_the_engine() -> None:
    assert SYNC_POLICIES == POLICIES


def test_secret_settings_are_in_no_repr_and_in_no_error() -> None:
    resolved = settings(signing_key="k1:hush", signing_keys_old=("k0:quiet",))
    assert "hush" not in repr(resolved)
    assert "quiet" not in repr(resolved)
    with pytest.raises(BadSettings) as caught:
        resolve({"signing_key": "hush\0"}, env={}, folder="/")
    assert "hush" not in str(caught.value)
    assert SECRET not in ("", "hush")


def test_a_board_needs_a_repository_and_sends_nothing_when_it_is_made() -> None:
    store, env = MemoryStore(), {"GITHUB_TOKEN": "t"}
    with pytest.raises(BadSettings, match="SHARED_STATE_REPOSITORY"):
        github_board(settings(), store, FakeHost(), env=env)
    board = github_board(settings(repository="acme/app, acme/lib"), store, FakeHost(), env=env)
    assert (board.name, board.repositories, board.edge.requests) == ("acme/app", ("acme/app", "acme/lib"), 0)
    for wrong in ({"project": "acme"}, {"trusted_authors": "octocat"}, {"task_pattern": "x"}, {"signing_key": ":"}):
        with pytest.raises(BadSettings):
            github_board(settings(repository="acme/app", **wrong), store, FakeHost(), env=env)


def test_a_status_finds_the_option_of_the_same_text_before_one_of_the_same_meaning() -> None:
    options = {"Doing": "1", "In Progress": "2", "Shipped": "3"}
    assert option_for("inprogress", options) == "In Progress"
    assert option_for("done", options) == "Shipped"
    assert option_for("blocked", options) is None
