"""Who the credential is to other people: the numeric id under which its comments appear. Remembered on this machine."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from sharedstate.store import Decision, Store
from sharedstate.sync.board import Failed, Parked
from sharedstate.values import Value
from sharedstate_adapters.github.answers import Answer, Ok
from sharedstate_adapters.github.edge import Edge
from sharedstate_adapters.github.items import is_id

COLLECTION: Final = "github-identity"


class Account(Value):
    """An account on GitHub. Id 0: GitHub does not tell us who we are (an Actions token) before the first comment."""

    id: int
    login: str


UNKNOWN: Final = Account(id=0, login="")


class Identity:
    """The account behind an edge; asked for once, then remembered in the local store."""

    def __init__(self, edge: Edge, store: Store) -> None:
        self._edge = edge
        self._store = store
        self._key = f"{edge.base_url.partition('://')[2]} {edge.credential.key}"
        self._known: Account | None = None

    def account(self) -> Account | Parked | Failed:
        """Who we are; `UNKNOWN` where GitHub refuses to say."""
        if self._known is None:
            found = self._store.get(COLLECTION, self._key)
            if found is not None and isinstance(found.value.get("account"), int):
                self._known = Account(id=found.value["account"], login=str(found.value.get("login", "")))
        if self._known is not None:
            return self._known
        asked = self._ask()
        if isinstance(asked, Parked) or (isinstance(asked, Failed) and asked.kind != "forbidden"):
            return asked
        if isinstance(asked, Failed) and asked.detail.startswith("401"):
            return asked
        account = _account(asked)
        if account is None:
            return UNKNOWN
        self.learn(account)
        return account

    def learn(self, account: Account) -> None:
        """GitHub has shown who we are: as the author of what we wrote."""
        if account.id == 0 or account == self._known:
            return
        self._known = account
        document = {"account": account.id, "login": account.login}
        self._store.transact(
            COLLECTION,
            self._key,
            lambda snapshot: Decision(result=None, write=document),
            durability="relaxed",
        )

    def _ask(self) -> Answer:
        if not self._edge.credential.is_app:
            return self._edge.call("GET", "/user")
        answer = self._edge.as_app("/app")
        slug = answer.document.get("slug") if isinstance(answer, Ok) and isinstance(answer.document, dict) else None
        if not isinstance(slug, str):
            return answer
        return self._edge.call("GET", f"/users/{quote(f'{slug}[bot]')}")


def _account(answer: Answer) -> Account | None:
    document = answer.document if isinstance(answer, Ok) else None
    if not isinstance(document, dict) or not is_id(document.get("id")):
        return None
    return Account(id=document["id"], login=str(document.get("login", "")))
