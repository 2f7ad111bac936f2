"""The edge over real sockets: deadlines, Apps, unknown identities, no secret in any log, no retries of others."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sharedstate.host import Host
from sharedstate.settings import resolve
from sharedstate.sync.board import Failed, Written
from sharedstate.testing.github import APP_ID, INSTALLATION_ID
from sharedstate.testing.memory import MemoryStore
from sharedstate_adapters.github.answers import NotModified, Ok
from sharedstate_adapters.github.board import GitHubBoard
from sharedstate_adapters.github.comment import render
from sharedstate_adapters.github.credentials import Credential
from sharedstate_adapters.github.keys import Place
from sharedstate_adapters.github.opening import github_board, github_edge
from tests.integration.github.boards import Scene, described, item_of, listed, written
from tests.integration.github.description import description


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    made = Scene(sockets=True, hold_s=3.0)
    made.fake.open_issue("Build the thing")
    with described(monkeypatch), made.fake:
        yield made


@pytest.fixture(scope="module")
def private_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("app") / "key.pem"
    path.write_bytes(pem)
    return path


def as_app(scene: Scene, private_key: Path) -> GitHubBoard:
    return scene.board(
        github_app_id=str(APP_ID),
        github_installation_id=INSTALLATION_ID,
        github_private_key_file=str(private_key),
        trusted_authors="",
    )


# Deadlines


def test_a_far_side_that_says_nothing_is_given_up_by_the_deadline(scene: Scene) -> None:
    board = scene.board(github_deadline_ms=1_000)
    scene.fake.faults.plan("timeout", method="GET", times=9)
    started = time.monotonic()
    answer = board.edge.call("GET", "/user")
    assert time.monotonic() - started < 2.5
    assert isinstance(answer, Failed)
    assert (answer.kind, answer.applied) == ("transient", False)


def test_a_far_side_that_speaks_a_byte_at_a_time_is_given_up_by_the_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stop = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not stop.wait(0.05):
                    try:
                        connection.sendall(b"X-Slow: 1\r\n"[:1])
                    except OSError:
                        return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        settings = {"repository": "acme/app", "github_deadline_ms": 1_000}
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        board = github_board(
            resolve({**settings, "github_api_url": url}, env={}, folder="/"),
            MemoryStore(),
            Host(),
            env={"GITHUB_TOKEN": "t"},
        )
        started = time.monotonic()
        answer = board.edge.call("PATCH", "/slow", body={})
        took_s = time.monotonic() - started
        stop.set()
        thread.join(2)
    assert took_s < 2.5
    assert isinstance(answer, Failed)
    assert answer.applied


def test_what_never_reached_github_was_not_carried_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    board = github_board(
        resolve({"repository": "acme/app", "github_api_url": f"http://127.0.0.1:{port}"}, env={}, folder="/"),
        MemoryStore(),
        Host(),
        env={"GITHUB_TOKEN": "t"},
    )
    answer = board.edge.call("POST", "/repos/acme/app/issues/1/comments", body={"body": "x"})
    assert isinstance(answer, Failed)
    assert (answer.kind, answer.applied) == ("transient", False)


@pytest.mark.parametrize("fault", ["bad-gateway-applied", "timeout-applied", "reset-applied", "truncated", "trickled"])
def test_over_sockets_too_a_lost_answer_leaves_exactly_one_comment(scene: Scene, fault: str) -> None:
    board = scene.board(github_deadline_ms=2_000)
    scene.fake.faults.plan(fault, method="POST", path="*/comments")
    written(board, item_of(board), scene.record())
    assert len(scene.fake.comments(1)) == 1
    assert sum(entry.method == "POST" for entry in scene.fake.requests) == 1


# What PyGithub must not do


def test_redirects_are_answers_and_nothing_follows_them() -> None:
    scene = Scene(sockets=True)  # asked for things that GitHub does not describe
    scene.fake.open_issue("Build the thing")
    scene.fake.rename_repo("acme/app", "acme/new")
    with scene.fake:
        edge = scene.board().edge
        for method in ("GET", "PATCH", "POST", "DELETE"):
            answer = edge.call(method, "/repos/acme/app/issues/1", query={"per_page": 1}, body={"title": "x"})
            assert isinstance(answer, Failed)
            assert answer.kind in ("moved", "gone")
    assert scene.fake.issue(1)["title"] == "Build the thing"
    assert {entry.path for entry in scene.fake.requests} == {"/repos/acme/app/issues/1"}


def test_an_entity_tag_turns_an_unchanged_answer_into_not_modified(scene: Scene) -> None:
    edge = scene.board().edge
    first = edge.call("GET", "/repos/acme/app/issues/1")
    assert isinstance(first, Ok)
    assert edge.call("GET", "/repos/acme/app/issues/1", etag=first.headers["etag"]) == NotModified()


def test_a_read_that_fails_in_passing_is_tried_once_more_and_no_more(scene: Scene) -> None:
    edge = scene.board().edge
    scene.fake.faults.plan("unavailable", times=9)
    started = time.monotonic()
    assert isinstance(edge.call("GET", "/user"), Failed)
    assert time.monotonic() - started < 1
    assert len(scene.fake.requests) == 2


def test_enterprise_has_its_api_under_a_path(scene: Scene) -> None:
    board = scene.board(github_api_url=f"{scene.fake.url}/api/v3")
    for number in range(2, 151):
        scene.fake.open_issue(f"Issue {number}")
    assert len(listed(board).items) == 150
    written(board, item_of(board), scene.record())


# Who we are


def test_an_app_signs_in_writes_and_finds_its_own_comment_again(scene: Scene, private_key: Path) -> None:
    board = as_app(scene, private_key)
    item = written(board, item_of(board), scene.record())
    assert scene.fake.comments(1)[0]["user"]["login"] == "fleet[bot]"
    other = as_app(scene, private_key)
    assert item_of(other).record == item.record
    posts = [entry for entry in scene.fake.requests if entry.path.endswith("/access_tokens")]
    assert len(posts) == 2
    scene.host.advance(3_500)
    written(board, item_of(board), scene.record(fence=2))
    assert len(scene.fake.comments(1)) == 1


def test_an_app_whose_token_was_taken_away_signs_in_again(scene: Scene, private_key: Path) -> None:
    board = as_app(scene, private_key)
    item = written(board, item_of(board), scene.record())
    for token in [token for token in scene.fake.world.state.identities if token.startswith("ghs_")]:
        del scene.fake.world.state.identities[token]
    assert written(board, item, scene.record(fence=2)).record == scene.record(fence=2, revision=2)
    scene.fake.faults.plan("unavailable", method="POST", path="*/access_tokens", times=9)
    for token in [token for token in scene.fake.world.state.identities if token.startswith("ghs_")]:
        del scene.fake.world.state.identities[token]
    assert isinstance(board.edge.call("GET", "/repos/acme/app"), Failed)


class SlowDoor(BaseHTTPRequestHandler):
    """Signs an App in after 0.7 s, and answers nothing else."""

    def do_POST(self) -> None:
        time.sleep(0.7)
        body = b'{"token": "ghs_slow"}'
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        time.sleep(3)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - reason: the base class names it so
        """Nothing."""


def test_a_call_that_has_to_sign_in_first_still_ends_by_the_deadline(private_key: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), SlowDoor) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = {
            "github_api_url": f"http://127.0.0.1:{server.server_port}",
            "github_app_id": "1",
            "github_installation_id": 2,
            "github_private_key_file": str(private_key),
            "github_deadline_ms": 1_000,
        }
        edge = github_edge(resolve(settings, env={}, folder="/"), MemoryStore(), Host(), env={})
        started = time.monotonic()
        answer = edge.call("GET", "/repos/acme/app")
        took_s = time.monotonic() - started
        server.shutdown()
    assert isinstance(answer, Failed)
    assert took_s < 1.5


def test_an_app_with_a_key_that_is_none_is_forbidden_and_the_key_not_shown(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("no key but secret")
    answer = as_app(scene, path).list(cursor=None)
    assert isinstance(answer, Failed)
    assert answer.kind == "forbidden"
    assert "no key but secret" not in answer.detail


def test_who_cannot_be_told_who_they_are_learn_it_from_their_first_comment(scene: Scene, private_key: Path) -> None:
    app = as_app(scene, private_key)
    assert isinstance(app.edge.call("GET", "/repos/acme/app"), Ok)
    token = next(token for token in scene.fake.world.state.identities if token.startswith("ghs_"))
    local = MemoryStore(scene.host)
    board = scene.board(local=local, token=token, trusted_authors="")  # as in Actions: no right to ask /user
    item = written(board, item_of(board), scene.record())
    written(board, item, scene.record(fence=2))
    again = scene.board(local=local, token=token, trusted_authors="")
    assert item_of(again).record == scene.record(fence=2, revision=2)
    stranger = scene.board(token=token, trusted_authors="")
    answer = stranger.write(item_of(stranger), scene.record(fence=3))
    assert not isinstance(answer, Written)
    assert len(scene.fake.comments(1)) == 1


# Routes

ROUTES = {
    "GET /app",
    "POST /app/installations/{installation_id}/access_tokens",
    "GET /user",
    "GET /users/{username}",
    "GET /repos/{owner}/{repo}/issues",
    "GET /repos/{owner}/{repo}/issues/{issue_number}",
    "GET /repos/{owner}/{repo}/issues/comments",
    "GET /repos/{owner}/{repo}/issues/{issue_number}/comments",
    "POST /repos/{owner}/{repo}/issues/{issue_number}/comments",
    "GET /repos/{owner}/{repo}/issues/comments/{comment_id}",
    "PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}",
    "DELETE /repos/{owner}/{repo}/issues/comments/{comment_id}",
    "POST /repos/{owner}/{repo}/labels",
    "POST /repos/{owner}/{repo}/issues/{issue_number}/labels",
    "DELETE /repos/{owner}/{repo}/issues/{issue_number}/labels/{name}",
    "POST /repos/{owner}/{repo}/issues/{issue_number}/assignees",
    "DELETE /repos/{owner}/{repo}/issues/{issue_number}/assignees",
    "GET /orgs/{org}/projectsV2/{project_number}/fields",
    "GET /orgs/{org}/projectsV2/{project_number}/items",
    "GET /orgs/{org}/projectsV2/{project_number}/items/{item_id}",
    "PATCH /orgs/{org}/projectsV2/{project_number}/items/{item_id}",
}


def test_every_route_of_the_board_is_asked_for_and_judged_by_githubs_description(
    monkeypatch: pytest.MonkeyPatch, private_key: Path
) -> None:
    scene = Scene(sockets=True, projects=("acme/1",))
    scene.fake.open_issue("Build the thing")
    scene.fake.move_card(1, "Todo")
    with described(monkeypatch), scene.fake:
        written(as_app(scene, private_key), item_of(as_app(scene, private_key)), scene.record())
        board = scene.board(project="acme/1", assign=True, trusted_authors="")
        scene.fake.comment(1, render(scene.record(), place=Place(repository="acme/app", number=1)), user="bot")
        late = render(scene.record(), place=Place(repository="acme/app", number=1))
        scene.fake.comment(1, late, user="bot")
        item = listed(board).items[0]
        item = written(board, item, scene.record(fence=2))
        for labels in (frozenset(("claimed",)), frozenset[str]()):
            answer = board.label(item, labels)
            assert isinstance(answer, Written)
            item = answer.item
        assert isinstance(board.move(item_of(board), "done"), Written)
    asked = {f"{entry.method} {description().template(entry.method, entry.path)}" for entry in scene.fake.requests}
    assert asked == ROUTES


# Secrets


def test_no_token_stands_in_any_log_line(scene: Scene, private_key: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    app, board = as_app(scene, private_key), scene.board()
    written(app, item_of(app), scene.record())
    item_of(board)
    scene.fake.faults.plan("reset", times=2)
    assert isinstance(board.list(cursor=None), Failed)
    tokens = [token for token in scene.fake.world.state.identities if token.startswith(("ghs_", "token-bot"))]
    assert len(tokens) == 2
    assert caplog.text
    assert not [token for token in tokens if token in caplog.text]
    assert "Bearer ey" not in caplog.text


def test_details_of_a_failure_mask_the_token() -> None:
    credential = Credential(token="token-bot")
    assert "token-bot" not in credential.without_secrets("https://x?token=token-bot")
