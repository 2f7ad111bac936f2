"""Two agents work on the issues of a repository; a reviewer watches on GitHub, and is obeyed.

    python examples/kanban_reviewer.py                    # against a GitHub that is started here, on this machine only
    KANBAN_REPO=me/sandbox GITHUB_TOKEN=… python examples/kanban_reviewer.py      # against the real one

The reviewer (here: a program that does what a person would do in the browser) labels an issue `ignore`, closes one as
not planned, opens it again, and moves a card. Against the real GitHub four issues are opened, and closed at the end;
there is no project then, so instead of moving the card to Done the reviewer closes the issue as completed.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from typing import Any

from sharedstate import Claimed, Lost, SharedState
from sharedstate.sync.engine import Engine, SyncRules
from sharedstate.testing.github import FakeGitHub
from sharedstate_adapters.github.opening import github_board

try:
    from github import Auth, Github
    from github.Repository import Repository
except ModuleNotFoundError:
    sys.exit("this example needs PyGithub: pip install 'sharedstate[github]'")

TITLES = ("Parse the log", "Draw the chart", "Translate the page", "Send the report")
IGNORE = "sharedstate:ignore"


class Reviewer:
    """Somebody who looks at GitHub and nothing else."""

    def __init__(self, repository: Repository, *, finish: Callable[[int], None] | None = None) -> None:
        self.repository = repository
        self.numbers = [repository.create_issue(title).number for title in TITLES]
        self._finish = finish

    def ignore(self, number: int, *, wanted: bool = True) -> None:
        """Put the ignore label on an issue, or take it off."""
        issue = self.repository.get_issue(number)
        if wanted:
            issue.add_to_labels(IGNORE)
        else:
            issue.remove_from_labels(IGNORE)
        tell("ann", f"{'labels' if wanted else 'unlabels'} GH-{number}: ignore")

    def cancel(self, number: int) -> None:
        """Close an issue as not planned."""
        self.repository.get_issue(number).edit(state="closed", state_reason="not_planned")
        tell("ann", f"closes GH-{number} as not planned")

    def reopen(self, number: int) -> None:
        """Open it again."""
        self.repository.get_issue(number).edit(state="open")
        tell("ann", f"reopens GH-{number}")

    def finish(self, number: int) -> None:
        """Move its card to Done, where there is one."""
        if self._finish is None:
            self.repository.get_issue(number).edit(state="closed", state_reason="completed")
            tell("ann", f"closes GH-{number} as completed")
        else:
            self._finish(number)
            tell("ann", f"moves the card of GH-{number} to Done")

    def look(self) -> None:
        """What stands on every issue: the label, and the first lines of the one comment."""
        for number in self.numbers:
            issue = self.repository.get_issue(number)
            labels = ", ".join(label.name for label in issue.labels) or "no label"
            comments = list(issue.get_comments())
            summary = (
                " · ".join(line.strip() for line in comments[0].body.splitlines()[2:5]) if comments else "no comment"
            )
            assert len(comments) <= 1
            tell("ann", f"sees GH-{number} ({issue.state}, {labels}): {summary}")

    def read(self, number: int) -> None:
        """The one comment of an issue, without what the browser hides or folds."""
        [comment] = self.repository.get_issue(number).get_comments()
        shown = comment.body.partition("-->")[2].partition("<details>")[0].strip()
        tell("ann", f"reads the comment on GH-{number}:")
        for line in shown.splitlines():
            tell("", f"| {line.strip()}")


class Fleet:
    """The agents' side: shared state on this machine, mirrored to the board."""

    def __init__(self, state: SharedState) -> None:
        self.claims = state.claims
        self.host = state.host
        board = github_board(state.settings, state.local_store, state.host)
        self.engine = Engine(tasks=state.tasks, board=board, local=state.local_store, rules=SyncRules())

    def claim(self, agent: str, number: int) -> None:
        """An agent asks for a task."""
        answer = self.claims.claim(f"GH-{number}", owner=agent)
        got = "works on it" if isinstance(answer, Claimed) else f"is refused: {answer.reason}"
        tell(agent, f"asks for GH-{number} and {got}")

    def renew(self, agent: str, number: int) -> None:
        """An agent shows that it is alive, and learns whether the task is still its own."""
        answer = self.claims.renew(f"GH-{number}", owner=agent)
        tell(agent, f"stops GH-{number}: {answer.reason}" if isinstance(answer, Lost) else f"goes on with GH-{number}")

    def complete(self, agent: str, number: int) -> None:
        """An agent has done its work."""
        self.claims.release(f"GH-{number}", owner=agent)
        tell(agent, f"completes GH-{number}")

    def sync(self) -> None:
        """What `claims sync` does: the engine never waits, so whoever calls it does (GitHub is written to slowly)."""
        while True:
            done = self.engine.sync()
            for task, actions in done.actions.items():
                tell("sync", f"obeys the board: {', '.join(actions)} {task}")
            for error in done.errors:
                tell("sync", f"failed: {error['task']}: {error['detail']}")
            if not (until_ms := done.parked_until_ms or done.skipped_until_ms):
                return
            self.host.sleep(max(0, until_ms - self.host.now().at_ms) / 1000)


