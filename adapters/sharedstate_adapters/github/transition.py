"""One transition of one record, as a comment: what `GitHubStore` posts, and what it reads back.

Layout, first line to last: a hidden marker that names record, base and nonce; one line for people; the transition as
JSON in a collapsed block; a hidden seal with the digest and, where a key is configured, an HMAC over it. The JSON names
its repository, issue and record, so a body that stands elsewhere means nothing. Below the seal the last heartbeat, with
an HMAC of its own: it changes by an edit, which notifies nobody. Text from outside stands only in code spans and JSON.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import zlib
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote, unquote

from sharedstate.clock import iso_of_ms
from sharedstate.errors import Corrupt, InvalidInput, NewerFormat
from sharedstate.jsonio import COUNT_MAX, decode, encode
from sharedstate.store import Document
from sharedstate.values import Value
from sharedstate_adapters.github.comment import SigningKey, quoted, same_text
from sharedstate_adapters.github.keys import Place

SCHEMA: Final = 1
MARKER: Final = "<!-- sharedstate-store"
SEAL: Final = "<!-- sharedstate-store-seal"
BEAT: Final = "<!-- sharedstate-store-beat"
CHARACTERS_MAX: Final = 60_000
PLAIN_CHARACTERS_MAX: Final = 50_000  # a longer record is deflated: no reader of people, but no task that gets stuck
INFLATED_BYTES_MAX: Final = 4 << 20
NONCE_BYTES: Final = 8
AFTER_MAX: Final = 32
_FENCE: Final = "````"
_HEAD: Final = re.compile(
    r"<!-- sharedstate-store schema=([0-9]{1,9}) record=([^\s<>/]{1,300})/([^\s<>/]{1,2400})"
    r" base=([0-9]{1,15}) nonce=([0-9a-f]{16})( mirror)? -->"
)
_SEAL: Final = re.compile(r"<!-- sharedstate-store-seal (\{[^<>]{1,1000}\}) -->")
_BEAT: Final = re.compile(r"<!-- sharedstate-store-beat (\{[^<>]{1,1000}\}) -->")
# Escapes that JSON reads back: none of these characters stands in the block as itself.
_UNSAFE: Final = {ord(c): f"\\u{ord(c):04x}" for c in "<>`@&#\x7f"}


class Mark(Value):
    """What the first line names: the record, the step in its chain that this one follows, and whose try it is."""

    collection: str
    key: str
    base: int
    nonce: str


class Transition(Value):
    """One step of a record's chain: it follows step `base` and is step `base + 1`.

    `after` names the tries that became the steps before it, the latest first, so that a slow writer finds out whether
    others have gone on from its own.

    `value` is the whole document after it, None when the record was deleted; `revision` counts the record's own
    revisions and begins anew after a deletion, the chain does not. `live` is the fence that is alive, `seen_ms` its
    last heartbeat when this was written. `at_ms` is when it was decided. Moments are GitHub's, in Unix milliseconds.
    """

    mark: Mark
    after: tuple[str, ...]
    revision: int
    value: Document | None
    live: int | None
    seen_ms: int | None
    at_ms: int


class Heartbeat(Value):
    """A sign of life of the ownership `fence`, at a moment of GitHub's clock."""

    fence: int
    at_ms: int


class Read(Value):
    """What a comment holds: the transition, the heartbeat below its seal if that is sound, whether it is a mirror."""

    transition: Transition
    heartbeat: Heartbeat | None
    mirror: bool


def render(
    transition: Transition,
    *,
    place: Place,
    key: SigningKey | None,
    heartbeat: Heartbeat | None = None,
    mirror: bool = False,
) -> str:
    """The whole comment. `mirror`: the second copy of a record, which says so. `InvalidInput` above 60,000 characters.

    What JSON cannot carry raises `TypeError` or `ValueError`, as `jsonio.encode` does.
    """
    mark = transition.mark
    payload = _payload_of(transition, place)
    digest = _digest_of(payload)
    seal: dict[str, Any] = {"digest": digest}
    if key is not None:
        seal |= {"hmac": _signed(key, "seal", _where(place), digest), "key": key.key_id}
    named = f"record={_word(mark.collection)}/{_word(mark.key)} base={mark.base} nonce={mark.nonce}"
    lines = [
        f"{MARKER} schema={SCHEMA} {named}{' mirror' if mirror else ''} -->",
        "",
        _summary(transition) + (" · copy, in case the newer comment is lost" if mirror else ""),
        "",
        "<details><summary>record</summary>",
        "",
        _FENCE + "json",
        payload,
        _FENCE,
        "",
        "</details>",
        "",
        f"{SEAL} {_json(seal)} -->",
    ]
    if heartbeat is not None:
        lines.append(f"{BEAT} {_json(_beat_fields(heartbeat, mark=mark, place=place, key=key))} -->")
    body = "\n".join(lines)
    if len(body) > CHARACTERS_MAX:
        raise InvalidInput(f"{mark.collection}/{mark.key}: {len(body)} characters; at most {CHARACTERS_MAX} on GitHub")
    return body


