"""`with claims.hold("T-1") as claim:` a claim for the length of a block, renewed meanwhile, released at its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from sharedstate import logs
from sharedstate.claims.orders import Answer, Order, renewed
from sharedstate.claims.requests import exit_code_of
from sharedstate.clock import Instant, age_between
from sharedstate.errors import (
    ClaimLost,
    ClaimRefused,
    ForkedStore,
    InvalidInput,
    SharedStateError,
    StoreUnavailable,
)
from sharedstate.host import Host
from sharedstate.ids import check_id
from sharedstate.tasks.model import ABANDONED, COMPLETE, FAILED
from sharedstate.tasks.outcomes import EXISTING_OWNER_ACTIVE, Claimed, Kept, Lost, Refused

if TYPE_CHECKING:
    from sharedstate.claims.service import Claims

Status = Literal["kept", "unverifiable", "lost", "released"]
Callback = Callable[["Hold"], object]
_NEW, _OPEN, _CLOSED = "new", "open", "closed"

# Which tasks this process holds: store, owner, task, pid. The ledgers see one owner in one process and would let two
# threads share the claim; the pid is part of the key because a fork copies the table, not the claims.
_HELD: Final[dict[tuple[str, str, str, int], Hold]] = {}


class Hold:
    """One claim, held by this process while a `with` block runs. Use it once; its methods are safe for threads.

    Entering claims the task, bound to this process, and raises `ClaimRefused` when somebody (another thread of this
    process included) has it. While the block runs the claim is renewed every `heartbeat_interval_ms`, at most every
    third of its ttl. Leaving ends it: as `complete`, or as chosen by `complete`, `fail`, `abandon`; after an
    exception as `failed` with its text in one line; after `KeyboardInterrupt`, `SystemExit` and the like as
    `abandoned`. A claim that was lost is not released, and leaving raises `ClaimLost`, unless the block raises
    something else: its work must not be taken as done.

    `on_lost(hold)` and `on_unverifiable(hold)` are called once for each time it happens, in a background thread or in
    the thread that found out; an exception in them is logged. `renewal`: `auto` (a pacemaker process where possible,
    else a thread, else, on a simulated machine, by hand), `thread`, or `manual`: only `beat` renews.

    What it does not give: between two checks a paused process cannot know that its claim is gone. Pass `fence` along
    with what you write, and let the receiver refuse older ones.
    """

    def __init__(self, claims: Claims, task: str, options: dict[str, Any]) -> None:
        given = dict(options)
        self.task = check_id(task)
        self._claims = claims
        self._host = claims.host
        self._on_lost: Callback | None = given.pop("on_lost", None)
        self._on_unverifiable: Callback | None = given.pop("on_unverifiable", None)
        self._renewal = _check_renewal(given.pop("renewal", "auto"), claims)
        self._options = given
        self._guard = threading.RLock()
        self._gone = threading.Event()
        self._phase = _NEW
        self._pid = claims.host.pid()
        self._number: int | None = None
        self._chosen: tuple[str, str | None] | None = None
        self._confirmed: Instant  # the claim is known to have been ours then
        self._heard: Instant  # when the latest renewal began that was heard of
        self._lost: Lost | None = None
        self._doubt: str | None = None
        self._doubt_told = False

    # What is held

    @property
    def claimed(self) -> Claimed:
        """The claim as it was made. Raises `InvalidInput` before the block."""
        if self._phase == _NEW:
            raise InvalidInput(f"the claim of {self.task!r} begins with the block: use `with`")
        return self._claimed

    @property
    def owner(self) -> str:
        """The canonical owner."""
        return self.claimed.owner

    @property
    def token(self) -> str:
        """The secret of this attempt: whoever has it can renew and release. Hand it to nobody."""
        return self.claimed.token

    @property
    def fence(self) -> int:
        """The fence to send along with every write. It may grow while held, when a degraded claim is accepted."""
        return self._fence if self._phase != _NEW else self.claimed.fence

    @property
    def lost(self) -> bool:
        """Whether the claim is known to be somebody else's, or ended. Final."""
        return self._lost is not None

    @property
    def status(self) -> Status:
        """`kept`, `unverifiable`, `lost`, or `released` after the block.

        Unverifiable: the last renewal could not ask the store, or the ttl has passed since the last confirmation (after
        a suspend, say): somebody else may have the claim.
        """
        if self._is_foreign():
            return "unverifiable"
        if self._phase == _OPEN and self._is_doubtful():
            self._listen()
        if self._lost is not None:
            return "lost"
        if self._phase == _CLOSED:
            return "released"
        return "unverifiable" if self._is_doubtful() else "kept"

    def check(self) -> None:
        """Call before each write: returns only when the claim may be believed now.

        Costs microseconds while it is confirmed; asks the store when the ttl has passed since. Raises `ClaimLost`
        when it is lost (stop), `StoreUnavailable` when the ttl has passed and the store cannot be asked (retryable),
        `ForkedStore` in a fork.
        """
        if self._is_foreign():
            raise ForkedStore(f"the claim of {self.task!r} is held by process {self._pid}")
        if self._phase == _CLOSED:
            raise ClaimLost(f"{self.task}: the block that held it has ended")
        self._listen()
        if self._is_expired():
            self.beat()
        if self._lost is not None:
            raise self._claim_lost()
        if self._is_expired():
            raise StoreUnavailable(f"{self.task}: not confirmed for longer than its ttl: {self._doubt}")

    def beat(self) -> Status:
        """Renew now, whatever the schedule says; returns the status afterwards."""
        if self._phase == _OPEN and not self._is_foreign():
            asked = self._host.now()
            self.hear(asked=asked, answer=renewed(self._claims, self.order()))
            self.announce()
        return self.status

    def wait_lost(self, timeout_s: float) -> bool:
        """Wait until the claim is lost, at most `timeout_s` seconds; True when it is."""
        if self._renewal != "manual":
            return self._gone.wait(timeout_s)
        deadline_s = self._host.monotonic_s() + timeout_s
        while not self.lost and (left_s := deadline_s - self._host.monotonic_s()) > 0:
            self._host.sleep(min(self._interval_ms / 1000, left_s))
            self.beat()
        return self.lost

    # How it ends

    def complete(self) -> None:
        """Choose to end as `complete`; an exception afterwards still ends it as `failed`."""
        self._chosen = None

    def fail(self, error: str) -> None:
        """Choose to end as `failed` with this text (cut at 2,000 characters), however the block is left."""
        self._chosen = (FAILED, error)

    def abandon(self) -> None:
        """Choose to end as `abandoned`: not done, somebody else may go on."""
        self._chosen = (ABANDONED, None)

    # The block

    def __enter__(self) -> Self:
        if self._phase != _NEW or self._is_foreign():
            raise InvalidInput(f"a hold of {self.task!r} is used once, in the process that made it")
        self._key = (_place(self._claims), self._claims.owner_of(self._options.get("owner")), self.task, self._pid)
        if _HELD.setdefault(self._key, self) is not self:
            text = f"{self.task}: held by another thread of this process"
            raise ClaimRefused(text, reason=EXISTING_OWNER_ACTIVE)
        try:
            self._claim()
            if self._renewal != "manual":
                self._number = self._claims.pacing().add(self)
        except BaseException:
            self._withdraw()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_foreign():
            return  # a fork leaves its copy of the block; the claim is its parent's
        self._listen()
        self._close()
        if self._lost is None:
            self._release(error)
        if self._lost is not None and error is None:
            raise self._claim_lost()

    # For the pacing

    def order(self) -> Order:
        """What a pacemaker needs to know to renew this claim."""
        return Order(
            task=self.task,
            owner=self.owner,
            token=self.token,
            interval_ms=self._interval_ms,
            due_ms=self._heard.boot_ms + self._interval_ms,
        )

    def hear(self, *, asked: Instant, answer: Answer) -> None:
        """Take in what a renewal said that began at `asked`, without telling anybody yet: `announce` does.

        Late words about earlier renewals change nothing.
        """
        with self._guard:
            if self._phase != _OPEN or self._lost is not None:
                return
            if isinstance(answer, Lost):
                self._lost = answer
            elif asked.boot_ms >= self._heard.boot_ms:
                self._heard = asked
                self._doubt = None if isinstance(answer, Kept) else answer.detail
            if isinstance(answer, Kept) and asked.boot_ms >= self._confirmed.boot_ms:
                self._confirmed = asked
                self._fence, self._ttl_ms = answer.fence, answer.ttl_ms

    def announce(self) -> None:
        """Tell, once, what has become of the claim: log it and call back, outside of every lock."""
        with self._guard:
            doubtful = self._lost is None and self._phase == _OPEN and self._is_doubtful()
            tell_doubt, self._doubt_told = doubtful and not self._doubt_told, doubtful
            lost = None if self._gone.is_set() else self._lost
            if lost is not None:
                self._gone.set()
        if lost is not None:
            logs.warn("claim of %r lost: %s: %s", self.task, lost.reason, lost.detail)
            self._call(self._on_lost)
        if tell_doubt:
            logs.warn("claim of %r cannot be verified: %s", self.task, self._doubt or "its ttl has passed")
            self._call(self._on_unverifiable)

    def tend(self, *, paced: bool) -> None:
        """Renew if it is high time (`paced`: a pacemaker should have), and say so when the claim cannot be believed."""
        if self._now_ms() >= self._due_ms(paced=paced):
            self.beat()
        self.announce()

    def pause_ms(self, *, paced: bool) -> int:
        """How long until `tend` has something to do, in milliseconds (>= 0)."""
        moments = [self._due_ms(paced=paced)]
        if not self._doubt_told:
            moments.append(self._confirmed.boot_ms + self._ttl_ms + 1)
        return max(0, min(moments) - self._now_ms())

    # Inside

    def _claim(self) -> None:
        asked = self._host.now()  # before the claim, so that we stop believing no later than others may take over
        answer = self._claims.claim(self.task, bind=True, **self._options)
        if isinstance(answer, Refused):
            text = f"{answer.task}: {answer.reason}: {answer.detail}"
            raise ClaimRefused(text, reason=answer.reason, exit_code=exit_code_of(answer.reason))
        self._claimed, self._fence, self._ttl_ms = answer, answer.fence, answer.ttl_ms
        self._confirmed = self._heard = asked
        self._interval_ms = max(1, min(self._claims.settings.heartbeat_interval_ms, answer.ttl_ms // 3))
        self._phase = _OPEN

    def _withdraw(self) -> None:
        """Entering failed or was interrupted: leave nothing held."""
        opened = self._phase == _OPEN
        self._close()
        if opened:
            self._try_release(ABANDONED, None)

    def _close(self) -> None:
        """Stop renewing, so that our own release is not mistaken for a loss."""
        if self._number is not None:
            self._claims.pacing().drop(self._number)
        with self._guard:
            self._phase = _CLOSED
        _HELD.pop(self._key, None)

    def _release(self, error: BaseException | None) -> None:
        if error is not None:
            status, text = self._chosen or _outcome_of(error)
            self._try_release(status, text)
            return
        status, text = self._chosen or (COMPLETE, None)
        self._end(status, text)

    def _try_release(self, status: str, text: str | None) -> None:
        """While an exception is on its way, a release that fails must not take its place: the ttl ends the claim."""
        try:
            self._end(status, text)
        except SharedStateError as fault:
            logs.warn("claim of %r could not be released as %s: %s", self.task, status, fault)

    def _end(self, status: str, text: str | None) -> None:
        claimed = self._claimed
        answer = self._claims.release(self.task, status=status, error=text, owner=claimed.owner, token=claimed.token)
        if isinstance(answer, Lost):
            self._lost = answer
            self.announce()

    def _listen(self) -> None:
        if self._number is not None and self._phase == _OPEN:
            self._claims.pacing().listen()

    def _call(self, callback: Callback | None) -> None:
        if callback is None:
            return
        try:
            callback(self)
        except Exception as error:  # noqa: BLE001 - a foreign callback must not end the renewals
            logs.warn("callback for the claim of %r raised %s: %s", self.task, type(error).__name__, error)

    def _claim_lost(self) -> ClaimLost:
        assert self._lost is not None
        return ClaimLost(f"{self.task}: {self._lost.reason}: {self._lost.detail}")

    def _is_foreign(self) -> bool:
        return self._host.pid() != self._pid

    def _is_doubtful(self) -> bool:
        return self._doubt is not None or self._is_expired()

    def _is_expired(self) -> bool:
        return age_between(since=self._confirmed, now=self._host.now(), skew_ms=0).ms > self._ttl_ms

    def _now_ms(self) -> int:
        return self._host.now().boot_ms

    def _due_ms(self, *, paced: bool) -> int:
        return self._heard.boot_ms + self._interval_ms * (2 if paced else 1)


def _outcome_of(error: BaseException) -> tuple[str, str | None]:
    if not isinstance(error, Exception):
        return ABANDONED, None
    return FAILED, " ".join(f"{type(error).__name__}: {error}".split())


def _check_renewal(renewal: object, claims: Claims) -> str:
    """How to renew. Where only a test moves the time, a thread that waits in real time would renew at random."""
    if renewal not in ("auto", "thread", "manual"):
        raise InvalidInput(f"renewal must be auto, thread or manual, not {renewal!r}")
    if renewal == "auto" and claims.recipe is None and type(claims.host) is not Host:
        return "manual"
    return str(renewal)


def _place(claims: Claims) -> str:
    """What tells the stores of this process apart."""
    if claims.recipe is None:
        return f"object {id(claims.tasks.store)}"
    arguments = claims.recipe.arguments
    return f"{arguments['root']} {arguments['settings']['url']}"
