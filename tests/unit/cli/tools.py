"""Stand-ins for `crontab`, `systemctl`, `launchctl`: small real programs that keep in a folder what they are told."""

from __future__ import annotations

from pathlib import Path

import pytest

_CRONTAB = """#!/bin/sh
[ -e "$TOOLS/broken" ] && { echo "you may not use this program" >&2; exit 1; }
case "$1" in
    -l) [ -f "$TOOLS/crontab" ] || { echo "no crontab for me" >&2; exit 1; }; cat "$TOOLS/crontab" ;;
    -) cat > "$TOOLS/crontab"; echo "crontab -" >> "$TOOLS/log" ;;
    *) exit 2 ;;
esac
"""
_SYSTEMCTL = """#!/bin/sh
[ "$1" = --user ] || exit 2
shift
[ -e "$TOOLS/broken" ] && { echo "Failed to connect to bus" >&2; exit 1; }
case "$1" in is-active|show-environment) ;; *) echo "systemctl $*" >> "$TOOLS/log" ;; esac
last=; for last in "$@"; do :; done
case "$1" in
    daemon-reload|show-environment) ;;
    enable) [ -e "$XDG_CONFIG_HOME/systemd/user/$last" ] ;;
    start|restart) : > "$TOOLS/active-$last" ;;
    disable) rm -f "$TOOLS/active-$last" ;;
    is-active) [ -e "$TOOLS/active-$last" ] ;;
    *) exit 2 ;;
esac
"""
_LAUNCHCTL = """#!/bin/sh
label() { basename "$1" .plist; }
[ "$1" = print ] || echo "launchctl $1" >> "$TOOLS/log"
case "$1" in
    print) case "$2" in */*/*) [ -e "$TOOLS/loaded-$(label "$2")" ] || exit 113 ;; esac ;;
    bootout) [ -e "$TOOLS/loaded-$(label "$2")" ] || exit 3; rm "$TOOLS/loaded-$(label "$2")" ;;
    bootstrap) [ ! -e "$TOOLS/loaded-$(label "$3")" ] && [ -e "$3" ] || exit 5; : > "$TOOLS/loaded-$(label "$3")" ;;
    *) exit 2 ;;
esac
"""


class Tools:
    """The programs, on PATH of this test, and what they have been told."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "tools"
        self.home = folder / "home"
        self.folder.mkdir()
        self.home.mkdir()
        for name, text in (("crontab", _CRONTAB), ("systemctl", _SYSTEMCTL), ("launchctl", _LAUNCHCTL)):
            path = self.folder / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        patch.setenv("PATH", f"{self.folder / 'bin'}:/usr/bin:/bin")
        patch.setenv("TOOLS", str(self.folder))
        patch.setenv("HOME", str(self.home))
        patch.setenv("XDG_CONFIG_HOME", str(self.home / "my config"))

    def remove(self) -> None:
        """Take the programs away."""
        for path in (self.folder / "bin").iterdir():
            path.unlink()

    def break_down(self) -> None:
        """Let every program fail from now on."""
        (self.folder / "broken").touch()

    def told(self) -> list[str]:
        """What changed something since the last call, in order."""
        path = self.folder / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    @property
    def crontab(self) -> str:
        """The user's crontab."""
        path = self.folder / "crontab"
        return path.read_text() if path.exists() else ""

    @crontab.setter
    def crontab(self, text: str) -> None:
        (self.folder / "crontab").write_text(text)
