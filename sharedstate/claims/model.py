"""This machine's holding of a task: the local ledger's record, the only place where a token is written down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sharedstate.clock import Instant
from sharedstate.errors import Corrupt
from sharedstate.store import Document, Unreadable
from sharedstate.tasks.outcomes import Claimed, Refused, Swept
from sharedstate.values import Value

TTL_MS_MIN: Final = 10
TTL_MS_MAX: Final = 30 * 86_400_000
TOKEN_CHARACTERS_MAX: Final = 200
META_ENTRIES_MAX: Final = 50
META_CHARACTERS_MAX: Final = 1000


class LocalClaim(Value, hidden=("token",)):
    """What the owner's machine knows of its claim, last `seen` alive.

    Derived from the task state, and repaired from it by the next claim.
    """

    task: str
    owner: str
    token: str
    fence: int
    ttl_ms: int
    seen: Instant
    degraded: bool = False
    scope: tuple[str, ...] = ()


class Recipe(Value, hidden=("arguments",)):
    """How another process opens the same claims: `opener` (`module:function`) called with `arguments` gives a `Claims`.

    The arguments are JSON and go through a pipe, never a command line: the URL of a store may hold a password.
    """

    opener: str
    arguments: Mapping[str, Any]


class NothingEligible(Value):
    """None of the candidates could be claimed: how many were looked at, and why each was refused."""

    considered: int
    refused: tuple[Refused, ...]


class SweepReport(Value):
    """What one sweep did. `dry_run`: what it would have done. Unreadable records are named, never touched."""

    swept: tuple[Swept, ...]
    archived: tuple[str, ...]
    reconciled: tuple[str, ...]
    conflicts: tuple[str, ...]
    unreadable: tuple[Unreadable, ...]
    examined: int
    dry_run: bool = False


class ClaimMany(Value):
    """Result of a claim over several tasks: those that are yours now, and those refused."""

    claimed: tuple[Claimed, ...]
    refused: tuple[Refused, ...]


def dump_local(claim: LocalClaim) -> Document:
    """The document of a local claim, token included: it stays in the machine-local ledger."""
    document: Document = {
        "owner": claim.owner,
        "token": claim.token,
        "fence": claim.fence,
        "ttl_ms": claim.ttl_ms,
        "degraded": claim.degraded,
        "seen": claim.seen.fields(),
    }
    if claim.scope:
        document["scope"] = list(claim.scope)
    return document


def load_local(task: str, document: Document) -> LocalClaim:
    """The local claim in a document, or `Corrupt`."""
    owner, token, fence = document.get("owner"), document.get("token"), document.get("fence")
    if not isinstance(owner, str) or not isinstance(token, str) or not isinstance(fence, int):
        raise Corrupt(f"local claim of task {task!r}: owner, token or fence is missing")
    ttl_ms, scope = document.get("ttl_ms"), document.get("scope", [])
    return LocalClaim(
        task=task,
        owner=owner,
        token=token,
        fence=fence,
        ttl_ms=ttl_ms if isinstance(ttl_ms, int) else TTL_MS_MIN,
        seen=_moment(document.get("seen")),
        degraded=document.get("degraded") is True,
        scope=tuple(path for path in scope if isinstance(path, str)) if isinstance(scope, list) else (),
    )


def _moment(seen: object) -> Instant:
    """The moment in a document; one that cannot be read is as old as can be."""
    names = {"at_ms": int, "boot_ms": int, "boot_id": str}
    if isinstance(seen, dict) and {name: type(value) for name, value in seen.items()} == names:
        return Instant(**seen)
    return Instant(at_ms=0, boot_ms=0, boot_id="")
