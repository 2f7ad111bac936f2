"""Listing a repository by what has changed: requests follow the changes, not the issues there are.

The cursor keeps, per repository, the moment from which to ask and the entity tags of an unchanged answer; moments are
GitHub's own, so no clock here matters. Each listing looks back over the last one by `OVERLAP_MS`, for replicas that
lag. Without a cursor everything is listed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sharedstate.errors import Corrupt
from sharedstate.jsonio import decode
from sharedstate.sync.board import Distrust, Failed, Item, Parked
from sharedstate.values import Value
from sharedstate_adapters.github.answers import NotModified, Ok
from sharedstate_adapters.github.comment import looks_like_ours
from sharedstate_adapters.github.items import comment_of, is_issue, item_of, moment_of, number_of
from sharedstate_adapters.github.keys import Keys, Place
from sharedstate_adapters.github.memory import Known, Memory, Told
from sharedstate_adapters.github.projects import NO_CARD, Cards
from sharedstate_adapters.github.repository import Pages, Repository
from sharedstate_adapters.github.trust import Chosen, Comment, Rules
from sharedstate_adapters.github.writing import LAG_MS, StateComments, trusted

OVERLAP_MS: Final = 60_000


class Mark(Value):
    """Where the listing of one repository stands. `since_ms` None: nothing listed yet."""

    listing: int = 0
    since_ms: int | None = None
    issues_tag: str = ""
    comments_tag: str = ""


class Found(Value):
    """What one repository has to say."""

    items: tuple[Item, ...]
    mark: Mark
    complete: bool = True
    full: bool = False
    distrusted: tuple[Distrust, ...] = ()


def load_cursor(text: str | None, *, configured: str) -> dict[str, Mark]:
    """The marks in a cursor; none where there is no cursor, or it comes from another configuration."""
    if not text:
        return {}
    try:
        document = decode(text.encode("utf-8", "replace"), what="cursor")
        if document.get("configured") != configured:
            return {}
        return {name: Mark(**mark) for name, mark in document.get("marks", {}).items()}
    except (Corrupt, TypeError, AttributeError):
        return {}


def dump_cursor(marks: Mapping[str, Mark], *, configured: str) -> str:
    """The marks as one line of text."""
    held = {name: mark.fields() for name, mark in marks.items()}
    return json.dumps({"configured": configured, "marks": held}, sort_keys=True)


class Lister:
    """Lists one repository. `tidies`: remove comments beside THE comment where a race or a lagging list left some."""

    def __init__(
        self, repository: Repository, memory: Memory, comments: StateComments, *, keys: Keys, prefix: str, tidies: bool
    ) -> None:
        self._repository = repository
        self._memory = memory
        self._comments = comments
        self._keys = keys
        self._prefix = prefix
        self._tidies = tidies

    def read(self, mark: Mark, *, cards: Cards | None, now_ms: int) -> Found | Parked | Failed:
        """Everything that is new or changed since `mark`."""
        rules = self._comments.rules()
        if isinstance(rules, Parked | Failed):
            return rules
        full = mark.since_ms is None
        issues = self._repository.issues(since_ms=mark.since_ms, etag=mark.issues_tag)
        if isinstance(issues, Parked | Failed):
            return issues
        comments = self._repository.comments(since_ms=mark.since_ms, etag=mark.comments_tag)
        if isinstance(comments, Parked | Failed):
            return comments
        return self._merged(mark, issues, comments, rules=rules, cards=cards, full=full, now_ms=now_ms)

    def _merged(
        self,
        mark: Mark,
        issues: Pages | NotModified,
        comments: Pages | NotModified,
        *,
        rules: Rules,
        cards: Cards | None,
        full: bool,
        now_ms: int,
    ) -> Found | Parked | Failed:
        documents = {row["number"]: row for row in _rows(issues) if is_issue(row)}
        by_issue = _by_issue(_rows(comments))
        if full and isinstance(comments, Pages) and comments.complete:
            self._forget_missing(by_issue, now_ms)
        told = self._memory.told(self._repository.name)
        if not full and mark.listing < told.listing:  # the last listing was never delivered: tell what it told again
            told = told.replace(cards=told.before, distrusted=told.distrusted_before)
        moved = _moved_cards(cards, told, self._repository.name)
        talked = {number for number, rows in by_issue.items() if self._concerns_us(number, rows)} - documents.keys()
        refused = self._fetch_missing(documents, set() if full else talked | moved)
        if refused is not None:
            return refused
        items: list[Item] = []
        distrusted: list[Distrust] = []
        for number, document in sorted(documents.items()):
            place = Place(repository=self._repository.name, number=number)
            chosen = self._chosen(place, document, by_issue.get(number, ()), rules)
            if isinstance(chosen, Parked | Failed):
                return chosen
            items.append(self.item(place, document, chosen=chosen, cards=cards))
            distrusted += _distrusted(chosen, self._keys.task_of(place))
        fresh = _unreported(distrusted, told)
        listing = (told.listing if full else mark.listing) + 1
        self._tell(told, listing, cards, fresh)
        return Found(
            items=tuple(items),
            mark=_next_mark(mark, issues, comments, listing=listing),
            complete=_is_whole(issues),
            full=full,
            distrusted=tuple(fresh),
        )

    def item(self, place: Place, document: Mapping[str, Any], *, chosen: Chosen, cards: Cards | None) -> Item:
        """One issue as the engine sees it."""
        card = NO_CARD if cards is None else cards.of(place)
        return item_of(
            document,
            place=place,
            keys=self._keys,
            prefix=self._prefix,
            chosen=chosen,
            card_id=card.id,
            status=card.status,
            moment_ms=card.updated_ms,
        )

    def _chosen(
        self, place: Place, document: Mapping[str, Any], rows: Sequence[Comment], rules: Rules
    ) -> Chosen | Parked | Failed:
        """The state comment of a listed issue: known ones, overlaid with those that the listing shows."""
        known = self._memory.known(place)
        count = document.get("comments")
        count = count if isinstance(count, int) else 0
        task = self._keys.task_of(place)
        if count < known.count and known.comments:
            # Some comment was deleted, perhaps the one we know.
            chosen = self._comments.read(place, task)
            if isinstance(chosen, Chosen):
                self._memory.keep(place, self._memory.known(place).replace(count=count))
            return chosen
        shown = {comment.id: comment for comment in trusted(rows, rules)}
        edited_away = {comment.id for comment in rows} - shown.keys()  # it may have been ours once
        kept = {comment.id: comment for comment in known.comments if comment.id not in edited_away}
        known = known.replace(comments=tuple({**kept, **shown}.values()), count=count)
        self._memory.keep(place, known)
        chosen = self._comments.choose(place, task, known, rules)
        if self._tidies:
            chosen = self._comments.tidy(place, task, chosen)
        strangers = tuple(one for one in rows if one.id not in shown and looks_like_ours(one.body))
        if not strangers:
            return chosen
        refused = self._comments.choose(place, task, Known(comments=strangers), rules)
        return chosen.replace(verdicts=(*chosen.verdicts, *refused.verdicts))

    # What a listing leaves out

    def _concerns_us(self, number: int, rows: Iterable[Comment]) -> bool:
        """Whether changed comments of an issue are state comments, or were."""
        known = self._memory.known(Place(repository=self._repository.name, number=number))
        ids = {comment.id for comment in known.comments}
        return any(looks_like_ours(comment.body) or comment.id in ids for comment in rows)

    def _fetch_missing(self, documents: dict[int, Any], wanted: set[int]) -> Parked | Failed | None:
        """Ask for issues whose comment or card has changed, but which the list does not show."""
        for number in sorted(wanted - documents.keys()):
            answer = self._repository.issue(number)
            if isinstance(answer, Ok) and isinstance(answer.document, dict):
                if is_issue(answer.document):
                    documents[number] = answer.document
            elif isinstance(answer, Parked) or (isinstance(answer, Failed) and answer.kind == "transient"):
                return answer
        return None

    def _forget_missing(self, by_issue: Mapping[int, list[Comment]], now_ms: int) -> None:
        """After a list of all comments: what is known and not in it does not exist, unless we have just written it."""
        for place in list(self._memory.places(self._repository.name)):
            known = self._memory.known(place)
            shown = {comment.id for comment in by_issue.get(place.number, ())}
            if now_ms - known.wrote_ms < LAG_MS:
                continue
            self._memory.keep(place, known.replace(comments=tuple(one for one in known.comments if one.id in shown)))

    def _tell(self, told: Told, listing: int, cards: Cards | None, fresh: list[Distrust]) -> None:
        self._memory.tell(
            self._repository.name,
            Told(
                listing=listing,
                cards={} if cards is None else cards.statuses(self._repository.name),
                before=told.cards,
                distrusted=(*told.distrusted, *map(_report_key, fresh)),
                distrusted_before=told.distrusted,
            ),
        )


def _rows(pages: Pages | NotModified) -> tuple[Any, ...]:
    return pages.rows if isinstance(pages, Pages) else ()


def _is_whole(pages: Pages | NotModified) -> bool:
    return pages.complete if isinstance(pages, Pages) else True


def _by_issue(rows: Iterable[Any]) -> dict[int, list[Comment]]:
    """Comments by issue; one that cannot be read as a comment is left out."""
    found: dict[int, list[Comment]] = {}
    for row in rows:
        try:
            found.setdefault(number_of(row), []).append(comment_of(row))
        except Corrupt:
            continue
    return found


def _moved_cards(cards: Cards | None, told: Told, repository: str) -> set[int]:
    """Issues whose card shows another status than was last told."""
    if cards is None:
        return set()
    now, before = cards.statuses(repository), told.cards
    return {int(number) for number in {*now, *before} if now.get(number) != before.get(number)}


def _distrusted(chosen: Chosen, task: str) -> list[Distrust]:
    return [
        Distrust(
            task=task,
            where=verdict.comment.url or f"comment {verdict.comment.id}",
            author=f"{verdict.comment.author} ({verdict.comment.author_id})",
            reason=verdict.reason,
        )
        for verdict in chosen.verdicts
        if verdict.reason is not None
    ]


def _report_key(distrust: Distrust) -> str:
    return f"{distrust.where} {distrust.reason}"


def _unreported(distrusted: Iterable[Distrust], told: Told) -> list[Distrust]:
    """Each reason against each comment is reported once."""
    held = set(told.distrusted)
    return [one for one in distrusted if _report_key(one) not in held]


def _next_mark(mark: Mark, issues: Pages | NotModified, comments: Pages | NotModified, *, listing: int) -> Mark:
    """From where to ask next: as far as changes were seen, less the overlap, and never beyond GitHub's own clock."""
    moments = [moment_of(row) for row in (*_rows(issues), *_rows(comments)) if isinstance(row, dict)]
    seen_ms = max(moments, default=None)
    date_ms = issues.date_ms if isinstance(issues, Pages) else None
    newest = [moment for moment in (seen_ms, date_ms) if moment is not None]
    since_ms = mark.since_ms
    if newest and (seen_ms is not None or since_ms is None):
        since_ms = max(since_ms or 0, min(newest) - OVERLAP_MS)
    is_same = since_ms is not None and since_ms == mark.since_ms
    return Mark(
        listing=listing,
        since_ms=since_ms,
        issues_tag=_tag(issues, mark.issues_tag) if is_same else "",
        comments_tag=_tag(comments, mark.comments_tag) if is_same else "",
    )


def _tag(pages: Pages | NotModified, before: str) -> str:
    return pages.tag if isinstance(pages, Pages) else before
