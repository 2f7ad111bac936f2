"""The state comment: what a reviewer reads, and what machines read out of it.

Layout, first line to last: a hidden marker with schema and task key; a short summary; the record as JSON in a
collapsed block; a hidden trailer with revision, digest and, where a key is configured, an HMAC over repository, issue,
task, fence and revision. The digest covers all that stands above the trailer: the summary that people read, too. Text
from outside stands only inside code spans and JSON, and only after `quoted` or escaping: it cannot close the marker or
the block, mention people, or trigger keywords.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from typing import Any, Final
from urllib.parse import quote, unquote

from sharedstate.clock import iso_of_ms
from sharedstate.errors import Corrupt
from sharedstate.jsonio import decode
from sharedstate.sync.model import RemoteRecord, dump_record, load_record
from sharedstate.tasks.model import CLAIMED, NEW
from sharedstate.values import Value
from sharedstate_adapters.github.keys import Place

SCHEMA: Final = 1
MARKER: Final = "<!-- sharedstate-state"
TRAILER: Final = "<!-- sharedstate-seal"
CHARACTERS_MAX: Final = 60_000
OWNER_CHARACTERS_MAX: Final = 200
ERROR_CHARACTERS_MAX: Final = 300
_FENCE: Final = "````"
_HEAD: Final = re.compile(r"<!-- sharedstate-state schema=([0-9]{1,9}) task=([^\s<>]{1,2400}) -->")
_TRAILER: Final = re.compile(r"<!-- sharedstate-seal (\{[^<>]{1,1000}\}) -->")
_ZERO_WIDTH: Final = "\u200b"
_ACTIVE: Final = re.compile(r"([@#]|(?i:gh)-|://|(?i:www)\.)")
# Escapes that JSON reads back: none of these characters stands in the block as itself.
_UNSAFE: Final = {ord(c): f"\\u{ord(c):04x}" for c in "<>`@&#"}


class SigningKey(Value, hidden=("secret",)):
    """An HMAC key and its id; rotation keeps old ones for reading only."""

    key_id: str
    secret: str


class Parsed(Value):
    """What a comment claims: the record, whether digest and revision hold, its signature. Trust is decided elsewhere.

    `digest` is that of all text above the trailer as it stands there, which the signature covers.
    """

    record: RemoteRecord
    intact: bool
    digest: str
    signature: str | None = None
    key_id: str | None = None


def quoted(text: str, *, characters_max: int = ERROR_CHARACTERS_MAX) -> str:
    """Foreign text as a code span: one line, cut to size; shown as it is, but nothing in it acts.

    GitHub looks for mentions, references and links outside code only; a zero-width space after what begins one holds
    even where the span is lost, as in an e-mail notification.
    """
    one_line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    cut = one_line if len(one_line) <= characters_max else one_line[: characters_max - 1] + "…"
    tame = cut.replace("`", "'").replace("<", "‹").replace(">", "›")
    return "`" + (_ACTIVE.sub(lambda found: found[0] + _ZERO_WIDTH, tame) or "…") + "`"


def render(record: RemoteRecord, *, place: Place, url: str = "", key: SigningKey | None = None) -> str:
    """The whole comment body for a record; its revision is part of it. At most 60,000 characters.

    The last error is cut shorter when the rest would not fit otherwise.
    """
    fitting = record
    body = _body(fitting, place=place, url=url, key=key)
    while len(body) > CHARACTERS_MAX:
        error = fitting.last_error or ""
        if not error:
            raise ValueError(f"a state comment of {len(body)} characters; at most {CHARACTERS_MAX}")
        fitting = fitting.replace(last_error=error[: len(error) // 2] or None)
        body = _body(fitting, place=place, url=url, key=key)
    return body


def task_in(body: str) -> str | None:
    """The task that the marker of a state comment names; None when the comment does not begin with a whole marker.

    The marker must be the very first characters: a quoted or embedded record is not a state comment.
    """
    found = _HEAD.fullmatch(body[:3000].partition("\n")[0].rstrip("\r"))
    return None if found is None else unquote(found[2])


def looks_like_ours(body: str) -> bool:
    """Whether a comment begins as a state comment does, well formed or not."""
    return body.startswith(MARKER)


def parse(body: str) -> Parsed:
    """What a state comment says. Raises `Corrupt` when it is none, or none that can be read."""
    if len(body) > CHARACTERS_MAX:
        raise Corrupt(f"state comment: {len(body)} characters; at most {CHARACTERS_MAX}")
    lines = body.replace("\r\n", "\n").split("\n")
    head = _HEAD.fullmatch(lines[0])
    if head is None:
        raise Corrupt("state comment: the marker is not whole")
    if head[1] != str(SCHEMA):
        raise Corrupt(f"state comment: schema {head[1]} is not {SCHEMA}")
    payload = _payload(lines)
    record = load_record(decode(payload.encode("utf-8", "replace"), what="state comment"))
    if _hidden(record.task) != head[2]:
        raise Corrupt("state comment: marker and record name different tasks")
    seal, digest = _seal(lines)
    signature, key_id = seal.get("hmac"), seal.get("key")
    revision = seal.get("revision")
    return Parsed(
        record=record,
        intact=same_text(str(seal.get("digest", "")), digest) and type(revision) is int and revision == record.revision,
        signature=signature if isinstance(signature, str) else None,
        key_id=key_id if isinstance(key_id, str) else None,
        digest=digest,
    )


def signature_of(record: RemoteRecord, *, place: Place, digest: str, key: SigningKey) -> str:
    """HMAC-SHA-256 over repository, issue, task, fence, revision and the digest of the text, in hex."""
    parts = (place.repository.lower(), str(place.number), record.task, str(record.fence), str(record.revision), digest)
    message = "\0".join(("sharedstate-state-1", *parts)).encode("utf-8", "replace")
    return hmac.new(key.secret.encode("utf-8", "replace"), message, hashlib.sha256).hexdigest()


def digest_of(text: str) -> str:
    """SHA-256 of the text above the trailer as it stands in the comment, in hex."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def same_text(one: str, other: str) -> bool:
    """Whether two texts are equal, in a time that does not tell how much of them is."""
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode("utf-8", "replace"))


