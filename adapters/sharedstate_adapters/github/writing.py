"""Writing the one state comment of an issue: find it, edit it in place, or create it, and remove what raced with it.

A new comment tells people, an edit does not; so there is one, and it is found again by its id. Two machines may create
at the same moment: after creating, the list is read again, the lowest id stays, the rest goes, and whoever lost that
race meets the winner's record as a conflict. A post without an answer may have been carried out: until the list has
had time to show it, no other is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import quote

from sharedstate.errors import Corrupt
from sharedstate.sync.board import Failed, Parked
from sharedstate.sync.model import RemoteRecord
from sharedstate.values import Value
from sharedstate_adapters.github.answers import Answer, Ok
from sharedstate_adapters.github.comment import looks_like_ours, render
from sharedstate_adapters.github.identity import Account, Identity
from sharedstate_adapters.github.items import comment_of
from sharedstate_adapters.github.keys import Place
from sharedstate_adapters.github.memory import Known, Memory
from sharedstate_adapters.github.repository import Pages, Repository
from sharedstate_adapters.github.trust import Chosen, Comment, Rules, Seen, choose, raised

DOUBT_MS: Final = 60_000  # how long a list may lag behind a post that got no answer
LAG_MS: Final = 120_000  # how long a list may lag behind a comment that we know of
OVERLAP_MS: Final = 300_000


class Draft(Value):
    """What shall stand in the comment of which task, and what its writer knew of it: the revision, 0 for nothing."""

    place: Place
    task: str
    record: RemoteRecord
    known_revision: int
    comment_id: int = 0


class Moved(Value):
    """The comment says something newer than the writer knew: nothing was written."""

    chosen: Chosen


class StateComments:
    """The state comments of one repository."""

    def __init__(
        self,
        repository: Repository,
        memory: Memory,
        identity: Identity,
        *,
        rules: Rules,
        details_url: str,
        now: Callable[[], int],
    ) -> None:
        self._repository = repository
        self._memory = memory
        self._identity = identity
        self._rules = rules
        self._details_url = details_url
        self._now = now

    def rules(self) -> Rules | Parked | Failed:
        """Whom to trust, with our own account among them."""
        account = self._identity.account()
        if isinstance(account, Parked | Failed):
            return account
        return self._rules.replace(own_id=account.id)

    def choose(self, place: Place, task: str, known: Known, rules: Rules) -> Chosen:
        """The state comment among those that are known; what counts is remembered as seen."""
        now_ms = self._now()
        chosen = choose(known.comments, place=place, task=task, rules=rules, seen=known.seen, now_ms=now_ms)
        seen = raised(known.seen, chosen.record)
        if seen != known.seen:
            self._memory.keep(place, known.replace(seen=seen))
        return chosen

    def read(self, place: Place, task: str) -> Chosen | Parked | Failed:
        """The state comment of an issue, read afresh from all its comments."""
        rules = self.rules()
        if isinstance(rules, Parked | Failed):
            return rules
        known = self._look(place, rules)
        return known if isinstance(known, Parked | Failed) else self.choose(place, task, known, rules)

    def write(self, draft: Draft) -> Chosen | Moved | Parked | Failed:
        """Make the comment say `draft`; the result is read back from GitHub's answer."""
        if not draft.comment_id and (turn := self._repository.wait_to_comment()) is not None:
            return turn  # before anything is read for a comment that cannot be made yet
        rules = self.rules()
        if isinstance(rules, Parked | Failed):
            return rules
        chosen = self._find(draft, rules)
        if isinstance(chosen, Parked | Failed):
            return chosen
        if _is_other(chosen, draft):
            return Moved(chosen=chosen)
        if chosen.comment is None:
            return self._create(draft, rules)
        written = self._edit(chosen, draft, rules)
        if not (isinstance(written, Failed) and written.kind == "gone"):
            return written
        self._drop(draft.place, chosen.comment.id)  # deleted since it was read a moment ago
        again = self.read(draft.place, draft.task)
        return again if isinstance(again, Parked | Failed) else Moved(chosen=again)

    def tidy(self, place: Place, task: str, chosen: Chosen) -> Chosen:
        """Remove what races and lagging lists have left beside THE comment; what cannot be removed now stays."""
        rules = self.rules()
        if not chosen.rest or isinstance(rules, Parked | Failed):
            return chosen
        return self._removed(place, task, self._memory.known(place), rules)

    # Finding

    def _find(self, draft: Draft, rules: Rules) -> Chosen | Parked | Failed:
        """The comment to write to, read afresh: by its id where it is known, else among all comments of the issue."""
        known = self._memory.known(draft.place)
        if not draft.comment_id:
            return self.read(draft.place, draft.task)
        answer = self._repository.comment(draft.comment_id)
        if isinstance(answer, Parked) or (isinstance(answer, Failed) and answer.kind != "gone"):
            return answer
        comment = _comment(answer)
        if comment is None:
            self._drop(draft.place, draft.comment_id)
            return self.read(draft.place, draft.task)
        fresh = self._with(known, comment)
        self._memory.keep(draft.place, fresh)
        chosen = self.choose(draft.place, draft.task, fresh, rules)
        if chosen.comment is not None and chosen.comment.id == comment.id:
            return chosen
        return self.read(draft.place, draft.task)  # not the one that counts any more

    def _look(self, place: Place, rules: Rules, *, since_ms: int | None = None) -> Known | Parked | Failed:
        """What is known of the issue after reading its comments (all, or those changed lately)."""
        pages = self._repository.comments_of(place.number, since_ms=since_ms)
        if not isinstance(pages, Pages):
            return pages if isinstance(pages, Parked | Failed) else Failed(kind="transient", detail="no list")
        shown = trusted(_readable(pages.rows), rules)
        before = self._memory.known(place)
        is_late = self._now() - before.wrote_ms < LAG_MS
        kept = before.comments if since_ms is not None or is_late else ()
        merged = {comment.id: comment for comment in (*kept, *shown)}
        known = before.replace(comments=tuple(merged.values()))
        self._memory.keep(place, known)
        return known

    # Editing

    def _edit(self, chosen: Chosen, draft: Draft, rules: Rules) -> Chosen | Moved | Parked | Failed:
        assert chosen.comment is not None
        known = self._memory.known(draft.place)
        found = chosen.authentic
        record = draft.record.replace(revision=_next_revision(known.seen, found))
        same = chosen.record is not None and chosen.record.replace(revision=record.revision) == record
        if not same:
            answer = self._repository.edit_comment(chosen.comment.id, self._body(record, draft, rules))
            comment = _comment(answer)
            if comment is None:
                return answer if isinstance(answer, Parked | Failed) else _no_comment()
            known = self._with(known, comment).replace(wrote_ms=self._now(), doubt_ms=0)
            self._memory.keep(draft.place, known)
        return self._tidied(draft, known, rules)

    # Creating

    def _create(self, draft: Draft, rules: Rules) -> Chosen | Moved | Parked | Failed:
        known = self._memory.known(draft.place)
        now_ms = self._now()
        if 0 <= now_ms - known.doubt_ms < DOUBT_MS:
            return Failed(kind="transient", detail="an earlier post got no answer and may still show", applied=True)
        record = draft.record.replace(revision=_next_revision(known.seen, None))
        answer = self._repository.create_comment(draft.place.number, self._body(record, draft, rules))
        if isinstance(answer, Failed) and answer.applied:
            return self._search_lost(draft, known.replace(doubt_ms=now_ms), rules, answer)
        comment = _comment(answer)
        if comment is None:
            return answer if isinstance(answer, Parked | Failed) else _no_comment()
        self._identity.learn(Account(id=comment.author_id, login=comment.author))
        rules = rules.replace(own_id=comment.author_id)
        known = self._with(known, comment).replace(wrote_ms=now_ms, doubt_ms=0)
        self._memory.keep(draft.place, known)
        after = self._look(draft.place, rules, since_ms=max(0, comment.updated_ms - OVERLAP_MS))
        if isinstance(after, Parked | Failed):
            return after  # ours stands; whether it is alone is found out next time
        return self._tidied(draft, after, rules)

    def _search_lost(self, draft: Draft, known: Known, rules: Rules, lost: Failed) -> Chosen | Moved | Parked | Failed:
        """A post got no answer: look whether it was carried out. Never post again on a guess."""
        self._memory.keep(draft.place, known)
        chosen = self.read(draft.place, draft.task)
        if not isinstance(chosen, Chosen) or chosen.comment is None:
            return chosen if isinstance(chosen, Parked) else lost
        self._memory.keep(draft.place, self._memory.known(draft.place).replace(doubt_ms=0))
        return self._tidied(draft, self._memory.known(draft.place), rules)

    # Tidying

    def _tidied(self, draft: Draft, known: Known, rules: Rules) -> Chosen | Moved:
        """Remove what is not THE comment. Where ours lost the race for the lowest id, the winner is a conflict."""
        chosen = self._removed(draft.place, draft.task, known, rules)
        if chosen.authentic is None or not _says(chosen.authentic, draft):
            return Moved(chosen=chosen)
        return chosen.replace(record=chosen.authentic)  # our own word counts for us, whatever the clocks say

    def _removed(self, place: Place, task: str, known: Known, rules: Rules) -> Chosen:
        chosen = self.choose(place, task, known, rules)
        removed: set[int] = set()
        for comment in chosen.rest:
            answer = self._repository.delete_comment(comment.id)
            if isinstance(answer, Parked):
                break  # the next write or listing removes it
            if isinstance(answer, Ok) or (isinstance(answer, Failed) and answer.kind == "gone"):
                removed.add(comment.id)
        if not removed:
            return chosen
        left = tuple(comment for comment in known.comments if comment.id not in removed)
        known = self._memory.known(place).replace(comments=left)
        self._memory.keep(place, known)
        return self.choose(place, task, known, rules)

    def _body(self, record: RemoteRecord, draft: Draft, rules: Rules) -> str:
        url = self._details_url.replace("{task}", quote(draft.task, safe="")) if self._details_url else ""
        return render(record, place=draft.place, url=url, key=rules.signing)

    def _with(self, known: Known, comment: Comment) -> Known:
        others = tuple(one for one in known.comments if one.id != comment.id)
        return known.replace(comments=(*others, comment) if looks_like_ours(comment.body) else others)

    def _drop(self, place: Place, comment_id: int) -> None:
        known = self._memory.known(place)
        self._memory.keep(
            place, known.replace(comments=tuple(one for one in known.comments if one.id != comment_id), wrote_ms=0)
        )


