"""The entry point of `claims`: parse, call the handler, print; every outcome has one clear answer and exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from typing import Any

from sharedstate.errors import EXIT_INTERRUPTED, EXIT_UNEXPECTED, SharedStateError
from sharedstate_cli import hook, hot
from sharedstate_cli.descriptors import guard_descriptors
from sharedstate_cli.hot import Parsed
from sharedstate_cli.report import Report, complaint, error_document
from sharedstate_cli.session import Console, Session

DEBUG = "SHARED_STATE_DEBUG"
HOOK = "--hook"
COMPLETE = "_CLAIMS_COMPLETE"


def main(argv: Sequence[str] | None = None, *, console: Console | None = None) -> int:
    """Run one command and return its exit code. Never raises; prints no traceback unless SHARED_STATE_DEBUG is set.

    Called without arguments it is the command itself, and ends the process.
    """
    if argv is None and console is None:
        gc.disable()  # most verbs live for milliseconds; collecting while they load costs one of them
        guard_descriptors()
        words = sys.argv[1:]
        code = run(words, Console.real())
        _leave(code)
        return code
    return run(list(argv or ()), console or Console.real())


def run(words: list[str], console: Console) -> int:
    """One command line in one console."""
    if HOOK in words and hook.is_asked(words):
        return _hooked(words, console)
    return plain(words, console)


def _hooked(words: list[str], console: Console) -> int:
    """The hook form without its time limit: for systems that cannot fork, and for tests."""
    try:
        if console.stdout is not None:
            console.stdout.write(hook.answered(words, plain, console))
            console.stdout.flush()
    except OSError:
        _discard_output(console)
    return 0


def plain(words: list[str], console: Console) -> int:
    """One command line in one console, the hook form without its own rules."""
    _speak_any_text(console)
    try:
        return _run(words, console)
    except KeyboardInterrupt:
        _tell(Session(console), Report(notes=("interrupted",)))
        return EXIT_INTERRUPTED


def _run(words: list[str], console: Console) -> int:
    asked = Session(console, json=_wants_json(words))
    try:
        answer = _parse(words)
    except SharedStateError as error:
        return _fail(asked, error)
    except BrokenPipeError:
        _discard_output(console)
        return 0  # the reader of a help text has seen enough
    except Exception as error:  # noqa: BLE001 - the last line of defence: one clear message, never a traceback
        return _unexpected(asked, error)
    if isinstance(answer, int):
        return answer
    return _call(answer, Session(console, json=answer.json, root=answer.root))


def _call(parsed: Parsed, session: Session) -> int:
    code = EXIT_UNEXPECTED
    if not parsed.command.hot or parsed.command.rest:
        gc.enable()
    try:
        with session:
            report: Report = load(parsed.command.handler)(session, **parsed.arguments)
            code = report.code
            session.emit(report)
    except SharedStateError as error:
        return _fail(session, error)
    except BrokenPipeError:
        # The reader went away (`claims list | head -1`). Once the handler has returned, what was to be done is done.
        _discard_output(session.console)
    except Exception as error:  # noqa: BLE001 - the last line of defence: one clear message, never a traceback
        return _unexpected(session, error)
    return code


def load(handler: str) -> Any:
    """The function that the table names as `module:function`."""
    module, _, name = handler.partition(":")
    __import__(module)
    return getattr(sys.modules[module], name)


def _parse(words: list[str]) -> Parsed | int:
    if words[:1] and words[0].startswith("--"):
        words = hot.in_order(words)
        if words[0] == "--version":
            words = ["version", *words[1:]]
    if COMPLETE not in os.environ:
        found = hot.parse(words)
        if found is not None:
            return found
    gc.enable()
    from sharedstate_cli.full.app import parse

    return parse(words)


# Faults


def _fail(session: Session, error: SharedStateError) -> int:
    document = error_document(code=error.code, message=str(error), hint=error.hint, retryable=error.retryable)
    _tell(session, Report(document=document, problems=complaint(error)))
    _trace()
    return error.exit_code


def _unexpected(session: Session, error: Exception) -> int:
    from sharedstate.masking import masked

    text = masked(f"{type(error).__name__}: {error}") if str(error) else type(error).__name__
    hint = f"run with {DEBUG}=1 for the traceback"
    document = error_document(code="unexpected", message=text, hint=hint, retryable=False)
    _tell(session, Report(document=document, problems=(f"unexpected {text} ({hint})",)))
    _trace()
    return EXIT_UNEXPECTED


def _tell(session: Session, report: Report) -> None:
    """Print what went wrong as far as that is possible: stdout may be full or gone."""
    try:
        session.emit(report)
    except OSError as error:
        _discard_output(session.console)
        try:
            session.note(f"cannot print the answer: {error.strerror}")
        except OSError:
            pass


def _wants_json(words: list[str]) -> bool:
    own = words[: words.index("--")] if "--" in words else words
    return "--json" in own


def _trace() -> None:
    if os.environ.get(DEBUG):
        import traceback

        from sharedstate.masking import masked

        sys.stderr.write(masked(traceback.format_exc()))


# Streams


def _speak_any_text(console: Console) -> None:
    """What the terminal's encoding cannot carry is written out (`\\u2026`) instead of failing."""
    for stream in (console.stdout, console.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _discard_output(console: Console) -> None:
    """Point stdout at nothing, so that the last flush finds no broken pipe and no full disk."""
    try:
        if console.stdout is not None:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, console.stdout.fileno())
            os.close(null)
    except (OSError, ValueError):
        pass


def _leave(code: int) -> None:
    """End here: taking the interpreter apart would cost a tenth of a verb's time. Everything is flushed and closed."""
    if os.environ.get(DEBUG):
        return
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            pass
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
