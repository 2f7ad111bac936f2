"""Who we are to GitHub: a token from the environment or a file, or an installation of a GitHub App.

No secret is ever shown: not in a `repr`, not in an error, not in a log line.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from sharedstate.errors import BadSettings
from sharedstate.ids import fingerprint
from sharedstate.settings import Settings
from sharedstate.values import Value

TOKEN_VARIABLES: Final = ("GITHUB_TOKEN", "GH_TOKEN")
_FILE_BYTES_MAX: Final = 1 << 16


class Credential(Value, hidden=("token", "private_key")):
    """A token, or an App with its installation and private key (PEM). All empty: nobody in particular."""

    token: str = ""
    app_id: str = ""
    installation_id: int = 0
    private_key: str = ""

    @property
    def is_app(self) -> bool:
        """Whether tokens have to be fetched for an App."""
        return bool(self.app_id)

    @property
    def key(self) -> str:
        """What tells credentials apart in our own records, and from which nothing can be learned."""
        known = f"app {self.app_id} {self.installation_id}" if self.is_app else f"token {self.token}"
        return fingerprint(known.encode(), size=8, person=b"sharedstate-gh")

    def without_secrets(self, text: str) -> str:
        """The text with every secret of this credential masked."""
        for secret in (self.token, self.private_key):
            text = text.replace(secret, "…") if secret else text
        return text


def find_credential(settings: Settings, *, env: Mapping[str, str]) -> Credential:
    """The configured App, else the token in the configured file, else in `GITHUB_TOKEN` or `GH_TOKEN`.

    Raises `BadSettings` when there is none, or when an App is configured by half.
    """
    app = (settings.github_app_id, settings.github_installation_id, settings.github_private_key_file)
    if any(app):
        if not all(app):
            names = ("SHARED_STATE_GITHUB_APP_ID", "SHARED_STATE_GITHUB_INSTALLATION_ID")
            raise BadSettings(f"a GitHub App needs {', '.join(names)} and SHARED_STATE_GITHUB_PRIVATE_KEY_FILE")
        key = _read(settings.github_private_key_file, what="SHARED_STATE_GITHUB_PRIVATE_KEY_FILE")
        return Credential(app_id=app[0], installation_id=app[1], private_key=key)
    if settings.github_token_file:
        path = settings.github_token_file
        return Credential(token=_checked(_read(path, what="SHARED_STATE_GITHUB_TOKEN_FILE"), source="the token file"))
    for name in TOKEN_VARIABLES:
        if token := env.get(name, "").strip():
            return Credential(token=_checked(token, source=name))
    raise BadSettings(
        "no credential for GitHub",
        hint="set GITHUB_TOKEN or GH_TOKEN, or name a file in SHARED_STATE_GITHUB_TOKEN_FILE, or configure an App",
    )


def _checked(token: str, *, source: str) -> str:
    if not token or not token.isascii() or not token.isprintable() or " " in token or len(token) > 1000:
        raise BadSettings(f"{source} does not hold a token")
    return token


def _read(path: str, *, what: str) -> str:
    try:
        fd = os.open(os.path.expanduser(path), os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
        try:
            raw = os.read(fd, _FILE_BYTES_MAX + 1)
        finally:
            os.close(fd)
    except OSError as error:
        raise BadSettings(f"{what}: cannot read {path}: {error.strerror}") from None
    try:
        text = raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(raw) > _FILE_BYTES_MAX:
        raise BadSettings(f"{what}: {path} is empty, too large, or no text")
    return text
