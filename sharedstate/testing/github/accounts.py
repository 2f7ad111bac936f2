"""Answers about accounts, rights, repositories and Apps."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from sharedstate.testing.github.call import Call, Refusal, Route, answer, not_found
from sharedstate.testing.github.render import iso, permissions
from sharedstate.testing.github.state import RIGHTS, WRITE, App, Identity
from sharedstate.testing.github.wire import Response

_TOKEN_S: Final = 3600
_JWT_S_MAX: Final = 660
# What collaborators with in-between roles are called where only the old words are known.
_OLD_WORDS: Final = {"maintain": "write", "triage": "read"}


def get_viewer(call: Call) -> Response:
    """The account of the token."""
    account = call.account()
    if call.identity is not None and call.identity.app:
        raise Refusal(403, "Resource not accessible by integration")
    return answer(call.view.profile(account, own=True))


def get_user(call: Call) -> Response:
    """An account by its login."""
    account = call.state.accounts.get(call.argument("username").lower())
    if account is None:
        raise not_found()
    return answer(call.view.profile(account, own=False))


def get_user_by_id(call: Call) -> Response:
    """An account by its number."""
    wanted = call.number("account_id")
    for account in call.state.accounts.values():
        if account.id == wanted:
            return answer(call.view.profile(account, own=False))
    raise not_found()


def get_repo(call: Call) -> Response:
    """A repository."""
    repo = call.repo()
    return answer(call.view.repo(repo, call.state.level(call.viewer, repo)))


def get_permission(call: Call) -> Response:
    """The rights of a user in a repository; only for those who may write to it."""
    repo = call.repo()
    call.account()
    if not call.may(WRITE, repo):
        raise Refusal(403, "Must have push access to view collaborator permission.")
    account = call.state.accounts.get(call.argument("username").lower())
    if account is None:
        raise Refusal(404, f"{call.argument('username')} is not a user")
    level = call.state.level(account, repo)
    role = RIGHTS[level]
    user = {**call.view.user(account), "permissions": permissions(level), "role_name": role}
    return answer({"permission": _OLD_WORDS.get(role, role), "role_name": role, "user": user})


def check_collaborator(call: Call) -> Response:
    """204 when the user is a collaborator, else 404."""
    repo = call.repo()
    call.need(WRITE, repo, message="Must have push access to view repository collaborators.")
    account = call.state.accounts.get(call.argument("username").lower())
    if account is None or (account is not repo.owner and account.login.lower() not in repo.rights):
        raise not_found()
    return Response(status=204)


def rate_limit(call: Call) -> Response:
    """What is left of the limits; costs nothing."""
    core = call.budget.document()
    idle = {"limit": 30, "remaining": 30, "reset": call.now_s + 60, "used": 0, "resource": "search"}
    return answer({"resources": {"core": core, "search": idle}, "rate": core})


# Apps


def _app(call: Call) -> App:
    """The App that signed the token. The signature is not verified, the claims are."""
    claims = _claims(call.request.header("authorization") or "")
    app = call.state.app
    if claims is None or app is None:
        raise Refusal(401, "A JSON web token could not be decoded")
    if str(claims.get("iss")) not in (str(app.id), f"Iv1.{app.id:016x}"):
        raise Refusal(404, "Integration not found")
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int) or not isinstance(expires, int):
        raise Refusal(401, "Missing 'issued at' claim ('iat') in assertion")
    if expires - issued > _JWT_S_MAX:
        raise Refusal(401, "'Expiration time' claim ('exp') is too far in the future")
    return app


def _claims(authorization: str) -> dict[str, Any] | None:
    token = authorization.rpartition(" ")[2]
    if token.count(".") != 2:
        return None
    middle = token.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except ValueError:
        return None
    return claims if isinstance(claims, dict) else None


def get_app(call: Call) -> Response:
    """The App itself."""
    return answer(call.view.app(_app(call)))


def get_installation(call: Call) -> Response:
    """The installation by its number."""
    return answer(call.view.installation(_installed(call)))


def find_installation(call: Call) -> Response:
    """The installation on a repository, an organization or a user."""
    app = _app(call)
    if "repo" in call.arguments:
        if call.state.repo(f"{call.argument('owner')}/{call.argument('repo')}") is None:
            raise not_found()
        return answer(call.view.installation(app))
    login = (call.arguments.get("org") or call.argument("username")).lower()
    if login not in {repo.owner.login.lower() for repo in call.state.repos.values()}:
        raise not_found()
    return answer(call.view.installation(app))


def create_access_token(call: Call) -> Response:
    """A token of the installation, good for an hour of the fake's clock."""
    app = _installed(call)
    wished = call.body().get("permissions") or {"issues": "write", "metadata": "read"}
    number = sum(token.startswith("ghs_") for token in call.state.identities) + 1
    token, expires_s = f"ghs_{number:036d}", call.now_s + _TOKEN_S
    call.state.identities[token] = Identity(
        account=app.bot,
        key=f"installation-{app.installation_id}",
        app=True,
        writes=wished.get("issues") == "write",
        expires_s=expires_s,
    )
    document = {
        "token": token,
        "expires_at": iso(expires_s),
        "permissions": wished,
        "repository_selection": "all",
    }
    return answer(document, status=201)


def list_installed_repos(call: Call) -> Response:
    """The repositories that a token of an installation reaches."""
    call.account()
    if call.identity is None or not call.identity.app:
        raise Refusal(
            403,
            "You must authenticate with an installation access token in order to list repositories for an"
            " installation.",
        )
    repos = [call.view.listed_repo(repo, call.state.level(call.viewer, repo)) for repo in call.state.repos.values()]
    return answer({"total_count": len(repos), "repositories": repos})


def _installed(call: Call) -> App:
    app = _app(call)
    if call.number("installation_id") != app.installation_id:
        raise not_found()
    return app


_REPO = "/repos/{owner}/{repo}"
ROUTES: tuple[Route, ...] = (
    ("GET", "/rate_limit", rate_limit),
    ("GET", "/user", get_viewer),
    ("GET", "/user/{account_id}", get_user_by_id),
    ("GET", "/users/{username}", get_user),
    ("GET", _REPO, get_repo),
    ("GET", f"{_REPO}/collaborators/{{username}}/permission", get_permission),
    ("GET", f"{_REPO}/collaborators/{{username}}", check_collaborator),
    ("GET", f"{_REPO}/installation", find_installation),
    ("GET", "/orgs/{org}/installation", find_installation),
    ("GET", "/users/{username}/installation", find_installation),
    ("GET", "/app", get_app),
    ("GET", "/app/installations/{installation_id}", get_installation),
    ("POST", "/app/installations/{installation_id}/access_tokens", create_access_token),
    ("GET", "/installation/repositories", list_installed_repos),
)
