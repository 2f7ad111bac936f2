"""Messages to a program: exit codes, deadlines, what it gets to read."""

from __future__ import annotations

import json
import os
import resource
import signal
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


def test_a_program_may_complain_without_end_and_only_its_last_words_are_kept() -> None:
    code = "import os, sys; [os.write(2, b'x' * 65536) for _ in range(3200)]; os.write(2, b'at last'); sys.exit(75)"
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer = python(code).deliver(ENVELOPE, timeout_s=30)
    assert isinstance(answer, Deferred)
    assert answer.reason.endswith("at last")
    assert len(answer.reason) < 500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 50_000


def test_the_exit_code_counts_although_something_goes_on_in_the_background(tmp_path: Path) -> None:
    """A program that leaves a server of its own behind has its standard error open for as long as that lives."""
    code = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)']);"
        "open(sys.argv[1], 'w').write(str(child.pid)); sys.stderr.write('started')"
    )
    began = time.monotonic()
    try:
        assert isinstance(python(code, str(tmp_path / "pid")).deliver(ENVELOPE, timeout_s=8), Delivered)
        assert time.monotonic() - began < 6
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_a_program_that_never_reads_a_large_message_is_ended_in_time() -> None:
    big = ENVELOPE.replace(body="\u00e9" * 32_000, more={"note": "x" * 8_000})
    began = time.monotonic()
    assert isinstance(python("import time; time.sleep(60)").deliver(big, timeout_s=1), Deferred)
    assert time.monotonic() - began < 5


def _lives(pid: int) -> bool:
    host = Host()
    process = host.process(pid)
    return process is not None and not host.is_dead(process)


@pytest.mark.parametrize("url", ["command:", "command: ", "command:'unclosed"])
def test_an_endpoint_that_names_no_program_is_refused(url: str) -> None:
    with pytest.raises(BadSettings):
        CommandTransport.from_url(url, settings=resolve({}, env={}, folder="/"), host=Host())
