"""The fake as a program: prints its base URL, then answers until SIGTERM, SIGINT or the end of its input."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

from sharedstate.clock import Instant
from sharedstate.testing.clock import FakeMachine
from sharedstate.testing.github.fake import STATUSES, FakeGitHub
from sharedstate.testing.github.limits import GITHUB_LIMITS


class RunningMachine(FakeMachine):
    """A machine whose wall clock runs with the real one, ahead of it by what `advance` has added."""

    def __init__(self) -> None:
        super().__init__(wall_ms=0)

    def now(self) -> Instant:
        """The real wall time, plus the lead."""
        lead = super().now()
        return lead.replace(at_ms=lead.at_ms + time.time_ns() // 1_000_000)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(prog="python -m sharedstate.testing.github", description=__doc__)
    made.add_argument(
        "--port", type=int, default=0, help="port on the loopback interface; 0 (default) takes a free one"
    )
    made.add_argument("--repo", action="append", metavar="OWNER/NAME", help="a repository (default acme/app)")
    made.add_argument("--private", action="append", default=[], metavar="OWNER/NAME", help="a private repository")
    made.add_argument("--user", action="append", metavar="LOGIN:RIGHT", help="a user; the token is token-LOGIN")
    made.add_argument("--project", action="append", default=[], metavar="OWNER/NUMBER", help="a project (v2)")
    made.add_argument("--status", action="append", metavar="NAME", help="a status of the projects, in order")
    made.add_argument("--issues", type=int, default=0, metavar="N", help="open so many issues at the start")
    made.add_argument("--clock", choices=("running", "manual"), default="running", help="whose time it shows")
    made.add_argument("--hold-s", type=float, default=5.0, metavar="S", help="how long a time-out holds (default 5)")
    made.add_argument("--secondary-limits", action="store_true", help="keep GitHub's secondary limits too")
    made.add_argument("--until-eof", action="store_true", help="end when the standard input ends")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop; exit code 0."""
    line = parser()
    given = line.parse_args(arguments)
    try:
        fake = _made(given)
        fake.start()
    except (LookupError, ValueError, OverflowError, OSError) as error:
        line.error(str(error))
    stopped = threading.Event()
    for caught in (signal.SIGTERM, signal.SIGINT):
        signal.signal(caught, lambda *_: stopped.set())
    try:
        sys.stdout.write(fake.url + "\n")
        sys.stdout.flush()
        if given.until_eof:
            threading.Thread(target=_watch_input, args=(stopped,), daemon=True).start()
        stopped.wait()
    finally:
        fake.stop()
    return 0


def _made(given: argparse.Namespace) -> FakeGitHub:
    fake = FakeGitHub(
        repos=(*(given.repo or ("acme/app",)), *given.private),
        users=dict(_pair(text) for text in given.user or ("bot:push",)),
        private=given.private,
        projects=given.project,
        statuses=given.status or STATUSES,
        clock=RunningMachine() if given.clock == "running" else None,
        limits=GITHUB_LIMITS if given.secondary_limits else None,
        port=given.port,
        hold_s=given.hold_s,
    )
    for number in range(given.issues):
        fake.open_issue(f"Task {number + 1}")
    return fake


def _pair(text: str) -> tuple[str, str]:
    login, colon, right = text.partition(":")
    if not login:
        raise ValueError(f"a user is named LOGIN:RIGHT, not {text!r}")
    return login, right if colon else "push"


def _watch_input(stopped: threading.Event) -> None:
    # Not through `sys.stdin`: a thread that waits in its buffer would make the interpreter abort at its end.
    while os.read(0, 4096):
        pass
    stopped.set()


if __name__ == "__main__":
    raise SystemExit(main())
