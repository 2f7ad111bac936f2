"""Every rule of the house style finds its violation, and leaves the nearest innocent alone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.style import conduct, documented, shape
from tests.style.source import Rule, Source

CORE = "sharedstate/tasks/service.py"
TEST = "tests/unit/test_tasks.py"
MARKER = "TO" + "DO"
NOQA = "no" + "qa"
IGNORE = "type: " + "ignore"
DOC = '"""Doc."""\n'


def complaints(rule: Rule, text: str, path: str = CORE) -> list[str]:
    return list(rule(Source(path, text)))


def lines_of_function(count: int, *, docstring: str = "") -> str:
    return "def f():\n" + docstring + "    x = 1\n" * (count - 1)


GUILTY = [
    (shape.file_is_short, CORE, "x = 1\n" * 401),
    (shape.functions_are_short, TEST, lines_of_function(61)),
    (shape.functions_are_short, TEST, "class A:\n    async def f(self):\n" + "        x = 1\n" * 60),
    (shape.public_is_documented, CORE, "x = 1\n"),
    (shape.public_is_documented, CORE, DOC + "def claim(): pass\n"),
    (shape.public_is_documented, CORE, DOC + "class Claim: pass\n"),
    (shape.public_is_documented, CORE, DOC + "class Claim:\n    'Doc.'\n    def renew(self): pass\n"),
    (shape.public_is_documented, CORE, DOC + "if True:\n    def claim(): pass\n"),
    (shape.public_is_documented, "cli/sharedstate_cli/main.py", DOC + "async def main(): pass\n"),
    (shape.public_is_documented, "adapters/sharedstate_adapters/git/store.py", ""),
    (shape.names_are_exact, CORE, "class ClaimManager: pass\n"),
    (shape.names_are_exact, CORE, "class HTTPHelper: pass\n"),
    (shape.names_are_exact, CORE, "class TaskProcess: pass\n"),
    (shape.names_are_exact, CORE, "class TaskData2: pass\n"),
    (shape.names_are_exact, "sharedstate/claim_utils.py", ""),
    (shape.names_are_exact, "sharedstate/data/model.py", ""),
    (shape.names_are_exact, TEST, "def _helper(): pass\n"),
    (shape.booleans_are_named, CORE, "def claim(task: str, force: bool): pass\n"),
    (shape.booleans_are_named, CORE, "def claim(task: str, force: 'bool | None' = None): pass\n"),
    (shape.booleans_are_named, CORE, "def claim(task, force=False): pass\n"),
    (shape.booleans_are_named, CORE, "class A:\n    def __init__(self, force: Optional[bool], /): pass\n"),
    (conduct.sleeps_are_real, TEST, "import time\ntime.sleep(1)\n"),
    (conduct.sleeps_are_real, TEST, "import time as t\nt.sleep(1)\n"),
    (conduct.sleeps_are_real, TEST, "from time import sleep as nap\nnap(1)\n"),
    (conduct.sleeps_are_real, CORE, "def f():\n    import time\n    time.sleep(1)\n"),
    (conduct.nothing_is_executed, TEST, "import pickle\n"),
    (conduct.nothing_is_executed, CORE, "from shelve import open\n"),
    (conduct.nothing_is_executed, CORE, "run('ls', shell=True)\n"),
    (conduct.nothing_is_executed, CORE, "run('ls', shell=chosen)\n"),
    (conduct.nothing_is_executed, CORE, "eval('1')\n"),
    (conduct.nothing_is_executed, CORE, "exec('1')\n"),
    (conduct.nothing_is_executed, CORE, "os.system('ls')\n"),
    (conduct.pure_rooms_know_no_time, "sharedstate/tasks/policy.py", "datetime.now(UTC)\n"),
    (conduct.pure_rooms_know_no_time, "sharedstate/tasks/model.py", "datetime.datetime.utcnow()\n"),
    (conduct.pure_rooms_know_no_time, "sharedstate/tasks/model.py", "date.today()\n"),
    (conduct.nothing_is_left_over, "docs/files.md", f"{MARKER}: write this\n"),
    (conduct.nothing_is_left_over, CORE, f"x = 1  # {'FIX' + 'ME'} later\n"),
    (conduct.nothing_is_left_over, "Makefile", f"# {'X' * 3}\n"),
    (conduct.paths_are_nobodys, CORE, "ROOT = '/" + "home/someone/state'\n"),
    (conduct.paths_are_nobodys, CORE, "ROOT = '/" + "tmp/state'\n"),
    (conduct.paths_are_nobodys, "README.md", "cd /" + "root/project\n"),
    (conduct.paths_are_nobodys, ".ci/run", "cd /" + "work/main\n"),
    (conduct.ignores_have_reasons, TEST, f"import os  # {NOQA}\n"),
    (conduct.ignores_have_reasons, TEST, f"import os  # {NOQA}: F401\n"),
    (conduct.ignores_have_reasons, TEST, f"import os  # {NOQA} imported for its side effect\n"),
    (conduct.ignores_have_reasons, TEST, f"x: int = ''  # {IGNORE}\n"),
    (conduct.ignores_have_reasons, TEST, f"x: int = ''  # {IGNORE}[assignment]\n"),
    (conduct.ignores_have_reasons, TEST, f"x: int = ''  # {IGNORE}  # the test plants a wrong type\n"),
    (conduct.ignores_have_reasons, TEST, f"x: int = ''  # {IGNORE}[assignment]  # {NOQA}: F401\n"),
    (conduct.ignores_have_reasons, TEST, "x = 1  # pyright" + ": ignore  because it is wrong\n"),
    (conduct.ignores_have_reasons, TEST, f"# ruff: {NOQA}\n"),
    (conduct.ignores_have_reasons, CORE, "x = 1  # pragma: no cover\n"),
    (conduct.skips_have_reasons, TEST, "@pytest.mark.skip\ndef test_x(): pass\n"),
    (conduct.skips_have_reasons, TEST, "@pytest.mark.xfail()\ndef test_x(): pass\n"),
    (conduct.skips_have_reasons, TEST, "@pytest.mark.skip(reason='')\ndef test_x(): pass\n"),
    (conduct.skips_have_reasons, TEST, "def test_x():\n    pytest.skip()\n"),
]

INNOCENT = [
    (shape.file_is_short, CORE, "x = 1\n" * 400),
    (shape.functions_are_short, TEST, lines_of_function(60)),
    (shape.functions_are_short, TEST, lines_of_function(60, docstring='    """' + "Long.\n" * 30 + '"""\n')),
    (shape.public_is_documented, TEST, "def test_x(): pass\n"),
    (shape.public_is_documented, CORE, DOC + "def _claim(): pass\nclass _Claim:\n    def renew(self): pass\n"),
    (shape.public_is_documented, CORE, DOC + "def claim():\n    'Doc.'\n    def inner(): pass\n"),
    (shape.public_is_documented, CORE, DOC + "@overload\ndef claim(x: int) -> int: ...\n"),
    (shape.public_is_documented, CORE, DOC + "class A:\n    'Doc.'\n    @x.setter\n    def x(self, v): pass\n"),
    (shape.names_are_exact, CORE, "class Metadata: pass\nclass Processes: pass\ndef process_start(): pass\n"),
    (shape.names_are_exact, "sharedstate/claims/metadata.py", ""),
    (shape.names_are_exact, CORE, "class Process: pass\n"),
    (shape.public_is_documented, CORE, DOC + "def test_a_store_keeps_what_it_is_given(): pass\n"),
    (shape.booleans_are_named, CORE, "def claim(task: str, *, force: bool = False): pass\n"),
    (shape.booleans_are_named, CORE, "def _claim(force: bool): pass\n"),
    (shape.booleans_are_named, CORE, "def hold(check: Callable[[bool], None]): pass\n"),
    (shape.booleans_are_named, CORE, "class A:\n    @on.setter\n    def on(self, on: bool): pass\n"),
    (shape.booleans_are_named, TEST, "def test_x(force: bool): pass\n"),
    (conduct.sleeps_are_real, "sharedstate/host.py", "import time\ntime.sleep(1)\n"),
    (conduct.sleeps_are_real, "tests/integration/test_race.py", "import time\ntime.sleep(1)\n"),
    (conduct.sleeps_are_real, TEST, "import time\nhost.sleep(1)\ntime.monotonic()\n"),
    (conduct.nothing_is_executed, CORE, "re.compile('x')\nrun(['ls'], shell=False)\nstate.exec('x')\n"),
    (conduct.pure_rooms_know_no_time, "sharedstate/tasks/policy.py", "datetime.fromisoformat(x)\nnow = stored.now\n"),
    (conduct.pure_rooms_know_no_time, CORE, "datetime.now(UTC)\n"),
    (conduct.nothing_is_left_over, CORE, "mktemp('XXXX" + "XX')\ntodo = []\n"),
    (
        conduct.paths_are_nobodys,
        CORE,
        "URL = 'https://example.org/" + "home/x'\nP = './work" + "/x'\nQ = '/proc/self'\n",
    ),
    (conduct.paths_are_nobodys, TEST, "P = '/" + "tmp/x'\n"),
    (conduct.ignores_have_reasons, TEST, f"import os  # {NOQA}: F401 - imported for its side effect\n"),
    (conduct.ignores_have_reasons, TEST, f"x: int = ''  # {IGNORE}[assignment]  # the test plants a wrong type\n"),
    (conduct.ignores_have_reasons, TEST, f"x = '# {NOQA}'\n"),
    (conduct.skips_have_reasons, TEST, "@pytest.mark.skip(reason='needs git')\ndef test_x(): pytest.skip('no git')\n"),
]


def named(cases: Sequence[tuple[Rule, str, str]]) -> list[object]:
    return [pytest.param(*case, id=f"{case[0].__name__}-{number}") for number, case in enumerate(cases)]


@pytest.mark.parametrize("rule,path,text", named(GUILTY))
def test_a_planted_violation_is_found(rule: Rule, path: str, text: str) -> None:
    assert len(complaints(rule, text, path)) == 1


@pytest.mark.parametrize("rule,path,text", named(INNOCENT))
def test_the_nearest_innocent_is_left_alone(rule: Rule, path: str, text: str) -> None:
    assert complaints(rule, text, path) == []


def test_a_finding_names_file_and_line() -> None:
    found = complaints(shape.names_are_exact, "x = 1\n\nclass TaskManager: pass\n")
    assert found == [f"{CORE}:3: the name TaskManager contains the vague word manager"]


def test_settings_are_found_as_whole_strings_of_the_packages_only() -> None:
    text = (
        "a = 'SHARED_STATE_DIR'\nb = 'TASK_CLAIM_OWNER_STALE_TTL_MS'\nc = 'SHARED_STATE_'\nd = 'see SHARED_STATE_X'\n"
    )
    assert list(documented.settings_in(Source(CORE, text))) == ["SHARED_STATE_DIR", "TASK_CLAIM_OWNER_STALE_TTL_MS"]
    assert list(documented.settings_in(Source(TEST, text))) == []


def test_an_undocumented_name_is_found_even_inside_a_longer_one() -> None:
    text = "`SHARED_STATE_DIR_MODE` and `claims retry-check T-1` and `claims list`"
    names = ["SHARED_STATE_DIR", "SHARED_STATE_DIR_MODE", "claims retry", "claims list"]
    assert documented.unnamed(names, text) == ["SHARED_STATE_DIR", "claims retry"]


def test_a_table_is_asleep_only_while_its_file_is_missing() -> None:
    assert documented.declared("sharedstate/not_there.py", "sharedstate.not_there", "TABLE") is None
    with pytest.raises(AttributeError):
        documented.declared("tests/style/source.py", "tests.style.source", "NOT_THERE")


def test_an_entry_without_a_text_is_an_error() -> None:
    with pytest.raises(TypeError, match="must be text"):
        documented.attribute_texts([Source("a", "b"), Source(3, "b")], "path")  # type: ignore[arg-type]  # the planted violation
