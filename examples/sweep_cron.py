"""What a cron job runs: one sweep, then one sync. Quiet when all is well, so that cron sends no mail.

    */5 * * * * cd /srv/app && python examples/sweep_cron.py

Both commands are single-flight: where the last run is still at it, this one goes home. What is only away for now (exit
code 75) is no reason for a mail either; the next run makes up for it. A wrong setting (78) is. With `--verbose` it says
what it did; `claims schedule install` sets the same up without this script.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import Any

TRY_AGAIN = 75


def claims(*words: str) -> tuple[int, dict[str, Any]]:
    """Run one command to its end: its exit code, and the object that it printed."""
    program = [os.path.join(os.path.dirname(sys.executable), "claims"), *words, "--json"]
    done = subprocess.run(program, stdout=subprocess.PIPE, text=True, check=False, timeout=900)
    document: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, document


def sweep() -> tuple[int, str]:
    """End what is stale; the exit code, and what was done in one line."""
    code, answer = claims("sweep")
    if not answer["ok"] or "skipped" in answer:
        return code, _excuse(answer)
    return code, f"{len(answer['swept'])} ended, {len(answer['archived'])} archived"


def sync() -> tuple[int, str]:
    """Mirror to the board, where there is one."""
    if not claims("config", "show")[1]["settings"]["repository"]:
        return 0, "no board"
    code, answer = claims("sync", "--once")
    if not answer["ok"] or "skipped" in answer:
        return code, _excuse(answer)
    obeyed, written = len(answer["actions"]), len(answer["pushed"])
    return code, f"{obeyed} changes of people obeyed, {written} tasks written, {answer['waiting']} waiting"


def _excuse(answer: dict[str, Any]) -> str:
    error = answer.get("error", {})
    return str(answer.get("skipped") or answer.get("detail") or error.get("message"))


def main() -> int:
    """Both, whatever becomes of the first; the exit code is that of the worse one."""
    parser = argparse.ArgumentParser(description="One sweep, then one sync; quiet when all is well.")
    parser.add_argument("--verbose", action="store_true", help="say what was done")
    verbose = parser.parse_args().verbose
    worst = 0
    for name, work in (("sweep", sweep), ("sync", sync)):
        code, told = work()
        failed = code not in (0, TRY_AGAIN)
        if failed or verbose:
            print(f"{name}: {told}", file=sys.stderr if failed else sys.stdout)
        worst = max(worst, code if failed else 0)
    return worst


if __name__ == "__main__":
    sys.exit(main())
