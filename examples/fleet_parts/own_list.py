"""The demo's own task list: work on this very repository, one task for every module of the library."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import PurePosixPath

from examples.fleet_parts.tasklist import Command, Task

DOOMED = "planted: fails every time"
IGNORED = "planted: waits for a person"
PACKAGE = "sharedstate"
_PYTHON = sys.executable
_TEST_OPTIONS = ("-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow and not soak and not bench")
_TEST_SECONDS_MAX = "30"


def own_tasks(paths: Sequence[str]) -> list[Task]:
    """Tasks for the files of a commit: lint, compile, test each module; check each package; two planted ones."""
    modules = [path for path in paths if path.startswith(f"{PACKAGE}/") and path.endswith(".py")]
    tests = [path for path in paths if path.startswith("tests/unit/") and path.endswith(".py")]
    tasks = [_module_task(path, tests) for path in modules if not path.endswith("/__init__.py")]
    packages = sorted({str(PurePosixPath(path).parent) for path in modules})
    tasks += [_package_task(package) for package in packages if package != PACKAGE]
    doomed: Command = (_PYTHON, "-c", "raise SystemExit('this task is planted to fail')")
    tasks.insert(len(tasks) // 4, Task(id=DOOMED, text="shows exhausted retries", commands=(doomed,), expect="failed"))
    waiting = (_PYTHON, "-c", "raise SystemExit('nobody may run this')")
    tasks.append(Task(id=IGNORED, text="shows an ignored task", commands=(waiting,), expect="ignored"))
    return tasks


def _module_task(path: str, tests: Sequence[str]) -> Task:
    name = path.removesuffix(".py").replace("/", ".")
    commands: list[Command] = [
        (_PYTHON, "-m", "ruff", "check", "--no-cache", path),
        (_PYTHON, "-m", "compileall", "-q", "-f", path),
        (_PYTHON, "-c", f"import {name}"),
    ]
    own = _tests_of(path, tests)
    if own:
        commands.append((_PYTHON, "-m", "pytest", *_TEST_OPTIONS, "--timeout", _TEST_SECONDS_MAX, *own))
    return Task(
        id=name, text="lint, compile, import" + (", test" if own else ""), commands=tuple(commands), scope=(path,)
    )


def _package_task(package: str) -> Task:
    """Formatting of a whole package: its scope holds those of its modules, so it waits until nobody works in there."""
    command = (_PYTHON, "-m", "ruff", "format", "--no-cache", "--check", package)
    return Task(id=f"format {package}", text="formatting of all its files", commands=(command,), scope=(package,))


def _tests_of(path: str, tests: Sequence[str]) -> list[str]:
    """`tests/unit/tasks/test_policy.py` or `tests/unit/test_tasks_policy.py` for `sharedstate/tasks/policy.py`."""
    module = PurePosixPath(path)
    folder, stem = module.parent.name, module.stem
    near = "" if folder == PACKAGE else folder
    wanted = {f"tests/unit/{near}/test_{stem}.py" if near else f"tests/unit/test_{stem}.py"}
    wanted.add(f"tests/unit/test_{near}_{stem}.py")
    return [test for test in tests if test in wanted]
