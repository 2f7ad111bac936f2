"""The ground the lanes work on: a repository, its clones, free ports; and how the example speaks and gives up."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

LANES = ("app", "api", "docs")
KEEPER = "api"  # the lane that owns the gateways
PRIMARY, FALLBACK = "gateway", "gateway-fallback"
DEADLINE_S = 40.0
SETTINGS = """
endpoint_primary = "http://127.0.0.1:{primary}"
endpoint_fallback = "http://127.0.0.1:{fallback}"

[lanes.app]
role = "the web application"

[lanes.api]
role = "the service behind it; keeps the gateways"

[lanes.docs]
role = "the manual"
"""


def clone(origin: Path, places: Sequence[Path], ports: Mapping[str, int]) -> None:
    """A small repository with the configuration of all lanes, and its clones."""
    origin.mkdir()
    settings = SETTINGS.format(primary=ports[PRIMARY], fallback=ports[FALLBACK])
    (origin / "sharedstate.toml").write_text(settings, encoding="utf-8")
    git(origin, "init", "--quiet", "--initial-branch", "main")
    git(origin, "add", ".")
    git(origin, "-c", "user.name=lanes", "-c", "user.email=lanes@example.invalid", "commit", "--quiet", "-m", "Lanes")
    for place in places:
        git(origin, "clone", "--quiet", str(origin), str(place))


def git(folder: Path, *words: str) -> None:
    """One git command, without hooks and what a hook around us would impose."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(
        ["git", "-c", "core.hooksPath=/dev/null", *words],
        cwd=folder,
        env=environment,
        check=True,
        stdin=subprocess.DEVNULL,
        timeout=DEADLINE_S,
    )


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def expect(holds: bool, otherwise: str) -> None:
    """End the example with a sentence when something is not as it has to be."""
    if not holds:
        raise SystemExit(f"three_lanes: {otherwise}")


def tell(text: str) -> None:
    """One line to whoever watches."""
    print(text, flush=True)
