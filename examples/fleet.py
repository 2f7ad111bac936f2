"""A fleet of agents works through a real task list, loses one of its own, and proves that nothing was doubled.

    python examples/fleet.py                               the demo: work on this very repository
    python examples/fleet.py TASKS.md --agents 6           your own list: Markdown, JSON, JSON Lines, plain lines
    python examples/fleet.py ids.txt --run 'make {id}'     one command for all

Every agent is a process; every attempt has a git worktree of its own. At the end the journal of the shared state is
checked: no two owners ever held a task at once. The exit code is 0 only if every claim of the proof holds.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console

from examples.fleet_parts.agent import work
from examples.fleet_parts.orchestrator import Fleet, Options, undisturbed
from examples.fleet_parts.own_list import own_tasks
from examples.fleet_parts.plan import Plan
from examples.fleet_parts.report import print_report
from examples.fleet_parts.screen import screen_for
from examples.fleet_parts.tasklist import Task, TaskListError, read_tasks
from examples.fleet_parts.worktrees import GitError, Worktrees, top_of, tracked_files
from sharedstate.clock import parse_duration_ms
from sharedstate.errors import SharedStateError

HERE = Path(__file__).resolve().parents[1]
AGENTS_MAX = 64


def main(argv: list[str] | None = None) -> int:
    """Run the fleet, or, with `--agent`, be one of it."""
    parser = _arguments()
    given = parser.parse_args(argv)
    if given.kill and given.agents < 2:
        parser.error("--kill needs another agent that can go on: --agents 2 or more")
    if given.agent:
        return work(Plan.load(Path(given.plan)), given.agent)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="sharedstate-fleet-")).resolve()
    try:
        return _run(given, folder)
    except (TaskListError, GitError, SharedStateError, OSError) as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fleet: interrupted; agents ended, worktrees removed", file=sys.stderr)
        return 130
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(given: argparse.Namespace, folder: Path) -> int:
    own = given.tasks is None
    repository = HERE if own else (top_of(Path.cwd()) if given.worktrees else None) or Path.cwd()
    trees = Worktrees.of(repository, folder=folder / "worktrees")
    if not own and not given.worktrees:
        trees = Worktrees(repository=repository, commit="", folder=trees.folder)
    tasks = _own_tasks(trees) if own else read_tasks(given.tasks, run=given.run)
    plan = Plan(
        root=str(given.root.resolve() if given.root else folder / "state"),
        folder=str(folder),
        repository=str(repository),
        commit=trees.commit,
        ttl_ms=given.ttl,
        retries_max=given.retries,
        tasks=tuple(tasks),
    )
    kill = own and given.agents > 1 if given.kill is None else given.kill
    options = Options(agents=given.agents, kill=kill, deadline_s=given.deadline)
    console = Console(highlight=False)
    print(f"{len(tasks)} tasks, {given.agents} agents, commit {trees.commit[:10] or 'none'}", flush=True)
    try:
        with screen_for(console) as screen:
            outcome = Fleet(plan, options, program=Path(__file__).resolve()).run(screen)
    finally:
        with undisturbed():
            trees.remove_all()
    return print_report(outcome, console=console, svg=given.svg, trees_left=len(trees.left()))


def _own_tasks(trees: Worktrees) -> list[Task]:
    if not trees.commit:
        raise GitError(f"{trees.repository} is no git work tree with a commit; give a list of your own")
    return own_tasks(tracked_files(trees.repository, trees.commit))


def _arguments() -> argparse.ArgumentParser:
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=about, epilog=(__doc__ or "").partition("\n")[2], formatter_class=_Raw)
    add = parser.add_argument
    add(
        "tasks",
        nargs="?",
        type=Path,
        metavar="TASKS_FILE",
        help="the list; default: one task per module of this library",
    )
    add("--agents", type=_count, default=4, metavar="N", help=f"how many, 1 to {AGENTS_MAX} (default 4)")
    add(
        "--run", default="", metavar="CMD", help="command of tasks without one; {id} and {text} are filled in, no shell"
    )
    add("--root", type=Path, metavar="DIR", help="state root, kept afterwards (default: a temporary one)")
    add(
        "--ttl",
        type=_duration,
        default=6_000,
        metavar="TIME",
        help="a silent agent keeps its claim so long (default 6s)",
    )
    add("--retries", type=int, default=3, metavar="N", help="how often a failed task is tried again (default 3)")
    add(
        "--svg",
        type=Path,
        default=HERE / ".cache" / "fleet.svg",
        metavar="FILE",
        help="the picture (default .cache/fleet.svg)",
    )
    add(
        "--kill",
        action=argparse.BooleanOptionalAction,
        help="kill one agent in mid-task (default: only for the own list)",
    )
    add("--worktrees", action=argparse.BooleanOptionalAction, default=True, help="a git worktree for every attempt")
    add("--deadline", type=float, default=240.0, metavar="SECONDS", help="give up after so long (default 240)")
    add("--agent", metavar="NAME", help=argparse.SUPPRESS)
    add("--plan", metavar="FILE", help=argparse.SUPPRESS)
    return parser


class _Raw(argparse.RawDescriptionHelpFormatter):
    pass


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= AGENTS_MAX:
        raise argparse.ArgumentTypeError(f"a number from 1 to {AGENTS_MAX}")
    return int(text)


def _duration(text: str) -> int:
    try:
        duration_ms = parse_duration_ms(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not 1_000 <= duration_ms <= 86_400_000:
        raise argparse.ArgumentTypeError("from 1s to 1d")
    return duration_ms


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
