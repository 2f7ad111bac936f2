"""The state comment: what a reviewer reads, and what machines read out of it.

Layout, first line to last: a hidden marker with schema and task key; a short summary; the record as JSON in a collapsed block; a
hidden trailer with revision, digest and, where a key is configured, an HMAC over repository, issue, task, fence and revision.
Text from outside goes in only after `plain`: it cannot close the marker or the block, mention people, or trigger keywords.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Final

from sharedstate.clock import iso_of_ms
from sharedstate.errors import Corrupt
from sharedstate.jsonio import decode
from sharedstate.sync.model import RemoteRecord, dump_record, load_record
from sharedstate.tasks.model import CLAIMED, NEW
from sharedstate.values import Value

SCHEMA: Final = 1
MARKER: Final = "<!-- sharedstate-state"
TRAILER: Final = "<!-- sharedstate-seal"
CHARACTERS_MAX: Final = 60_000
ERROR_CHARACTERS_MAX: Final = 300
_FENCE: Final = "````"
_ZERO_WIDTH: Final = "\u200b"


class Place(Value):
    """Which issue a comment belongs to: `acme/app` and the number. Part of the seal, so that no comment can be replayed elsewhere."""

    repository: str
    number: int


class SigningKey(Value, hidden=("secret",)):
    """An HMAC key and its id; rotation keeps old ones for reading only."""

    key_id: str
    secret: str


class Parsed(Value):
    """What a comment claims: the record, its revision, whether digest and signature hold. Trust is decided elsewhere."""

    record: RemoteRecord
    digest_ok: bool
    signature: str | None
    key_id: str | None
    sealed: str


def plain(text: str, *, characters_max: int = ERROR_CHARACTERS_MAX) -> str:
    """Foreign text made harmless in Markdown: one line, no markup, no mention, no reference, no keyword, cut to size."""
    one_line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    cut = one_line if len(one_line) <= characters_max else one_line[: characters_max - 1] + "…"
    escaped = "".join("\\" + c if c in "\\`*_{}[]()<>#+-.!|~:/&" else c for c in cut)
    return escaped.replace("@", "@" + _ZERO_WIDTH).replace("\\#", "\\#" + _ZERO_WIDTH)


def render(record: RemoteRecord, *, place: Place, url: str = "", key: SigningKey | None = None) -> str:
    """The whole comment body for a record; its revision is part of it. At most 60,000 characters."""
    document = dump_record(record)
    if record.last_error is not None:
        document["last_error"] = record.last_error[:2000]
    payload = json.dumps(document, sort_keys=True, indent=2, ensure_ascii=True).replace("<", "\\u003c")
    payload = payload.replace(">", "\\u003e").replace("`", "\\u0060").replace("@", "\\u0040")
    digest = digest_of(payload)
    seal = {"digest": digest, "revision": record.revision}
    if key is not None:
        seal |= {"hmac": signature_of(record, place=place, digest=digest, key=key), "key": key.key_id}
    lines = [
        f"{MARKER} schema={SCHEMA} task={_hidden(record.task)} -->",
        *_summary(record, url=url),
        "",
        "<details><summary>state</summary>",
        "",
        _FENCE + "json",
        payload,
        _FENCE,
        "",
        "</details>",
        f"{TRAILER} {json.dumps(seal, sort_keys=True)} -->",
    ]
    body = "\n".join(lines)
    if len(body) > CHARACTERS_MAX:
        raise ValueError(f"a state comment of {len(body)} characters; at most {CHARACTERS_MAX}")
    return body


def parse(body: str) -> Parsed | None:
    """What a state comment says, None when it is none of ours. Raises `Corrupt` when it says so but cannot be read.

    The marker must be the very first characters: a quoted or embedded record is not a state comment.
    """
    if not body.startswith(MARKER + " "):
        return None
    lines = body.replace("\r\n", "\n").split("\n")
    head = lines[0]
    if not head.endswith("-->") or head.count("-->") != 1:
        raise Corrupt("state comment: the marker is not closed")
    fields = dict(word.partition("=")[::2] for word in head[len(MARKER) : -len("-->")].split())
    if fields.get("schema") != str(SCHEMA):
        raise Corrupt(f"state comment: schema {fields.get('schema')!r} is not {SCHEMA}")
    payload = _payload(lines)
    record = load_record(decode(payload.encode(), what="state comment"))
    if _hidden(record.task) != fields.get("task"):
        raise Corrupt("state comment: marker and record name different tasks")
    seal = _seal(lines)
    digest = digest_of(payload)
    return Parsed(
        record=record,
        digest_ok=hmac.compare_digest(str(seal.get("digest", "")), digest) and seal.get("revision") == record.revision,
        signature=seal.get("hmac") if isinstance(seal.get("hmac"), str) else None,
        key_id=seal.get("key") if isinstance(seal.get("key"), str) else None,
        sealed=digest,
    )


def signature_of(record: RemoteRecord, *, place: Place, digest: str, key: SigningKey) -> str:
    """HMAC-SHA-256 over repository, issue, task, fence, revision and the digest of the record, in hex."""
    parts = (place.repository.lower(), str(place.number), record.task, str(record.fence), str(record.revision), digest)
    message = "\0".join(("sharedstate-state-1", *parts)).encode()
    return hmac.new(key.secret.encode(), message, hashlib.sha256).hexdigest()


def digest_of(payload: str) -> str:
    """SHA-256 of the JSON text as it stands in the comment, in hex."""
    return hashlib.sha256(payload.encode()).hexdigest()


def _summary(record: RemoteRecord, *, url: str) -> list[str]:
    owner = "nobody" if record.owner is None else plain(record.owner, characters_max=200)
    held = record.status == CLAIMED
    state = {NEW: "not started"}.get(record.status, record.status)
    lines = [f"**{'Claimed by ' + owner if held else state.capitalize()}**" + (" · ignored" if record.ignored else "")]
    if record.since_ms is not None:
        who = "" if held or record.owner is None else f" · last owner {owner}"
        lines.append(f"Since {_moment(record.since_ms)}{who}")
    if held and record.heartbeat_ms is not None:
        lines.append(f"Last seen {_moment(record.heartbeat_ms)}")
    lines.append(f"Attempt {record.attempts}, retries {record.retries}/{record.retries_max}, fence {record.fence}")
    if record.last_error:
        lines.append(f"Last error: {plain(record.last_error)}")
    if url:
        lines.append(f"[Details]({url})")
    return [line + "  " for line in lines[:6]]


def _moment(at_ms: int) -> str:
    return iso_of_ms(at_ms)[:16].replace("T", " ") + " UTC"


def _hidden(task: str) -> str:
    """A task id as one word that cannot close a comment: percent-encoded."""
    from urllib.parse import quote

    return quote(task, safe="").replace("-", "%2D")


def _payload(lines: list[str]) -> str:
    opening = [index for index, line in enumerate(lines) if line == _FENCE + "json"]
    closing = [index for index, line in enumerate(lines) if line == _FENCE]
    if len(opening) != 1 or len(closing) != 1 or closing[0] < opening[0]:
        raise Corrupt("state comment: not exactly one block of JSON")
    return "\n".join(lines[opening[0] + 1 : closing[0]])


def _seal(lines: list[str]) -> dict[str, object]:
    last = next((line for line in reversed(lines) if line.strip()), "")
    if not last.startswith(TRAILER + " ") or not last.endswith(" -->"):
        raise Corrupt("state comment: the seal is missing")
    return decode(last[len(TRAILER) : -len("-->")].strip().encode(), what="state comment seal")
