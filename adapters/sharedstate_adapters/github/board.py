"""`GitHubBoard`: the board that the sync engine sees, over issues, their state comments, labels and project cards."""

from __future__ import annotations

from typing import Final

from sharedstate.ids import fingerprint
from sharedstate.store import Store
from sharedstate.sync.board import Conflict, Failed, Item, Listing, Parked, Written
from sharedstate.sync.model import RemoteRecord
from sharedstate.values import Value
from sharedstate_adapters.github.answers import Ok
from sharedstate_adapters.github.edge import Edge
from sharedstate_adapters.github.identity import Identity
from sharedstate_adapters.github.items import is_issue
from sharedstate_adapters.github.keys import Handle, Keys, Place
from sharedstate_adapters.github.labels import Labels
from sharedstate_adapters.github.listing import Found, Lister, Mark, dump_cursor, load_cursor
from sharedstate_adapters.github.memory import Memory
from sharedstate_adapters.github.projects import Cards, Project
from sharedstate_adapters.github.repository import Repository
from sharedstate_adapters.github.trust import Rules
from sharedstate_adapters.github.writing import Draft, Moved, StateComments

_NO_ISSUE: Final = "{task} is no task of an issue in the repositories of this board"


class Look(Value):
    """How a board is set up; see docs/settings.md for what each means. `read_only` refuses every write."""

    repositories: tuple[str, ...]
    pattern: str = "GH-{number}"
    prefix: str = "sharedstate:"
    rules: Rules = Rules()
    project: str = ""
    details_url: str = ""
    assign: bool = False
    read_only: bool = False


class Desk:
    """Everything about one repository of the board."""

    def __init__(self, board: Edge, memory: Memory, identity: Identity, *, name: str, keys: Keys, look: Look) -> None:
        self.repository = Repository(board, name)
        self.comments = StateComments(
            self.repository,
            memory,
            identity,
            rules=look.rules,
            details_url=look.details_url,
            now=board.now_ms,
        )
        self.lister = Lister(
            self.repository, memory, self.comments, keys=keys, prefix=look.prefix, tidies=not look.read_only
        )
        self.labels = Labels(self.repository, memory, prefix=look.prefix)


