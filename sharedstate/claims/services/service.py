"""The owner guard: shared services, each with one owner. Nobody else stops one, unless by force and on record."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Final

from sharedstate import logs
from sharedstate.claims.audit import Audit
from sharedstate.claims.masking import masked_command
from sharedstate.claims.services import model as m
from sharedstate.claims.services import policy
from sharedstate.claims.services.book import Book, Command
from sharedstate.claims.services.changes import decide_stopping
from sharedstate.claims.services.model import (
    Denied,
    NotStarted,
    ServiceView,
    Started,
    StopAsk,
    Stopped,
    check_name,
    task_of,
)
from sharedstate.claims.services.stopping import Stopping
from sharedstate.claims.services.wishes import Wish
from sharedstate.errors import ClaimRefused, InvalidInput, StoreError, StoreUnavailable
from sharedstate.store import Unreadable
from sharedstate.tasks.service import check_reason
from sharedstate.values import Value

if TYPE_CHECKING:
    from sharedstate.claims.service import Claims
    from sharedstate.claims.services.registration import Registration

_TRIES_MAX: Final = 5
_COMMAND_WORDS_MAX: Final = 1000


Begun = Started | Denied | NotStarted


class Again(Value):
    """What a decision needs to be taken once more: the rights of the lane, and the reason of a force."""

    rights: Collection[str] | None = None
    reason: str | None = None


class Guard:
    """Shared services of one state: `start`, `stop`, `restart`, `status`; `may_run`, `running` for a service itself.

    Methods take `by`, who acts (default: this state's owner), and `rights`: what the caller's lane may do (`start`,
    `stop`, `force`), None for all. A denial is a value, and stands in the trail. Raise `InvalidInput`, `StoreError`,
    `Corrupt` as everywhere.
    """

    def __init__(self, claims: Claims, *, root: str) -> None:
        self._claims = claims
        self._host = claims.host
        self._root = root
        self._audit = Audit(claims.tasks.store)
        self._book = Book(
            tasks=claims.tasks, local_store=claims.local_store, host=claims.host, host_name=claims.host_name
        )
        self._stopping = Stopping(claims, self._book)

    # Looking

    def status(self, name: str) -> ServiceView | None:
        """The service as seen from here, or None when nobody has ever started one of this name. Writes nothing."""
        return self._book.view(check_name(name))

    def all(self) -> list[ServiceView | Unreadable]:
        """Every service, sorted by name, then what could not be read."""
        found = list(self._book.views())
        views = sorted((view for view in found if isinstance(view, ServiceView)), key=lambda view: view.record.name)
        return [*views, *(bad for bad in found if isinstance(bad, Unreadable))]

    def may_run(self, name: str, owner: str | None = None, *, rights: Collection[str] | None = None) -> Denied | None:
        """Why a process must not run as this service now, or None when it may.

        It may not where the service runs already, elsewhere included, or the lane has no right to start a new one. A
        process that `claims service start` has started for this very service may. Only a look: `running` decides.
        """
        checked = check_name(name)
        if self._is_supervised(checked):
            return None
        by = self._claims.owner_of(owner)
        view = self._book.view(checked)
        verdict = policy.decide_start(view, name=checked, by=by, rights=rights, command=(), force=False)
        if isinstance(verdict, Denied):
            return verdict
        if view is not None and view.running:
            detail = f"it runs already, as process {'?' if view.record.process is None else view.record.process.pid}"
            return Denied(
                name=checked,
                action=policy.START,
                code=m.ALREADY_RUNNING,
                detail=detail,
                owner=view.record.owner,
                by=by,
            )
        return None

    def check(self, name: str, owner: str | None = None, *, rights: Collection[str] | None = None) -> None:
        """As `may_run`, but a denial is written into the trail and raised as `ClaimRefused`."""
        denied = self.may_run(name, owner, rights=rights)
        if denied is not None:
            self.told(denied)
            raise refused(denied)

    def running(
        self,
        name: str,
        *,
        owner: str | None = None,
        rights: Collection[str] | None = None,
        command: Sequence[str] = (),
        **options: Any,
    ) -> Registration:
        """`with guard.running("gateway"):` this very process is the service for the length of the block.

        It holds the claim `service:<name>` in the name of the service's owner (its own, for a new service), and
        others can see and, with the right, stop it: SIGTERM to this process alone, SIGKILL after the grace. Under a
        supervisor that has started it for this service, nothing more is done. `options` as in `Hold` (`on_lost` …).
        Entering raises `ClaimRefused` where `may_run` says no, or somebody else was faster.
        """
        from sharedstate.claims.services.registration import Registration

        return Registration(
            self,
            self._claims,
            self._book,
            name=check_name(name),
            by=self._claims.owner_of(owner),
            rights=rights,
            command=masked_command(command),
            supervised=self._is_supervised(name),
            options=options,
        )

    # Starting

    def start(
        self,
        name: str,
        command: Sequence[str] = (),
        *,
        by: str | None = None,
        rights: Collection[str] | None = None,
        force_reason: str | None = None,
        folder: str | None = None,
    ) -> Begun:
        """Start a service, or find that it runs; of any number who ask at once, one process comes out.

        The first to start a service becomes its owner. Anybody may start a known one that does not run: it then runs on
        the owner's behalf, with the owner's command. `command`: the program and its arguments; without one that of the
        last start on this machine, in its folder. `force_reason`: become the owner of one that does not run.
        """
        checked, who = check_name(name), self._claims.owner_of(by)
        words, asked = _check_command(command), Again(rights=rights, reason=_reason(force_reason))
        verdict = self._may_start(checked, who, asked, words)
        if isinstance(verdict, Denied):
            return self.told(verdict)
        if isinstance(verdict, ServiceView):
            return Started(view=verdict, outcome=m.ALREADY_RUNNING)
        chosen = self._chosen(checked, words, folder)
        return self._start(checked, who, verdict, chosen, asked)

    def _may_start(
        self, name: str, by: str, asked: Again, words: tuple[str, ...]
    ) -> policy.Start | Denied | ServiceView:
        view, command = self._book.view(name), masked_command(words)
        force = asked.reason is not None
        return policy.decide_start(view, name=name, by=by, rights=asked.rights, command=command, force=force)

    def _start(self, name: str, by: str, verdict: policy.Start, chosen: Command, again: Again) -> Begun:
        """Wish for it, and once more where another owner came in between; `again` decides then."""
        for _ in range(_TRIES_MAX):
            answer = self._wish(name, by, verdict, chosen, reason=again.reason)
            if answer is not None:
                return self.told(answer) if isinstance(answer, Denied) else answer
            anew = self._may_start(name, by, again, ())
            if isinstance(anew, Denied):
                return self.told(anew)
            if isinstance(anew, ServiceView):
                return Started(view=anew, outcome=m.ALREADY_RUNNING)
            verdict = anew
        raise StoreUnavailable(f"service {name!r} changes its owner again and again", hint="try again")

    def _wish(self, name: str, by: str, verdict: policy.Start, chosen: Command, *, reason: str | None) -> Begun | None:
        """What became of one wish; None when the owner was another by then."""
        from sharedstate.claims.services.starting import supervised

        recipe = self._claims.recipe
        if recipe is None:
            raise InvalidInput("another process could not open this state (its store or machine is a stand-in)")
        wish = Wish(
            opener=recipe.opener,
            arguments=recipe.arguments,
            root=self._root,
            name=name,
            owner=verdict.owner,
            by=by,
            command=chosen.words,
            folder=chosen.folder,
            forced=reason if verdict.previous is not None else None,
        )
        word = supervised(wish, host=self._host)
        if word.outcome == "not_started":
            return NotStarted(name=name, code=word.number, detail=word.detail)
        view = self._book.view(name)
        owner = "" if view is None else view.record.owner
        if word.outcome == "denied":
            return Denied(
                name=name,
                action=policy.START,
                code=word.code,
                detail=word.detail,
                owner=owner,
                by=by,
                retryable=word.retryable,
            )
        if word.outcome == "other_owner" or view is None:
            return None
        return Started(view=view, outcome=word.outcome, recovery=by != owner)

    def _chosen(self, name: str, words: tuple[str, ...], folder: str | None) -> Command:
        """What to run: as given, or as last time on this machine."""
        if words:
            return Command(words=words, folder=os.path.abspath(folder or os.getcwd()))
        known = self._book.command(name)
        if known is None:
            raise InvalidInput(
                f"service {name!r} was never started on this machine: say what to run", hint="put the program behind --"
            )
        return known

    # Stopping

    def stop(
        self,
        name: str,
        *,
        by: str | None = None,
        rights: Collection[str] | None = None,
        force_reason: str | None = None,
        grace_ms: int = m.GRACE_MS,
        action: str = policy.STOP,
    ) -> Stopped | Denied | None:
        """Stop a service; None when there is none of this name.

        Only its owner may, or with `force_reason` anybody, on record. The program's session gets SIGTERM, after
        `grace_ms` (0 to 600,000) SIGKILL; this returns when nobody is left of it. On another host: denied.
        """
        checked, who, reason = check_name(name), self._claims.owner_of(by), _reason(force_reason)
        if isinstance(grace_ms, bool) or not 0 <= grace_ms <= m.GRACE_MS_MAX:
            raise InvalidInput(f"grace must be from 0 to {m.GRACE_MS_MAX} ms, not {grace_ms!r}")
        asked = Again(rights=rights, reason=reason)
        for _ in range(_TRIES_MAX):
            view = self._book.view(checked)
            if view is None:
                return None
            answer = self._stop(view, who, asked, grace_ms=grace_ms, action=action)
            if answer is not None:
                return self.told(answer) if isinstance(answer, Denied) else answer
        raise StoreUnavailable(f"service {checked!r} changes again and again", hint="try again")

    def _stop(self, view: ServiceView, by: str, asked: Again, *, grace_ms: int, action: str) -> Stopped | Denied | None:
        """Stop what was seen; None when it has changed since."""
        record = view.record
        denied = policy.decide_stop(view, action=action, by=by, rights=asked.rights, force=asked.reason is not None)
        if denied is not None:
            return denied
        if view.state == m.UNKNOWN:
            detail = f"{view.detail}; do it there"
            return Denied(name=record.name, action=action, code=m.OTHER_HOST, detail=detail, owner=record.owner, by=by)
        if not view.running:
            self._stopping.bury(record)
            return Stopped(view=self._book.view(record.name) or view, outcome="not_running")
        ask = StopAsk(
            by=by,
            reason=asked.reason or "",
            forced=by != record.owner,
            at_ms=self._host.now().at_ms,
            grace_ms=grace_ms,
        )
        if not self._book.change(
            record.name, lambda snapshot: decide_stopping(snapshot, seen=record, ask=ask, action=action)
        ):
            return None
        return self._stopping.carry_out(record, ask, action=action)

    def restart(
        self,
        name: str,
        command: Sequence[str] = (),
        *,
        by: str | None = None,
        rights: Collection[str] | None = None,
        force_reason: str | None = None,
        grace_ms: int = m.GRACE_MS,
        folder: str | None = None,
    ) -> Begun | None:
        """Stop and start a service, with a new command or the old one. Who may stop it may restart it.

        By force it goes on running on its owner's behalf. None when there is no service of this name.
        """
        checked = check_name(name)
        words = _check_command(command)
        if self._book.view(checked) is None:
            return None
        chosen = self._chosen(checked, words, folder)  # before the stop: what cannot be started stays up
        _check_executable(chosen)
        stopped = self.stop(
            checked, by=by, rights=rights, force_reason=force_reason, grace_ms=grace_ms, action=policy.RESTART
        )
        if stopped is None or isinstance(stopped, Denied):
            return stopped
        verdict = policy.Start(owner=stopped.view.record.owner)
        who = self._claims.owner_of(by)
        return self._start(checked, who, verdict, chosen, Again(rights=rights))

    def _elsewhere(self, view: ServiceView, *, action: str, by: str) -> Denied:
        detail = f"{view.detail}; do it there"
        owner = view.record.owner
        return Denied(name=view.record.name, action=action, code=m.OTHER_HOST, detail=detail, owner=owner, by=by)

    # Inside

    def told(self, denied: Denied) -> Denied:
        """The denial, written into the trail where it is about rights. A store that is away does not undo it."""
        if denied.code not in m.ABOUT_RIGHTS:
            return denied
        facts = {"action": denied.action, "code": denied.code, "detail": denied.detail, "owner": denied.owner or None}
        try:
            self._audit.record("service_denied", about=task_of(denied.name), by=denied.by, **facts)
        except StoreError as error:
            logs.warn("a denial about service %r is not in the trail: %s", denied.name, error)
        return denied

    def _is_supervised(self, name: str) -> bool:
        """Whether this process was started as this service: it is in the session of the recorded program."""
        record = self._book.record(name)
        if record is None or record.process is None or record.supervisor is None or record.state not in m.ACTIVE:
            return False
        if not self._book.lives(record.process):
            return False
        return self._host.pid() in [process.pid for process in self._host.family(record.process.pid)]


def refused(denied: Denied) -> ClaimRefused:
    """The denial as an exception, for a process that cannot go on."""
    owner = f" (owner {denied.owner})" if denied.owner else ""
    return ClaimRefused(f"service {denied.name}: {denied.code}: {denied.detail}{owner}", reason=denied.code)


def _reason(reason: str | None) -> str | None:
    return None if reason is None else check_reason(reason)


def _check_command(command: Sequence[str]) -> tuple[str, ...]:
    words = tuple(command)
    if len(words) > _COMMAND_WORDS_MAX or any("\0" in word for word in words):
        raise InvalidInput(f"a command has at most {_COMMAND_WORDS_MAX} words, without NUL")
    return words


def _check_executable(command: Command) -> None:
    import shutil

    name = command.words[0]
    if shutil.which(os.path.join(command.folder, name) if "/" in name else name) is None:
        raise InvalidInput(f"{name}: no such program; nothing was stopped")
