"""The contracts on imports catch what they forbid: the real configuration over a small project, one import planted."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.style.source import ROOT

MODULES = (
    *("sharedstate/__init__.py", "sharedstate/values.py", "sharedstate/errors.py", "sharedstate/host.py"),
    *("sharedstate/events.py", "sharedstate/store.py", "sharedstate/metrics.py", "sharedstate/connect.py"),
    *(
        f"sharedstate/{feature}/{room}.py"
        for feature in ("tasks", "claims")
        for room in ("__init__", "model", "policy")
    ),
    *("sharedstate/tasks/service.py", "sharedstate/claims/service.py", "sharedstate/files/__init__.py"),
    *("sharedstate/messages/__init__.py", "sharedstate/memory/__init__.py", "sharedstate/triggers/__init__.py"),
    *("sharedstate/sync/__init__.py", "sharedstate/hub/__init__.py", "sharedstate/testing/__init__.py"),
    *("sharedstate_adapters/__init__.py", "sharedstate_adapters/git/__init__.py", "sharedstate_adapters/git/store.py"),
    *("sharedstate_adapters/redis/__init__.py", "sharedstate_adapters/redis/store.py"),
    *("sharedstate_cli/__init__.py", "sharedstate_cli/main.py", "sharedstate_cli/wiring.py"),
    *("sharedstate_cli/full/__init__.py", "sharedstate_cli/full/app.py"),
)
LAWFUL = {
    "sharedstate/connect.py": "import sharedstate.files\nimport sharedstate.claims.service\n",
    "sharedstate/claims/service.py": "import sharedstate.tasks.service\nimport sharedstate.claims.policy\n",
    "sharedstate/tasks/service.py": "import sharedstate.tasks.policy\nimport sharedstate.host\n",
    "sharedstate/tasks/policy.py": "import datetime\nimport sharedstate.tasks.model\n",
    "sharedstate/host.py": "import os\nimport time\nimport sharedstate.errors\n",
    "sharedstate_adapters/redis/store.py": "import redis\nimport asyncio\nimport sharedstate.store\n",
    "sharedstate_cli/wiring.py": "import sharedstate_adapters.git.store\n",
    "sharedstate_cli/main.py": "import sharedstate_cli.full.app\nimport sharedstate_cli.wiring\nimport os\n",
    "sharedstate_cli/full/app.py": "import typer\nfrom rich import table\n",
}
ARROWS = {
    "Inside the core": (
        ("sharedstate/files/__init__.py", "import sharedstate.connect"),
        ("sharedstate/sync/__init__.py", "import sharedstate.hub"),
        ("sharedstate/triggers/__init__.py", "import sharedstate.sync"),
        ("sharedstate/messages/__init__.py", "import sharedstate.memory"),
        ("sharedstate/messages/__init__.py", "import sharedstate.triggers"),
        ("sharedstate/claims/service.py", "import sharedstate.messages"),
        ("sharedstate/tasks/service.py", "def f():\n    import sharedstate.claims.service"),
        ("sharedstate/store.py", "import sharedstate.tasks.model"),
        ("sharedstate/store.py", "import sharedstate.metrics"),
        ("sharedstate/events.py", "import sharedstate.store"),
        ("sharedstate/errors.py", "import sharedstate.events"),
        ("sharedstate/values.py", "import sharedstate.errors"),
        ("sharedstate/lost_and_found.py", "x = 1"),
    ),
    "The command imports adapters": (
        ("sharedstate/connect.py", "import sharedstate_adapters.git"),
        ("sharedstate/connect.py", "import sharedstate_cli"),
        ("sharedstate_adapters/git/store.py", "import sharedstate_cli.main"),
    ),
    "In the command, only wiring.py": (("sharedstate_cli/main.py", "import sharedstate_adapters.git.store"),),
    "Adapters never import": (("sharedstate_adapters/git/store.py", "import sharedstate_adapters.redis.store"),),
    "Models and policies are pure": (
        ("sharedstate/tasks/policy.py", "import time"),
        ("sharedstate/claims/model.py", "from os import environ"),
        ("sharedstate/claims/policy.py", "from sharedstate.host import Host"),
    ),
    "Inside a feature, service": (("sharedstate/tasks/model.py", "import sharedstate.tasks.policy"),),
    "Inside a feature, a policy": (("sharedstate/claims/policy.py", "import sharedstate.tasks.service"),),
    "The core imports no outside system": (
        ("sharedstate/connect.py", "import asyncio"),
        ("sharedstate/files/__init__.py", "def f():\n    import redis"),
    ),
    "In the command, only the folder `full`": (
        ("sharedstate_cli/main.py", "def f():\n    import typer"),
        ("sharedstate_cli/wiring.py", "from rich.table import Table"),
    ),
    "In the core, pydantic": (("sharedstate/tasks/service.py", "import pydantic"),),
}
CASES = [
    pytest.param(contract, path, planted, id=f"{path}: {planted.splitlines()[-1].strip()}")
    for contract, cases in ARROWS.items()
    for path, planted in cases
]


def lint(folder: Path, *, path: str = "", planted: str = "") -> tuple[int, list[str]]:
    """Exit code of the linter, and the contracts it calls broken, over the small project with one import planted."""
    for module in {*MODULES, *([path] if path else [])}:
        file = folder / module
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(LAWFUL.get(module, "") + (planted + "\n" if module == path else ""))
    shutil.copy(ROOT / ".importlinter", folder)
    program = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    done = subprocess.run(
        [sys.executable, "-c", program, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False
    )
    verdicts = " ".join(done.stdout.partition("Broken contracts")[0].split())
    broken = [part.rpartition(" KEPT ")[2].strip() for part in verdicts.split(" BROKEN")[:-1]]
    return done.returncode, broken


def test_a_lawful_project_passes(tmp_path: Path) -> None:
    assert lint(tmp_path) == (0, [])


@pytest.mark.parametrize("contract,path,planted", CASES)
def test_a_planted_import_is_found(tmp_path: Path, contract: str, path: str, planted: str) -> None:
    code, broken = lint(tmp_path, path=path, planted=planted)
    assert code == 1
    assert any(contract in name for name in broken), broken
