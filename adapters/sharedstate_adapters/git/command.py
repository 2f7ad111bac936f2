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
            out, error = child.communicate(given, timeout=left_s)
        except subprocess.TimeoutExpired:
            stop(child)
            return Answer(status=None, out=b"", error="")
        except BaseException:
            stop(child)
            raise
        return Answer(status=child.returncode, out=out, error=error.decode("utf-8", "replace"))

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
