"""Messages to a program: exit codes, deadlines, what it gets to read."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from sharedstate.errors import BadSettings
from sharedstate.host import Host
from sharedstate.messages.model import Deferred, Delivered, Rejected
from sharedstate.messages.wire import document_of, envelope_of
from sharedstate.settings import resolve
from sharedstate_adapters.command.transport import CommandTransport
from tests.integration.http.gateways import letter

ENVELOPE = envelope_of(letter(1, body="two\nlines, \u202e and 'quotes' $(id)"))


def python(code: str, *arguments: str) -> CommandTransport:
    return CommandTransport([sys.executable, "-c", code, *arguments])


def test_the_program_reads_the_whole_envelope(tmp_path: Path) -> None:
    code = "import sys, pathlib; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())"
    answer = python(code, str(tmp_path / "got")).deliver(ENVELOPE, timeout_s=10)
    assert isinstance(answer, Delivered)
    assert json.loads((tmp_path / "got").read_text()) == document_of(ENVELOPE)


@pytest.mark.parametrize(
    "code, kind", [(0, Delivered), (75, Deferred), (69, Deferred), (1, Rejected), (2, Rejected), (65, Rejected)]
)
def test_the_exit_code_decides(code: int, kind: type) -> None:
    answer = python(f"import sys; sys.stderr.write('because'); sys.exit({code})").deliver(ENVELOPE, timeout_s=10)
    assert isinstance(answer, kind)
    if not isinstance(answer, Delivered):
        assert answer.reason == f"exit code {code}: because"


def test_a_program_that_does_not_read_may_still_take_the_message() -> None:
    big = ENVELOPE.replace(body="x" * 60_000)
    assert isinstance(python("pass").deliver(big, timeout_s=10), Delivered)


def test_a_program_that_dies_or_is_not_there_is_tried_again() -> None:
    assert isinstance(python("import os; os.kill(os.getpid(), 9)").deliver(ENVELOPE, timeout_s=10), Deferred)
    answer = CommandTransport(["/no/such/program", "--password=x"]).deliver(ENVELOPE, timeout_s=10)
    assert answer == Deferred(via="command:program", reason="it cannot be run: No such file or directory")


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "open(sys.argv[1], 'w').write(str(child.pid)); time.sleep(60)"
    )
    began = time.monotonic()
    answer = python(code, str(tmp_path / "pid")).deliver(ENVELOPE, timeout_s=2)
    assert isinstance(answer, Deferred)
    assert time.monotonic() - began < 6
    child = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while _lives(child):
        assert time.monotonic() < deadline, "the program's child outlived it"
        time.sleep(0.05)


def _lives(pid: int) -> bool:
    host = Host()
    process = host.process(pid)
    return process is not None and not host.is_dead(process)


@pytest.mark.parametrize("url", ["command:", "command: ", "command:'unclosed"])
def test_an_endpoint_that_names_no_program_is_refused(url: str) -> None:
    with pytest.raises(BadSettings):
        CommandTransport.from_url(url, settings=resolve({}, env={}, folder="/"), host=Host())
