"""What `claims doctor` says about a git store: git itself, the remote, this machine's own side."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sharedstate.errors import Corrupt, StoreUnavailable
from sharedstate.findings import Finding, fine, trouble, warning
from sharedstate.host import Host
from sharedstate_adapters.git.home import Home

if TYPE_CHECKING:
    from sharedstate_adapters.git.chain import Chain
    from sharedstate_adapters.git.remote import Remote

SLOW_MS = 3_000
LOOSE_MAX = 10_000


def examine(home: Home, chain: Chain, remote: Remote, *, host: Host, deadline_s: float) -> list[Finding]:
    """The findings. Nothing is pushed."""
    where = remote.shown
    try:
        home.prepare(deadline_s=deadline_s)
        began_s = host.monotonic_s()
        state = chain.fresh(deadline_s=deadline_s)
    except StoreUnavailable as error:
        return [trouble("git_unreachable", where, str(error), error.hint)]
    except Corrupt as error:
        return [trouble("git_not_ours", where, str(error), error.hint, corrupt=True)]
    took_ms = int((host.monotonic_s() - began_s) * 1000)
    found = [_reached(where, took_ms, serial=state.head.serial, depth=state.head.depth)]
    memo = home.memo.load()
    if memo.waiting:
        age_s = (host.now().boot_ms - memo.waiting[0].boot_ms) // 1000
        found.append(fine("git_waiting", where, f"{len(memo.waiting)} changes are on their way, for {age_s} s"))
    found.extend(_durability(remote.url, home, deadline_s))
    loose = sum(len(names) for _, _, names in os.walk(os.path.join(home.git.directory, "objects")))
    if loose > LOOSE_MAX:
        found.append(
            warning(
                "git_unpacked", home.folder, f"{loose} object files lie there unpacked", "run `claims sweep` regularly"
            )
        )
    return found


def _reached(where: str, took_ms: int, *, serial: int, depth: int) -> Finding:
    what = f"answers in {took_ms} ms; {serial} transitions, {depth} of them in the history"
    if took_ms <= SLOW_MS:
        return fine("git_reached", where, what)
    return warning("git_slow", where, what, "each operation asks the remote: a nearer one, or another store, is faster")


def _durability(url: str, home: Home, deadline_s: float) -> list[Finding]:
    """Whether a remote that lies on this machine brings its refs to stable storage."""
    if not os.path.isdir(url):
        return []
    answer = home.git.call(
        "config", "--file", os.path.join(url, "config"), "--get-all", "core.fsync", deadline_s=deadline_s
    )
    said = answer.out.decode("utf-8", "replace")
    if any(word in said for word in ("all", "reference")):
        return [fine("git_durable", url, "brings objects and refs to stable storage")]
    next_step = "in that repository: git config core.fsync all"
    return [warning("git_not_durable", url, "does not sync its refs: a power cut may undo the last pushes", next_step)]