def looks_like_transition(body: str) -> bool:
    """Whether a comment begins as a transition does, well formed or not."""
    return body.startswith(MARKER + " ")


def mark_in(body: str) -> Mark | None:
    """What the first line names; None when the comment does not begin with a whole marker.

    The marker must be the very first characters: a quoted or embedded transition is none.
    """
    found = _HEAD.fullmatch(body[:4000].partition("\n")[0].rstrip("\r"))
    if found is None:
        return None
    return Mark(collection=unquote(found[2]), key=unquote(found[3]), base=int(found[4]), nonce=found[5])


def read(body: str, *, place: Place, keys: Sequence[SigningKey]) -> Read:
    """The transition in a comment at `place`. Raises `Corrupt`: broken, forged, from elsewhere, or badly signed.

    With no keys a signature is neither asked for nor looked at.
    """
    if mark_in(body) is None or len(body) > CHARACTERS_MAX:
        raise Corrupt("transition: the marker is not whole, or the comment is too long")
    lines = body.replace("\r\n", "\n").split("\n")
    if not lines[0].startswith(f"{MARKER} schema={SCHEMA} "):
        raise NewerFormat("transition: written by a newer version")
    payload = _payload_in(lines)
    digest = _digest_of(payload)
    seal = _last(lines, SEAL, _SEAL)
    if not same_text(str(seal.get("digest", "")), digest):
        raise Corrupt("transition: edited, the digest is wrong")
    _check_signature(seal, keys, "seal", _where(place), digest)
    transition = _load(_decoded(payload), place)  # its mark is sealed, that of the first line is not
    heartbeat = _heartbeat_in(lines, mark=transition.mark, place=place, keys=keys)
    return Read(transition=transition, heartbeat=heartbeat, mirror=lines[0].endswith(" mirror -->"))


# The payload


def _payload_of(transition: Transition, place: Place) -> str:
    mark = transition.mark
    document: Document = {
        **mark.fields(),
        "repository": place.repository.lower(),
        "number": place.number,
        "after": " ".join(transition.after),
        "revision": transition.revision,
        "value": transition.value,
        "live": transition.live,
        "seen_ms": transition.seen_ms,
        "at_ms": transition.at_ms,
    }
    raw = encode(document)  # what it refuses, no reader would take back
    payload = json.dumps(document, sort_keys=True, indent=1, ensure_ascii=True).translate(_UNSAFE)
    if len(payload) <= PLAIN_CHARACTERS_MAX:
        return payload
    return json.dumps({"deflated": base64.b64encode(zlib.compress(raw, 9)).decode()})


def _decoded(payload: str) -> Document:
    """The document of a payload, which may be a deflated one."""
    document = decode(payload.encode("utf-8", "replace"), what="transition")
    deflated = document.get("deflated")
    if not isinstance(deflated, str):
        return document
    try:
        inflating = zlib.decompressobj()
        raw = inflating.decompress(base64.b64decode(deflated, validate=True), INFLATED_BYTES_MAX)
    except (ValueError, zlib.error):
        raise Corrupt("transition: it cannot be inflated") from None
    if not inflating.eof:
        raise Corrupt(f"transition: more than {INFLATED_BYTES_MAX} bytes")
    return decode(raw, what="transition")


def _load(document: Document, place: Place) -> Transition:
    if (document.get("repository"), document.get("number")) != (place.repository.lower(), place.number):
        raise Corrupt("transition: it belongs to another issue")
    words = [document.get(name) for name in ("collection", "key", "nonce")]
    counts = [document.get(name) for name in ("base", "revision", "at_ms")]
    ages = [document.get(name) for name in ("live", "seen_ms")]
    value, after = document.get("value"), document.get("after")
    sound = (
        isinstance(after, str)
        and after.count(" ") < AFTER_MAX
        and all(isinstance(word, str) for word in words)
        and all(_is_count(count) for count in counts)
        and all(age is None or _is_count(age) for age in ages)
        and (value is None or isinstance(value, dict))
    )
    if not sound:
        raise Corrupt("transition: a field is missing or has the wrong type")
    return Transition(
        after=tuple(document["after"].split()),
        mark=Mark(**{name: document[name] for name in ("collection", "key", "base", "nonce")}),
        **{name: document[name] for name in ("revision", "value", "live", "seen_ms", "at_ms")},
    )


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= COUNT_MAX


