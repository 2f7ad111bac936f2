"""The life cycle of one task as a person would explain it: a second, tiny implementation to compare with."""

from __future__ import annotations

from typing import Final

RETRIES_MAX: Final = 2
TTL_MS: Final = 30_000
ENDED: Final = ("complete", "failed", "abandoned")


class ModelTask:
    """What is true of one task. Moments are milliseconds of a clock that nobody steps."""

    def __init__(self) -> None:
        self.status = "new"
        self.owner = ""
        self.fence = 0
        self.seen_ms = 0
        self.bound: int | None = None
        self.urgent = False
        self.attempts = 0
        self.retries = 0
        self.ignored = False

    def is_stale(self, now_ms: int) -> bool:
        return now_ms - self.seen_ms > TTL_MS

    def claim(
        self,
        owner: str,
        *,
        has_token: bool,
        process: int | None,
        dead: frozenset[int],
        force: bool,
        reopen: bool,
        urgent: bool,
        coordinator: bool,
        now_ms: int,
    ) -> str:
        """The outcome or the reason. `process` is set for a bound claim; `urgent` means priority 0."""
        answer = self._claim(
            owner, has_token, process, dead, force=force, reopen=reopen, urgent=urgent and coordinator, now_ms=now_ms
        )
        if answer in ("claimed", "taken_over", "reclaimed"):
            self.urgent = urgent
        return answer

    def _claim(
        self,
        owner: str,
        has_token: bool,
        process: int | None,
        dead: frozenset[int],
        *,
        force: bool,
        reopen: bool,
        urgent: bool,
        now_ms: int,
    ) -> str:
        if self.ignored:
            return "task_ignored"
        if self.status == "claimed":
            is_dead = self.bound in dead
            gone = is_dead or self.is_stale(now_ms)
            if self.owner == owner:
                return self._claim_own(has_token, process, is_dead=is_dead, gone=gone, now_ms=now_ms)
            if not (gone or force or (urgent and not self.urgent)):
                return "existing_owner_active"
            if self.retries >= RETRIES_MAX and not force:
                return "max_retries_exceeded"
            return self._begin("taken_over", owner, process, now_ms, retries=self.retries + 1)
        if reopen and self.status in ENDED:
            return self._begin("claimed", owner, process, now_ms, retries=0)
        if self.status == "complete":
            return "task_already_complete"
        if self.status == "new":
            return self._begin("claimed", owner, process, now_ms, retries=self.retries)
        if self.retries >= RETRIES_MAX:
            return "max_retries_exceeded"
        return self._begin("claimed", owner, process, now_ms, retries=self.retries + 1)

    def _claim_own(self, has_token: bool, process: int | None, *, is_dead: bool, gone: bool, now_ms: int) -> str:
        held_elsewhere = self.bound is not None and self.bound != process
        if held_elsewhere and not gone and (process is not None or not has_token):
            return "existing_owner_active"
        if has_token and not is_dead and process in (None, self.bound):
            self.seen_ms = now_ms
            return "already_owned"
        self.fence += 1
        self.seen_ms, self.bound = now_ms, process
        return "reclaimed"

    def _begin(self, outcome: str, owner: str, process: int | None, now_ms: int, *, retries: int) -> str:
        self.status, self.owner, self.bound, self.seen_ms = "claimed", owner, process, now_ms
        self.fence += 1
        self.attempts += 1
        self.retries = retries
        return outcome

    def renew(self, owner: str, *, has_token: bool, now_ms: int) -> bool:
        """Whether the claim is kept."""
        kept = self.status == "claimed" and self.owner == owner and has_token
        if kept:
            self.seen_ms = now_ms
        return kept

    def release(self, owner: str, status: str, *, has_token: bool, wrong_token: bool) -> bool:
        """Whether the attempt has ended so. `wrong_token`: one is shown, but it is that of an earlier attempt."""
        if self.status == status and self.owner == owner:
            return not wrong_token
        if self.status != "claimed" or self.owner != owner or not has_token:
            return False
        self.status = status
        return True

    def sweep(self, now_ms: int, *, dead: frozenset[int]) -> bool:
        """Whether the attempt was ended."""
        if self.status != "claimed" or not (self.bound in dead or self.is_stale(now_ms)):
            return False
        self.status = "abandoned"
        return True

    def reopen(self) -> bool:
        """Whether it was ended and is new again."""
        if self.status not in ENDED:
            return False
        self.status, self.retries = "new", 0
        return True
