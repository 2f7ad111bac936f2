"""GitHub's request limits, counted per token: the primary one per hour, and the secondary ones where asked for."""

from __future__ import annotations

from collections import deque
from typing import Final, Literal

from sharedstate.values import Value

HOUR_S: Final = 3600
Verdict = Literal["primary", "points", "creations"]


class Limits(Value):
    """How much a token may do: requests, points (read 1, write 5), creations of content; None is no limit."""

    per_hour: int = 5000
    anonymous_per_hour: int = 60
    points_per_minute: int | None = None
    creations_per_minute: int | None = None
    creations_per_hour: int | None = None


# What GitHub documents. Secondary limits count by the clock, so a test that keeps them must let time pass.
GITHUB_LIMITS: Final = Limits(points_per_minute=900, creations_per_minute=80, creations_per_hour=500)


class Budget:
    """What one token has used of its limits."""

    def __init__(self, *, limit: int, limits: Limits) -> None:
        self.limit = limit
        self.used = 0
        self.reset_s = 0
        self.wait_until_ms = 0
        self._limits = limits
        self._points: deque[tuple[int, int]] = deque(maxlen=10_000)
        self._creations: deque[int] = deque(maxlen=10_000)

    @property
    def remaining(self) -> int:
        """Requests left in this window."""
        return max(0, self.limit - self.used)

    def document(self) -> dict[str, int | str]:
        """The budget as `GET /rate_limit` shows it."""
        return {
            "limit": self.limit,
            "remaining": self.remaining,
            "reset": self.reset_s,
            "used": self.used,
            "resource": "core",
        }

    def roll(self, now_s: int) -> None:
        """Start a new window when the old one has ended."""
        if now_s >= self.reset_s:
            self.used, self.reset_s = 0, now_s + HOUR_S

    def exhaust(self, *, reset_s: int) -> None:
        """Use up the window, which ends at `reset_s`."""
        self.used, self.reset_s = self.limit, reset_s

    def verdict(self, now_s: int, *, points: int, creates: bool) -> Verdict | None:
        """Which limit forbids one more request, if any; counts the points and creations of an allowed one."""
        if self.used >= self.limit:
            return "primary"
        while self._points and self._points[0][0] <= now_s - 60:
            self._points.popleft()
        while self._creations and self._creations[0] <= now_s - HOUR_S:
            self._creations.popleft()
        allowed = self._limits.points_per_minute
        if allowed is not None and sum(cost for _, cost in self._points) + points > allowed:
            return "points"
        if creates and self._too_many_creations(now_s):
            return "creations"
        self._points.append((now_s, points))
        if creates:
            self._creations.append(now_s)
        return None

    def _too_many_creations(self, now_s: int) -> bool:
        minute = sum(at_s > now_s - 60 for at_s in self._creations)
        per_minute, per_hour = self._limits.creations_per_minute, self._limits.creations_per_hour
        return (per_minute is not None and minute >= per_minute) or (
            per_hour is not None and len(self._creations) >= per_hour
        )