class GitHubBoard:
    """The port `sharedstate.sync.board.Board` over GitHub. One thread at a time.

    Every call returns by the edge's deadline for each request it needs, never sleeps, and raises nothing expected.
    """

    def __init__(self, edge: Edge, local: Store, look: Look) -> None:
        self.edge = edge
        self.keys = Keys(home=look.repositories[0], pattern=look.pattern)
        self.memory = Memory(local, api=edge.base_url)
        self.identity = Identity(edge, local)
        self._look = look
        self._desks: dict[str, Desk] = {}
        self._project = Project(edge, self.memory, name=look.project) if look.project else None
        # Whoever trusts or shows something else has to look at everything anew.
        trusted = sorted(look.rules.authors), [key.key_id for key in look.rules.keys]
        told = f"{edge.base_url} {look.pattern} {look.prefix} {look.project} {trusted}"
        self._configured = fingerprint(told.encode(), size=8)

    @property
    def name(self) -> str:
        """The home repository, `owner/name`."""
        return self.keys.home

    @property
    def repositories(self) -> tuple[str, ...]:
        """Every repository that is listed, home first."""
        return self._look.repositories

    def list(self, *, cursor: str | None) -> Listing | Parked | Failed:
        """Items changed since `cursor` (all when None), over all repositories, each paged to the end."""
        marks = load_cursor(cursor, configured=self._configured)
        cards = self._cards(fresh=True)
        if isinstance(cards, Parked | Failed):
            return cards
        found: list[Found] = []
        for name in self.repositories:
            one = self._desk(name).lister.read(marks.get(name, Mark()), cards=cards, now_ms=self.edge.now_ms())
            if isinstance(one, Parked | Failed):
                return one
            found.append(one)
        fresh = {name: one.mark for name, one in zip(self.repositories, found, strict=True)}
        return Listing(
            items=tuple(item for one in found for item in one.items),
            cursor=dump_cursor(fresh, configured=self._configured),
            complete=all(one.complete for one in found),
            full=all(one.full for one in found),
            distrusted=tuple(distrust for one in found for distrust in one.distrusted),
        )

    def get(self, task: str) -> Item | Parked | Failed:
        """One item, read afresh with all its comments; `Failed("gone")` when the task lives on no issue."""
        place = self.place_of(task)
        if place is None:
            return Failed(kind="gone", detail=_NO_ISSUE.format(task=ascii(task)))
        desk = self._desk(place.repository)
        answer = desk.repository.issue(place.number)
        if isinstance(answer, Parked | Failed):
            return answer
        if not isinstance(answer, Ok) or not is_issue(answer.document):
            return Failed(kind="gone", detail=f"{place} is no issue")
        chosen = desk.comments.read(place, task)
        if isinstance(chosen, Parked | Failed):
            return chosen
        cards = self._cards(fresh=False)
        if isinstance(cards, Parked | Failed):
            return cards
        return desk.lister.item(place, answer.document, chosen=chosen, cards=cards)

    def write(self, item: Item, record: RemoteRecord) -> Written | Conflict | Parked | Failed:
        """Make the state comment say `record`; its revision is counted up here, and it is read back.

        `Conflict` when what counts on the board is not `item.record`, or the comment has a higher fence than `record`.
        """
        handle = self._handle(item)
        if handle is None or self._look.read_only:
            return self._refused(item)
        draft = Draft(
            place=handle.place,
            task=item.task,
            record=record,
            known_revision=0 if item.record is None else item.record.revision,
            comment_id=handle.comment_id,
        )
        result = self._desk(handle.place.repository).comments.write(draft)
        if isinstance(result, Parked | Failed):
            return result
        chosen = result.chosen if isinstance(result, Moved) else result
        comment_id = 0 if chosen.comment is None else chosen.comment.id
        written_ms = 0 if chosen.comment is None else chosen.comment.updated_ms
        now = item.replace(
            record=chosen.record,
            handle=handle.replace(comment_id=comment_id).text(),
            updated_ms=max(item.updated_ms, written_ms),
        )
        return Conflict(item=now) if isinstance(result, Moved) else Written(item=now)

    def label(self, item: Item, labels: frozenset[str]) -> Written | Parked | Failed:
        """Add and remove our own labels by the difference to `item.labels`; `ignore` stays, others are not touched."""
        handle = self._handle(item)
        if handle is None or self._look.read_only:
            return self._refused(item)
        result = self._desk(handle.place.repository).labels.put(item, handle.place, labels)
        if isinstance(result, Parked | Failed):
            return result
        if self._look.assign and (item.labels ^ labels) & {"claimed", "working", "stale"}:
            refused = self.assign(item, wanted=bool(labels & {"claimed", "working", "stale"}))
            if refused is not None:
                return refused
        return Written(item=result, changed=result.labels != item.labels)

    def assign(self, item: Item, *, wanted: bool) -> Parked | Failed | None:
        """Assign our own account to the issue, or no longer; nobody else's assignment is touched."""
        handle = self._handle(item)
        account = self.identity.account()
        if isinstance(account, Parked | Failed):
            return account
        if handle is None or not account.login:
            return None
        answer = self._desk(handle.place.repository).repository.assign(
            handle.place.number, account.login, wanted=wanted
        )
        # Whom GitHub does not let be assigned (an App, a reader) goes without.
        refused = isinstance(answer, Failed) and answer.kind in ("forbidden", "gone", "conflict")
        return None if refused or not isinstance(answer, Parked | Failed) else answer

    def move(self, item: Item, status: str) -> Written | Conflict | Parked | Failed:
        """Move the issue's card to `status`; nothing where there is no project, no card, or no such status."""
        handle = self._handle(item)
        if handle is None or self._look.read_only:
            return self._refused(item)
        if self._project is None:
            return Written(item=item, changed=False)
        return self._project.move(item, handle.card_id, status)

    def place_of(self, task: str) -> Place | None:
        """The issue of a task, if it is in one of the board's repositories and the task is the issue's one name.

        Another repository is never written to, however a task is called; nor does one issue go by two names.
        """
        place = self.keys.place_of(task)
        known = place is not None and place.repository in self.repositories and self.keys.task_of(place) == task
        return place if known else None

    def desk(self, place: Place) -> Desk:
        """Everything about the repository of an issue."""
        return self._desk(place.repository)

    def close(self) -> None:
        """Give the connection back."""
        self.edge.close()

    def _desk(self, repository: str) -> Desk:
        found = self._desks.get(repository.lower())
        if found is None:
            found = Desk(self.edge, self.memory, self.identity, name=repository, keys=self.keys, look=self._look)
            self._desks[repository.lower()] = found
        return found

    def _handle(self, item: Item) -> Handle | None:
        return None if self.place_of(item.task) is None else self.keys.handle_of(item.task, item.handle)

    def _cards(self, *, fresh: bool) -> Cards | Parked | Failed | None:
        return None if self._project is None else self._project.cards(fresh=fresh)

    def _refused(self, item: Item) -> Failed:
        if self._look.read_only:
            return Failed(kind="forbidden", detail="this board is opened for reading only")
        return Failed(kind="gone", detail=_NO_ISSUE.format(task=ascii(item.task)))
