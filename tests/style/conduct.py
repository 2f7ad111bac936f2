"""Rules on what code does and what text leaves behind: sleeps, dangerous calls, leftovers, paths, ignores, skips."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from tests.style.source import Source

# Where a real sleep is allowed: folder or file -> why.
SLEEPERS = {
    "sharedstate/host.py": "the one seam through which everything sleeps",
    "sharedstate/kernel_queue.py": "belongs to the seam: only the real host waits for kernel locks there",
    "tests/integration/": "drives real processes, and waits for them with a deadline",
    "tests/servers/": "starts real servers, and waits for them with a deadline",
    "tests/acceptance/": "drives the real command, and waits for it with a deadline",
    "tests/benchmarks/": "measures real time",
    "examples/": "real programs that do real work",
}

_UNSAFE_MODULES = frozenset(("pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve"))
_UNSAFE_CALLS = frozenset(
    ("eval", "exec", "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput")
)
# Put together here, so that the rule does not find itself.
_LEFTOVERS = re.compile(rf"\b({'|'.join(('TO' + 'DO', 'FIX' + 'ME', 'X' * 3, 'HA' + 'CK'))})\b")
_OUR_PATHS = ("root", "home", "work")
_ANY_PATH = (*_OUR_PATHS, "tmp")
_DIRECTIVE = re.compile(
    r"type:\s*ignore(?:\[[\w\-, ]+\])?|pyright:\s*ignore(?:\[\w[\w, ]*\])?|mypy:\s*ignore-errors"
    r"|(?:(?:ruff|flake8):\s*)?noqa(?::\s*[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*)?|pragma:\s*no\s+\w+",
    re.IGNORECASE,
)
_NEEDS_CODE = ("type:", "pyright:", "noqa", "ruff:", "flake8:", "mypy:")
_REASON_LETTERS_MIN = 8


def sleeps_are_real(source: Source) -> Iterator[str]:
    """No `time.sleep` outside the seam and the tests of real processes: everything else has a fake clock."""
    if source.path.startswith(tuple(SLEEPERS)):
        return
    names = _names_of(source.tree, module="time", member="sleep")
    for node in _calls(source.tree):
        if ast.unparse(node.func) in names:
            yield source.at(node.lineno, "a real sleep; use the host's clock, or the fake one")


def nothing_is_executed(source: Source) -> Iterator[str]:
    """No pickle and its kin, no shell, no evaluation of text."""
    for node in ast.walk(source.tree):
        for module in _imported(node):
            if module.partition(".")[0] in _UNSAFE_MODULES:
                yield source.at(getattr(node, "lineno", 1), f"import of {module}")
    for node in _calls(source.tree):
        if (called := ast.unparse(node.func)) in _UNSAFE_CALLS:
            yield source.at(node.lineno, f"call of {called}")
        if any(keyword.arg == "shell" and not _is_false(keyword.value) for keyword in node.keywords):
            yield source.at(node.lineno, f"{called} through a shell")


def pure_rooms_know_no_time(source: Source) -> Iterator[str]:
    """Models and policies are given the time; the type `datetime` is theirs, its clock is not."""
    if not (source.in_package and source.path.endswith(("/model.py", "/policy.py"))):
        return
    for node in _calls(source.tree):
        called = ast.unparse(node.func)
        if called.endswith((".utcnow", ".today", "datetime.now", "date.now")):
            yield source.at(node.lineno, f"{called} reads a clock; take `now` as an argument")


def nothing_is_left_over(source: Source) -> Iterator[str]:
    """No marker of unfinished work in any file."""
    for number, line in enumerate(source.text.splitlines(), 1):
        if found := _LEFTOVERS.search(line):
            yield source.at(number, f"leftover marker {found[0]}")


def paths_are_nobodys(source: Source) -> Iterator[str]:
    """No path of somebody's machine in any file, and none of a temporary folder in the packages."""
    folders = _ANY_PATH if source.in_package else _OUR_PATHS
    pattern = re.compile(rf"(?<![\w.*}}/])/({'|'.join(folders)})/")
    for number, line in enumerate(source.text.splitlines(), 1):
        if found := pattern.search(line):
            yield source.at(number, f"machine path {found[0]}…")


def ignores_have_reasons(source: Source) -> Iterator[str]:
    """Every directive that silences a tool names what it silences and says why, on the same line."""
    for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
        if token.type != tokenize.COMMENT:
            continue
        directives = [found[0] for found in _DIRECTIVE.finditer(token.string)]
        if not directives:
            continue
        if bare := [text for text in directives if _lacks_code(text)]:
            yield source.at(token.start[0], f"`{bare[0]}` names no code")
            continue
        remark = re.sub(r"\breason\b", "", _DIRECTIVE.sub("", token.string))
        if sum(map(str.isalpha, remark)) < _REASON_LETTERS_MIN:
            yield source.at(token.start[0], f"`{directives[0]}` gives no reason")


def skips_have_reasons(source: Source) -> Iterator[str]:
    """Every skipped or expected-to-fail test says why."""
    called = {id(node.func): node for node in _calls(source.tree)}
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Attribute):
            continue
        name = ast.unparse(node)
        call = called.get(id(node))
        if name in ("pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail"):
            if call is None or not _keyword_text(call, "reason"):
                yield source.at(node.lineno, f"{name} without a reason")
        elif name in ("pytest.skip", "pytest.xfail") and (call is None or not (call.args or call.keywords)):
            yield source.at(node.lineno, f"{name} without a reason")


def _calls(tree: ast.Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        yield node.module


def _names_of(tree: ast.Module, *, module: str, member: str) -> set[str]:
    """Every expression by which this file can call `module.member`, import aliases included."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {f"{alias.asname or module}.{member}" for alias in node.names if alias.name == module}
        elif isinstance(node, ast.ImportFrom) and node.module == module:
            names |= {alias.asname or member for alias in node.names if alias.name == member}
    return names


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def _keyword_text(call: ast.Call, name: str) -> bool:
    for keyword in call.keywords:
        if keyword.arg == name:
            return not (isinstance(keyword.value, ast.Constant) and not keyword.value.value)
    return False


def _lacks_code(directive: str) -> bool:
    return directive.lower().startswith(_NEEDS_CODE) and not re.search(r"\[|noqa:\s*[A-Z]", directive)
