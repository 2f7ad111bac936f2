"""Which state comments count, and why the others do not. Pure.

Two questions are asked of each comment. Is it *authentic*: by a trusted author, for this issue and task, unedited, and
signed where keys are configured? Then it holds the place of the state comment, so that every machine means the same
one. And is what it says *current*: not older than what was seen before, and no heartbeat from the future? Only then is
its record used. A comment may inform; nothing in here frees, steals or raises a claim.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sharedstate.errors import BadSettings, Corrupt
from sharedstate.ids import fingerprint
from sharedstate.sync.model import RemoteRecord
from sharedstate.values import Value
from sharedstate_adapters.github.comment import (
    Parsed,
    SigningKey,
    looks_like_ours,
    parse,
    same_text,
    signature_of,
    task_in,
)
from sharedstate_adapters.github.keys import Place

ASSOCIATIONS: Final = frozenset(("OWNER", "MEMBER", "COLLABORATOR"))
# Why a comment does not count; stable words for reports.
AUTHOR: Final = "author_not_trusted"
ASSOCIATION: Final = "association_too_weak"
UNREADABLE: Final = "unreadable"
OTHER_TASK: Final = "other_task"
DIGEST: Final = "digest_wrong"
UNSIGNED: Final = "signature_missing"
UNKNOWN_KEY: Final = "signature_key_unknown"
SIGNATURE: Final = "signature_wrong"
FENCE: Final = "fence_lower"
REVISION: Final = "revision_lower"
FUTURE: Final = "heartbeat_in_future"
NOT_FIRST: Final = "not_the_first"
REASONS: Final = (
    *(AUTHOR, ASSOCIATION, UNREADABLE, OTHER_TASK, DIGEST, UNSIGNED, UNKNOWN_KEY, SIGNATURE),
    *(FENCE, REVISION, FUTURE, NOT_FIRST),
)


class Comment(Value):
    """A comment as GitHub shows it. `kind` is the type of the account: `User`, `Bot` …"""

    id: int
    author_id: int
    author: str
    kind: str
    association: str
    body: str
    updated_ms: int = 0
    url: str = ""


class Rules(Value):
    """Who is trusted: our own account (0: unknown), others by numeric id; the keys, the first of which signs; the skew.

    With no keys a signature is neither asked for nor looked at.
    """

    own_id: int = 0
    authors: frozenset[int] = frozenset()
    keys: tuple[SigningKey, ...] = ()
    skew_ms: int = 5_000

    @property
    def signing(self) -> SigningKey | None:
        """The key that signs what we write."""
        return self.keys[0] if self.keys else None


class Seen(Value):
    """The highest fence, and the highest revision at it, that this machine has seen for a task."""

    fence: int = 0
    revision: int = 0


class Verdict(Value):
    """`reason` None: the record counts. `authentic`: the comment may hold the place, its record counting or not."""

    comment: Comment
    authentic: bool = False
    reason: str | None = None
    record: RemoteRecord | None = None


class Chosen(Value):
    """THE comment of an issue, if there is one, its record if that counts, comments to remove, and all verdicts.

    `authentic` is the record as it stands in THE comment, also when it is too old to count.
    """

    comment: Comment | None = None
    record: RemoteRecord | None = None
    authentic: RemoteRecord | None = None
    rest: tuple[Comment, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


def judge(comment: Comment, *, place: Place, task: str, rules: Rules, seen: Seen, now_ms: int) -> Verdict:
    """Whether one comment counts as the state comment of an issue."""
    refused = author_refused(comment, rules)
    if refused is not None:
        return Verdict(comment=comment, reason=refused)
    try:
        parsed = parse(comment.body)
    except Corrupt:
        return Verdict(comment=comment, reason=UNREADABLE)
    record = parsed.record
    refused = OTHER_TASK if record.task != task else _forged(parsed, place=place, keys=rules.keys)
    if refused is not None:
        return Verdict(comment=comment, reason=refused)
    return Verdict(comment=comment, authentic=True, reason=_outdated(record, rules, seen, now_ms), record=record)


def choose(comments: Iterable[Comment], *, place: Place, task: str, rules: Rules, seen: Seen, now_ms: int) -> Chosen:
    """The state comment of an issue: the lowest id among the authentic ones.

    Where none is authentic, the lowest one that we wrote ourselves and somebody has broken since: it is written anew
    in place. What else is authentic, or ours and broken, is to be removed; what others have broken is left alone.
    """
    ours = sorted((one for one in comments if looks_like_ours(one.body)), key=lambda comment: comment.id)
    verdicts = [judge(one, place=place, task=task, rules=rules, seen=seen, now_ms=now_ms) for one in ours]
    authentic = [verdict for verdict in verdicts if verdict.authentic]
    broken = [verdict for verdict in verdicts if not verdict.authentic and _is_own_broken(verdict, task, rules)]
    first = next(iter((*authentic, *broken)), None)
    if first is None:
        return Chosen(verdicts=tuple(verdicts))
    rest = tuple(verdict.comment for verdict in verdicts if verdict is not first and verdict in (*authentic, *broken))
    late = {comment.id for comment in rest}
    return Chosen(
        comment=first.comment,
        record=first.record if first.reason is None else None,
        authentic=first.record,
        rest=rest,
        verdicts=tuple(
            verdict.replace(reason=NOT_FIRST) if verdict.reason is None and verdict.comment.id in late else verdict
            for verdict in verdicts
        ),
    )


def raised(seen: Seen, record: RemoteRecord | None) -> Seen:
    """What has been seen, after a record that counts."""
    if record is None or record.fence < seen.fence:
        return seen
    revision = max(record.revision, seen.revision if record.fence == seen.fence else 0)
    return Seen(fence=record.fence, revision=revision)


def read_keys(current: str, old: Iterable[str]) -> tuple[SigningKey, ...]:
    """The configured keys, the signing one first. `id:secret`, or a secret alone, which gets an id of its own.

    Old keys without a current one are refused (`BadSettings`): nothing could be signed.
    """
    known = tuple(_read_key(text.strip()) for text in (current, *old) if text.strip())
    if known and not current.strip():
        raise BadSettings("SHARED_STATE_SIGNING_KEYS_OLD is set, but SHARED_STATE_SIGNING_KEY is not")
    if len({key.key_id for key in known}) != len(known):
        raise BadSettings("SHARED_STATE_SIGNING_KEY and SHARED_STATE_SIGNING_KEYS_OLD name one key id twice")
    return known


def read_authors(texts: Iterable[str]) -> frozenset[int]:
    """The configured numeric ids, or `BadSettings`: a login can change hands, an id cannot."""
    wrong = next((text for text in texts if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**63)), None)
    if wrong is not None:
        raise BadSettings(
            f"SHARED_STATE_TRUSTED_AUTHORS: expected numeric ids of accounts, not {wrong[:60]!r}",
            hint="the id of an account is shown by https://api.github.com/users/LOGIN",
        )
    return frozenset(int(text) for text in texts)


def _read_key(text: str) -> SigningKey:
    key_id, colon, secret = text.partition(":")
    if not colon:
        return SigningKey(key_id=fingerprint(text.encode(), size=4, person=b"sharedstate-key"), secret=text)
    if not key_id or not secret or len(key_id) > 64 or not all(c.isalnum() or c in "-_." for c in key_id):
        raise BadSettings("SHARED_STATE_SIGNING_KEY: expected id:secret, the id of at most 64 letters, digits, - _ .")
    return SigningKey(key_id=key_id, secret=secret)


def author_refused(comment: Comment, rules: Rules) -> str | None:
    """Why the author of a comment is not trusted; None when what they write may count."""
    if comment.author_id <= 0:
        return AUTHOR
    if comment.author_id == rules.own_id:
        return None  # what we wrote is ours, whatever GitHub calls us: else each write would begin another comment
    if comment.author_id not in rules.authors:
        return AUTHOR
    if comment.kind != "Bot" and comment.association not in ASSOCIATIONS:  # GitHub gives Apps no association
        return ASSOCIATION
    return None


def _forged(parsed: Parsed, *, place: Place, keys: tuple[SigningKey, ...]) -> str | None:
    if not parsed.intact:
        return DIGEST
    if not keys:
        return None
    if parsed.signature is None:
        return UNSIGNED
    key = next((key for key in keys if key.key_id == parsed.key_id), None)
    if key is None:
        return UNKNOWN_KEY
    right = signature_of(parsed.record, place=place, digest=parsed.digest, key=key)
    return None if same_text(parsed.signature, right) else SIGNATURE


def _outdated(record: RemoteRecord, rules: Rules, seen: Seen, now_ms: int) -> str | None:
    if record.fence < seen.fence:
        return FENCE
    # A fence that has grown proves news: its writer may never have seen a comment that somebody has deleted since.
    if record.fence == seen.fence and record.revision < seen.revision:
        return REVISION
    moments = (moment for moment in (record.heartbeat_ms, record.since_ms) if moment is not None)
    return FUTURE if max(moments, default=0) > now_ms + rules.skew_ms else None


def _is_own_broken(verdict: Verdict, task: str, rules: Rules) -> bool:
    comment = verdict.comment
    return rules.own_id > 0 and comment.author_id == rules.own_id and task_in(comment.body) == task