def tell(who: str, what: str) -> None:
    """One line of the story."""
    print(f"{who:>5} {what}")


def play(fleet: Fleet, reviewer: Reviewer) -> None:
    """The story."""
    one, two, three, four = reviewer.numbers
    fleet.claim("ada", one)
    fleet.claim("ben", two)
    fleet.sync()
    reviewer.look()

    reviewer.ignore(three)
    reviewer.cancel(two)
    fleet.sync()
    fleet.renew("ada", one)
    fleet.renew("ben", two)
    fleet.claim("ben", three)
    fleet.claim("ben", four)
    fleet.complete("ada", one)
    fleet.sync()

    reviewer.reopen(two)
    reviewer.ignore(three, wanted=False)
    reviewer.finish(four)
    fleet.sync()
    fleet.renew("ben", four)
    for agent, number in (("ada", two), ("ben", three)):
        fleet.claim(agent, number)
        fleet.complete(agent, number)
    fleet.sync()
    reviewer.look()
    reviewer.read(two)


@contextmanager
def place() -> Generator[tuple[SharedState, Reviewer]]:
    """The repository, the reviewer, and the state of the fleet: real where KANBAN_REPO says so, else made here."""
    name = os.environ.get("KANBAN_REPO", "")
    fake = FakeGitHub(repos=("acme/app",), users={"ann": "maintain", "bot": "push"}, projects=("acme/1",))
    with tempfile.TemporaryDirectory() as folder, nullcontext() if name else fake:
        if name:
            if not os.environ.get("GITHUB_TOKEN"):
                sys.exit("set GITHUB_TOKEN: a token that may write issues there")
            settings: dict[str, Any] = {"repository": name}
            reviewer = Reviewer(Github(auth=Auth.Token(os.environ["GITHUB_TOKEN"])).get_repo(name))
        else:
            os.environ["GITHUB_TOKEN"] = fake.token("bot")
            settings = {
                "repository": "acme/app",
                "project": "acme/1",
                "github_api_url": fake.url,
                "github_spacing_ms": "0",
            }
            person = Auth.Token(fake.token("ann"))
            github = Github(base_url=fake.url, auth=person, seconds_between_requests=0, seconds_between_writes=0)
            reviewer = Reviewer(github.get_repo("acme/app"), finish=lambda number: fake.move_card(number, "Done"))
            for number in reviewer.numbers:
                fake.add_card(number)
                fake.move_card(number, "Todo")
        with SharedState.open(folder, **settings) as state:
            yield state, reviewer
        if name:
            for number in reviewer.numbers:
                reviewer.repository.get_issue(number).edit(state="closed")


def main() -> None:
    """Tell the story, once."""
    with place() as (state, reviewer):
        play(Fleet(state), reviewer)


if __name__ == "__main__":
    main()