def _body(record: RemoteRecord, *, place: Place, url: str, key: SigningKey | None) -> str:
    payload = json.dumps(_clean(dump_record(record)), sort_keys=True, indent=2, ensure_ascii=True).translate(_UNSAFE)
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
        "",
    ]
    text = "\n".join(lines)
    digest = digest_of(text)
    seal: dict[str, Any] = {"digest": digest, "revision": record.revision}
    if key is not None:
        seal |= {"hmac": signature_of(record, place=place, digest=digest, key=key), "key": key.key_id}
    return f"{text}\n{TRAILER} {json.dumps(seal, sort_keys=True).translate(_UNSAFE)} -->"


def _clean(document: dict[str, Any]) -> dict[str, Any]:
    """Texts without lone surrogates, which no reader would take back."""
    return {
        name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
        for name, value in document.items()
    }


def _summary(record: RemoteRecord, *, url: str) -> list[str]:
    owner = "nobody" if record.owner is None else quoted(record.owner, characters_max=OWNER_CHARACTERS_MAX)
    held = record.status == CLAIMED
    state = {NEW: "not started"}.get(record.status, record.status)
    first = f"**Claimed by** {owner}" if held else f"**{state.capitalize()}**"
    lines = [first + (" · **ignored**" if record.ignored else "")]
    if record.since_ms is not None:
        who = "" if held or record.owner is None else f" · last owner {owner}"
        lines.append(f"Since {_moment(record.since_ms)}{who}")
    if held and record.heartbeat_ms is not None:
        lines.append(f"Last seen {_moment(record.heartbeat_ms)}")
    allowed = max(record.attempts, record.retries_max + 1)  # a reopened task may have had more than its share
    retries = f"retries {record.retries} of {record.retries_max}"
    lines.append(f"Attempt {record.attempts} of {allowed} · {retries} · fence {record.fence}")
    if record.last_error:
        lines.append(f"Last error: {quoted(record.last_error)}")
    if url:
        lines.append(f"[Details]({quote(url, safe=':/?=%&+,;~#')})")
    return ["", *(line + "  " for line in lines)]


def _moment(at_ms: int) -> str:
    try:
        return iso_of_ms(at_ms)[:16].replace("T", " ") + " UTC"
    except OverflowError:
        return "at an unknown time"


def _hidden(task: str) -> str:
    """A task id as one word that cannot close a comment: percent-encoded."""
    return quote(task.encode("utf-8", "replace"), safe="").replace("-", "%2D")


def _payload(lines: list[str]) -> str:
    opening = [index for index, line in enumerate(lines) if line == _FENCE + "json"]
    closing = [index for index, line in enumerate(lines) if line == _FENCE]
    if len(opening) != 1 or len(closing) != 1 or closing[0] < opening[0]:
        raise Corrupt("state comment: not exactly one block of JSON")
    return "\n".join(lines[opening[0] + 1 : closing[0]])


def _seal(lines: list[str]) -> tuple[dict[str, Any], str]:
    """The trailer, which must be the last line that is not empty, and the digest of all above it."""
    last = next((index for index in reversed(range(len(lines))) if lines[index].strip()), 0)
    found = _TRAILER.fullmatch(lines[last])
    if found is None:
        raise Corrupt("state comment: the seal is missing")
    return decode(found[1].encode("utf-8", "replace"), what="state comment seal"), digest_of("\n".join(lines[:last]))
