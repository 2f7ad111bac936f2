"""Path scopes: a claim names what it will touch, and nobody gets a claim that would touch the same."""

from __future__ import annotations

from sharedstate import Claimed, Refused, SharedState


def tell(who: str, answer: Claimed | Refused) -> None:
    """Print what became of a claim."""
    if isinstance(answer, Claimed):
        print(f"{who}: {answer.task} is ours, scope {', '.join(answer.scope)}")
    else:
        print(f"{who}: {answer.task} refused ({answer.reason}): {answer.detail}")


def main() -> None:
    """Three agents, one of them in the way of another."""
    with SharedState.open() as state:
        claims = state.claims
        tell("ann", claims.claim("rename-api", owner="ann", scope=["src/api"]))
        tell("bob", claims.claim("fix-login", owner="bob", scope=["src/api/login.py"]))  # lies within ann's folder
        tell("cleo", claims.claim("new-docs", owner="cleo", scope=["docs", "src/api.md"]))  # only looks alike
        claims.release("rename-api", owner="ann")
        tell("bob", claims.claim("fix-login", owner="bob", scope=["src/api/login.py"]))
        for task, owner in (("fix-login", "bob"), ("new-docs", "cleo")):
            claims.release(task, owner=owner)


if __name__ == "__main__":
    main()