def _payload_in(lines: list[str]) -> str:
    opening = [index for index, line in enumerate(lines) if line == _FENCE + "json"]
    closing = [index for index, line in enumerate(lines) if line == _FENCE]
    if len(opening) != 1 or len(closing) != 1 or closing[0] < opening[0]:
        raise Corrupt("transition: not exactly one block of JSON")
    return "\n".join(lines[opening[0] + 1 : closing[0]])


def _last(lines: list[str], start: str, pattern: re.Pattern[str]) -> Document:
    found = [pattern.fullmatch(line) for line in lines if line.startswith(start + " ")]
    if len(found) != 1 or found[0] is None:
        raise Corrupt("transition: not exactly one seal")
    return decode(found[0][1].encode("utf-8", "replace"), what="seal")


# Heartbeats


def _beat_fields(heartbeat: Heartbeat, *, mark: Mark, place: Place, key: SigningKey | None) -> Document:
    fields: Document = heartbeat.fields()
    if key is not None:
        fields |= {"hmac": _signed_beat(key, heartbeat, mark, place), "key": key.key_id}
    return fields


def _heartbeat_in(lines: list[str], *, mark: Mark, place: Place, keys: Sequence[SigningKey]) -> Heartbeat | None:
    """The heartbeat, if it is sound. A broken one is a lost one: the claim looks older, never younger."""
    try:
        fields = _last(lines, BEAT, _BEAT)
        if not (_is_count(fields.get("fence")) and _is_count(fields.get("at_ms"))):
            return None
        heartbeat = Heartbeat(fence=fields["fence"], at_ms=fields["at_ms"])
        _check_signature(fields, keys, "beat", *_beat_parts(heartbeat, mark, place))
    except Corrupt:
        return None
    return heartbeat


def _beat_parts(heartbeat: Heartbeat, mark: Mark, place: Place) -> tuple[str, ...]:
    step = (mark.collection, mark.key, str(mark.base), mark.nonce)
    return (_where(place), *step, str(heartbeat.fence), str(heartbeat.at_ms))


def _signed_beat(key: SigningKey, heartbeat: Heartbeat, mark: Mark, place: Place) -> str:
    return _signed(key, "beat", *_beat_parts(heartbeat, mark, place))


# Signatures


def _signed(key: SigningKey, kind: str, *parts: str) -> str:
    message = "\0".join((f"sharedstate-store-{kind}-{SCHEMA}", *parts)).encode("utf-8", "replace")
    return hmac.new(key.secret.encode("utf-8", "replace"), message, hashlib.sha256).hexdigest()


def _check_signature(fields: Document, keys: Sequence[SigningKey], kind: str, *parts: str) -> None:
    if not keys:
        return
    key = next((key for key in keys if key.key_id == fields.get("key")), None)
    if key is None:
        raise Corrupt("transition: not signed with a known key; give every machine the same SHARED_STATE_SIGNING_KEY")
    if not same_text(str(fields.get("hmac", "")), _signed(key, kind, *parts)):
        raise Corrupt("transition: the signature is wrong")


def _where(place: Place) -> str:
    return f"{place.repository.lower()}#{place.number}"


def _digest_of(payload: str) -> str:
    return hashlib.sha256(payload.encode("utf-8", "replace")).hexdigest()


# Texts


def _summary(transition: Transition) -> str:
    """One line for people. The store knows no more of a document than that some have a status and an owner."""
    value, mark = transition.value, transition.mark
    name = quoted(f"{mark.collection}/{mark.key}", characters_max=230)
    if value is None:
        return f"{name} removed · {_moment(transition.at_ms)}"
    lease = value.get("lease")
    owner = lease.get("owner") if isinstance(lease, dict) else value.get("owner")
    status = value.get("status")
    words = [name]
    words += [quoted(status, characters_max=30)] if isinstance(status, str) else []
    words += ["by " + quoted(owner, characters_max=200)] if isinstance(owner, str) else []
    words += [] if transition.live is None else [f"fence {transition.live}"]
    return " · ".join((" ".join(words[:3]), *words[3:], _moment(transition.at_ms)))


def _moment(at_ms: int) -> str:
    try:
        return iso_of_ms(at_ms)[:16].replace("T", " ") + " UTC"
    except OverflowError:
        return "at an unknown time"


def _word(text: str) -> str:
    """A text as one word that cannot close a comment: percent-encoded."""
    return quote(text.encode("utf-8", "replace"), safe="").replace("-", "%2D").replace(".", "%2E")


def _json(fields: Document) -> str:
    return json.dumps(fields, sort_keys=True).translate(_UNSAFE)
