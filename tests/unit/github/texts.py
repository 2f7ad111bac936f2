"""What the tests of the state comment share: a place, keys, records, comments, and text from outside."""

from __future__ import annotations

from hypothesis import strategies as st

from sharedstate.sync.model import RemoteRecord
from sharedstate_adapters.github.comment import SigningKey, render
from sharedstate_adapters.github.keys import Place
from sharedstate_adapters.github.trust import Comment

NOW_MS = 1_772_323_200_000
HOME = Place(repository="acme/app", number=42)
KEY = SigningKey(key_id="k1", secret="first secret")
OLD_KEY = SigningKey(key_id="k0", secret="older secret")
BOT, FRIEND, EVE = 1001, 1002, 6666
HOSTILE = (
    "-->",
    "--!>",
    "<!--",
    "<!-- sharedstate-state schema=1 task=GH%2D42 -->",
    "</details>",
    "````",
    "```json",
    "@everyone",
    "@acme/team",
    "#1",
    "acme/app#1",
    "GH-1",
    "closes #1",
    "https://github.com/acme/app/issues/1",
    "www.example.com",
    "<script>alert(1)</script>",
    "[x](javascript:1)",
    "\r\n",
    "\u2028",
    "\u202e",
    "\0",
    "\ud800",
    "`",
    "\\",
    "&lt;",
    "fixes GH-1",
    "Resolves: acme/app#1",
    "@acme/team",
    "acme/app@0123456789abcdef0123456789abcdef01234567",
    "someone@example.com",
    "\uff20everyone",
    "\uff1c!-- sharedstate-state --\uff1e",
    "-\u200b->",
    "\u2066\u200f\ufeff",
    "~~~~",
    "$`x`$",
    "<!-- <!-- -->",
    "\x1b]8;;https://evil.example\x1b\\",
    "]]>",
)


def foreign_text(*, characters_max: int = 300) -> st.SearchStrategy[str]:
    """Text as agents and people produce it, with everything in it that GitHub acts upon."""
    pieces = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20))
    return st.lists(pieces, max_size=12).map(lambda parts: "".join(parts)[:characters_max])


def record(**changes: object) -> RemoteRecord:
    """A claimed task."""
    known = RemoteRecord(
        task="GH-42",
        status="claimed",
        owner="ws-1/agent",
        fence=3,
        attempts=2,
        retries=1,
        retries_max=3,
        since_ms=NOW_MS - 60_000,
        heartbeat_ms=NOW_MS - 1_000,
        revision=5,
    )
    return known.replace(**changes)


def comment(
    body: str | None = None,
    *,
    comment_id: int = 10,
    author_id: int = BOT,
    association: str = "COLLABORATOR",
    kind: str = "User",
    key: SigningKey | None = None,
    place: Place = HOME,
    **changes: object,
) -> Comment:
    """A comment; without `body` the state comment of `record(**changes)`."""
    text = render(record(**changes), place=place, key=key) if body is None else body
    return Comment(
        id=comment_id,
        author_id=author_id,
        author=f"user-{author_id}",
        kind=kind,
        association=association,
        body=text,
        updated_ms=NOW_MS,
    )
