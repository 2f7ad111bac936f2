"""The one issue that keeps what stands on no issue of its own: tasks with free names, scopes. Made on demand.

It is found by its label, counts only when a trusted author opened it, and the lowest number stays where two machines
made one at the same moment.
"""

from __future__ import annotations

from typing import Any, Final

from sharedstate.errors import StoreUnavailable
from sharedstate.store import Decision, Store
from sharedstate.sync.board import Failed
from sharedstate_adapters.github.answers import Answer, Ok
from sharedstate_adapters.github.issue_log import IssueLog, Patience
from sharedstate_adapters.github.items import comment_of

TITLE: Final = "Shared state of the fleet"
MARKER: Final = "<!-- sharedstate-store-issue schema=1 -->"
_TEXT: Final = (
    "The comments below are records of claims that belong to no issue. Machines write and remove them; "
    "please leave them alone, and keep this issue. Closing it is fine."
)
_COLLECTION: Final = "github-store-issue"
_LOOKS_MAX: Final = 6


class StoreIssue:
    """Finds or makes the store issue of one repository, and remembers its number on this machine."""

    def __init__(self, log: IssueLog, local: Store, *, label: str, settle_s: float) -> None:
        self._log = log
        self._local = local
        self._label = label
        self._settle_s = settle_s
        self._key = f"{log.edge.base_url.partition('://')[2]} {log.name.lower()}"
        self._number: int | None = None

    def find(self, patience: Patience) -> int | None:
        """Its number; None when there is none yet."""
        if self._number is None:
            held = self._local.get(_COLLECTION, self._key)
            number = None if held is None else held.value.get("number")
            self._number = number if isinstance(number, int) else None
        if self._number is None:
            found = self._look(patience)
            if found:
                self._keep(found[0])
        return self._number

    def make(self, patience: Patience) -> int:
        """Its number; the issue is opened if there is none. Raises `StoreUnavailable`."""
        number = self.find(patience)
        if number is not None:
            return number
        body = f"{MARKER}\n\n{_TEXT}\n"
        document = {"title": TITLE, "body": body, "labels": [self._label]}
        answer = self._log.answered(
            lambda: self._log.edge.call("POST", self._path, body=document, notifies=True), patience, what=self._log.name
        )
        if isinstance(answer, Failed) and not answer.applied:
            raise StoreUnavailable(f"GitHub, {self._log.name}: cannot open the store issue: {answer.detail}")
        own = answer.document.get("number") if isinstance(answer, Ok) and isinstance(answer.document, dict) else None
        chosen = self._settled(own, patience)
        if isinstance(own, int) and own != chosen:
            self._close(own, patience)
        self._keep(chosen)
        return chosen

    @property
    def _path(self) -> str:
        return f"/repos/{self._log.name}/issues"

    def _settled(self, own: int | None, patience: Patience) -> int:
        """The lowest number, once two looks in a row agree and our own is among them."""
        before: list[int] = []
        for _ in range(_LOOKS_MAX):
            found = self._look(patience)
            if found and found == before and own in (None, *found):
                return found[0]
            before = found
            patience.nap(self._settle_s, why="the store issue is settling")
        raise StoreUnavailable(
            f"GitHub, {self._log.name}: the store issue does not show up under its label {self._label}",
            hint="the token needs the right to label issues (triage or more)",
        )

    def _look(self, patience: Patience) -> list[int]:
        query = {"labels": self._label, "state": "all", "sort": "created", "direction": "asc"}
        answer = self._log.answered(
            lambda: self._log.edge.call("GET", self._path, query=query), patience, what=self._log.name
        )
        if not isinstance(answer, Ok):
            detail = answer.detail if isinstance(answer, Failed) else "no list"
            raise StoreUnavailable(f"GitHub, {self._log.name}: {detail}")
        rows = answer.document if isinstance(answer.document, list) else []
        return sorted(row["number"] for row in rows if self._is_ours(row, patience))

    def _is_ours(self, row: Any, patience: Patience) -> bool:
        marked = isinstance(row, dict) and isinstance(row.get("number"), int) and "pull_request" not in row
        if not marked or not str(row.get("body") or "").startswith(MARKER):
            return False
        return isinstance(row.get("id"), int) and self._log.trusts(comment_of(row), patience)

    def _close(self, number: int, patience: Patience) -> None:
        def close() -> Answer:
            body = {"state": "closed", "state_reason": "not_planned"}
            return self._log.edge.call("PATCH", f"{self._path}/{number}", body=body)

        self._log.answered(close, patience, what=f"#{number}")

    def _keep(self, number: int) -> None:
        self._number = number
        self._local.transact(
            _COLLECTION, self._key, lambda _: Decision(result=None, write={"number": number}), durability="relaxed"
        )
