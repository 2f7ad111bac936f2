"""Real gateway processes for tests, and a small client that shows what they answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sharedstate.messages.wire import new_message_id

TOKEN = "a-token-for-tests-only"
WAIT_S = 30.0
MADE_AT = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")  # the same in all letters of a run: it is content


class Reply:
    """Status, headers and JSON object of one answer."""

    def __init__(self, status: int, headers: Mapping[str, str], raw: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.size = len(raw)
        self.json: dict[str, Any] = json.loads(raw) if raw else {}

    @property
    def code(self) -> str:
        """The code of an error."""
        return str(self.json["error"]["code"])


class RealGateway:
    """`claims serve` as a process of its own over the state root `root`."""

    def __init__(self, root: Path, *options: str, port: int = 0, env: Mapping[str, str] | None = None) -> None:
        self.root = root
        argv = [sys.executable, "-m", "sharedstate_cli", "serve", "--json", "--dir", str(root), "--port", str(port)]
        variables = {**os.environ, "SHARED_STATE_HTTP_TOKEN": TOKEN, "SHARED_STATE_DURABILITY": "relaxed"}
        self.process = subprocess.Popen(
            [*argv, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**variables, **(env or {})},
            cwd=root.parent,
        )
        assert self.process.stdout is not None
        told = self.process.stdout.readline()
        self.told: dict[str, Any] = json.loads(told) if told else {}
        self.url: str = self.told.get("url", "")
        self.port = int(self.url.rpartition(":")[2]) if self.url else 0

    def ask(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str | None
    ) -> Reply:
        """One request; `headers` by name with `_` for `-`, None removes a usual one."""
        usual: dict[str, str | None] = {"Authorization": f"Bearer {TOKEN}"}
        content = raw
        if body is not None:
            content = json.dumps(body).encode()
        if content is not None:
            usual["Content-Type"] = "application/json"
        usual.update({name.replace("_", "-"): value for name, value in headers.items()})
        connection = HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            sent = {name: value for name, value in usual.items() if value is not None}
            connection.request(method, path, content, sent)
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def send(self, envelope: Mapping[str, Any], **headers: str | None) -> Reply:
        """Deliver an envelope."""
        return self.ask("POST", "/v1/messages", envelope, raw=None, **headers)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end, and its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(WAIT_S)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return code


def letter(number: int, *, to: str = "desk/bob", body: str = "hello", sender: str = "desk/ada") -> dict[str, Any]:
    """An envelope document with an id made of its number."""
    return {
        "message_id": new_message_id(at_ms=1_790_000_000_000 + number, entropy=number.to_bytes(10, "big")),
        "from": sender,
        "to": [to],
        "body": body,
        "sequence": number,
        "created_at": MADE_AT,
    }


def place(agent: str, rest: str) -> str:
    """The path of an agent's resource."""
    return f"/v1/agents/{quote(agent, safe='')}/{rest}"


@contextmanager
def saying(status: int, body: bytes) -> Generator[str]:
    """A server that answers every request alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - reason: its name in the library
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