def trusted(comments: Iterable[Comment], rules: Rules) -> list[Comment]:
    """Comments that begin as state comments do and are by an account that may be trusted; others are not kept."""
    allowed = {rules.own_id, *rules.authors} - {0}
    return [one for one in comments if looks_like_ours(one.body) and one.author_id in allowed]


def _readable(rows: Iterable[object]) -> list[Comment]:
    found: list[Comment] = []
    for row in rows:
        try:
            found.append(comment_of(row))
        except Corrupt:
            continue
    return found


def _is_other(chosen: Chosen, draft: Draft) -> bool:
    """Whether the board shows what the writer did not know: another revision, another record, a fence above its own."""
    if chosen.authentic is not None and chosen.authentic.fence > draft.record.fence:
        return True
    return (0 if chosen.record is None else chosen.record.revision) != draft.known_revision


def _says(record: RemoteRecord, draft: Draft) -> bool:
    return record.replace(revision=0) == draft.record.replace(revision=0)


def _next_revision(seen: Seen, found: RemoteRecord | None) -> int:
    return max(seen.revision, 0 if found is None else found.revision) + 1


def _comment(answer: Answer) -> Comment | None:
    try:
        return comment_of(answer.document) if isinstance(answer, Ok) else None
    except Corrupt:
        return None


def _no_comment() -> Failed:
    return Failed(kind="transient", detail="GitHub answered with something that is no comment", applied=True)
