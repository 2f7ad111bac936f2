"""One call of git: fixed words, no shell, no prompt, no hook, a deadline after which its whole process group is killed.

What the environment and a repository say to git is not trusted further than it must be: variables that point git
elsewhere are dropped, the system's configuration is not read, transports that run programs are refused. What a person
configured for herself (credential helpers, ssh, proxies, `insteadOf`) stays: without it no remote could be reached.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO, Final

from sharedstate.errors import StoreUnavailable
from sharedstate.host import Host
from sharedstate.masking import masked
from sharedstate.values import Value

STDERR_CHARACTERS_MAX: Final = 400
_LOOK_S: Final = 0.2
_REST_S: Final = 0.02
PROTOCOLS: Final = "file:git:http:https:ssh"
# Of the variables that begin with GIT_ these say how to reach a remote; all others could point git somewhere else.
_KEPT: Final = frozenset(
    (
        "GIT_CONFIG_GLOBAL", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH",
        "GIT_SSL_CERT", "GIT_SSL_KEY", "GIT_SSL_NO_VERIFY", "GIT_PROXY_SSL_CAINFO", "GIT_EXEC_PATH",
    )
)  # fmt: skip
_SETTINGS: Final = (
    *("core.hooksPath=/dev/null", "core.fsmonitor=false", "gc.auto=0", "maintenance.auto=false", "core.askPass="),
    *("push.followTags=false", "push.gpgSign=false", "push.recurseSubmodules=no", "fetch.recurseSubmodules=no"),
    *("fetch.writeCommitGraph=false", "fetch.prune=false", "fetch.pruneTags=false", "submodule.recurse=false"),
    *("log.showSignature=false", "color.ui=false", "advice.pushUpdateRejected=false", "pack.threads=1"),
)


class Answer(Value):
    """What one call of git gave: its exit status (None: killed at the deadline), standard output and error."""

    status: int | None
    out: bytes
    error: str

    @property
    def said(self) -> str:
        """The last words on standard error, in one line, secrets masked."""
        if self.status is None:
            return "no answer in time"
        lines = [line.strip() for line in self.error.splitlines() if line.strip()]
        text = "; ".join(lines[-3:]) or f"git ended with {self.status}"
        return masked(text, characters_max=STDERR_CHARACTERS_MAX)


def environment(given: Mapping[str, str], *, ssh: str = "") -> dict[str, str]:
    """The environment of every call. `ssh` is the command that the person configured for ssh, empty for the usual."""
    kept = {name: value for name, value in given.items() if not name.startswith("GIT_") or name in _KEPT}
    kept |= {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS_REQUIRE": "never",
        "GIT_ALLOW_PROTOCOL": PROTOCOLS,
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_DEFAULT_REF_FORMAT": "files",  # refs of our own repository are read and written here as files
        "LC_ALL": "C",
        "LANGUAGE": "",
    }
    if "GIT_SSH" not in kept:
        kept["GIT_SSH_COMMAND"] = f"{kept.get('GIT_SSH_COMMAND') or ssh or 'ssh'} -o BatchMode=yes"
    return kept


class Git:
    """git upon one repository of ours. Every call has a deadline; `StoreUnavailable` when git cannot be started."""

    def __init__(self, directory: str, *, host: Host, env: Mapping[str, str]) -> None:
        self.directory = directory
        self._host = host
        self.env = dict(env)

    def call(self, *words: str, deadline_s: float, given: bytes = b"") -> Answer:
        """Run git with these words until `deadline_s` of the host's monotonic clock; then its group is killed."""
        child = self._started(words)
        left_s = max(0.05, deadline_s - self._host.monotonic_s())
        try:
            told = self._told(child, given, self._host.monotonic_s() + left_s)
        except BaseException:
            stop(child)
            raise
        if told is None:
            stop(child)
            return Answer(status=None, out=b"", error="")
        return Answer(status=child.returncode, out=told[0], error=told[1].decode("utf-8", "replace"))

    def _told(self, child: subprocess.Popen[bytes], given: bytes, end_s: float) -> tuple[bytes, bytes] | None:
        """What it wrote until it ended; None when it has not ended by `end_s`.

        The end of the pipes does not count: a program that it left behind (ssh, for the next connection) may hold them.
        """
        unsent, ended = given or None, False
        while True:
            left_s = end_s - self._host.monotonic_s()
            try:
                return child.communicate(unsent, timeout=_REST_S if ended else max(0.0, min(_LOOK_S, left_s)))
            except subprocess.TimeoutExpired as so_far:
                if ended:
                    for pipe in (child.stdout, child.stderr):
                        _closed(pipe)
                    return so_far.output or b"", so_far.stderr or b""
                unsent, ended = None, child.poll() is not None
                if not ended and left_s <= 0:
                    return None

    def kept(self, *words: str) -> subprocess.Popen[bytes]:
        """A git that goes on answering; whoever starts it ends it with `stop`."""
        return self._started(words, error=subprocess.DEVNULL)

    def _started(self, words: Sequence[str], *, error: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        try:
            return subprocess.Popen(
                ["git", f"--git-dir={self.directory}", *settings, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=error,
                env=self.env,
                start_new_session=True,  # one group for git, ssh and helpers: all of it ends at the deadline
            )
        except OSError as error_:
            raise StoreUnavailable(f"git cannot be started: {error_.strerror}") from error_


def stop(child: subprocess.Popen[bytes]) -> None:
    """End a git and whatever it started."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        child.kill()
    for pipe in (child.stdin, child.stdout, child.stderr):
        _closed(pipe)
    child.wait()


def _closed(pipe: IO[bytes] | None) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except OSError:  # unsent bytes to a process that is gone
        pass
