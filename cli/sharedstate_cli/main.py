"""The entry point of `claims`: parse, call the handler, print; every outcome has one clear answer and exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from sharedstate.errors import EXIT_UNEXPECTED, EXIT_USAGE, SharedStateError
from sharedstate_cli import hot
from sharedstate_cli.hot import Parsed
from sharedstate_cli.report import Report, complaint, error_document
from sharedstate_cli.session import Console, Session

DEBUG = "SHARED_STATE_DEBUG"
COMPLETE = "_CLAIMS_COMPLETE"
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None, *, console: Console | None = None) -> int:
    """Run one command and return its exit code. Never raises; prints no traceback unless SHARED_STATE_DEBUG is set."""
    words = sys.argv[1:] if argv is None else list(argv)
    if console is None:
        _guard_descriptors()
        console = Console.real()
    _speak_any_text(console)
    try:
        code = _run(words, console)
        _flush(console)
    except KeyboardInterrupt:
        _say(console, "interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _discard_output(console)
        return EXIT_UNEXPECTED
    return code


def _run(words: list[str], console: Console) -> int:
    as_json = _wants_json(words)
    try:
        answer = _parse(words)
    except SharedStateError as error:
        return _fail(Session(console, json=as_json), error)
    except (KeyboardInterrupt, BrokenPipeError):
        raise
    except Exception as error:  # noqa: BLE001 - the last line of defence: one clear message, never a traceback
        return _unexpected(Session(console, json=as_json), error)
    if isinstance(answer, int):
        return answer
    return _call(answer, Session(console, json=answer.json, root=answer.root))


def _call(parsed: Parsed, session: Session) -> int:
    code: int | None = None
    try:
        report: Report = load(parsed.command.handler)(session, **parsed.arguments)
        code = report.code
        session.emit(report)
        session.close()
    except SharedStateError as error:
        return _fail(session, error)
    except BrokenPipeError:
        # The reader went away (`claims list | head -1`): what was to be done is done, and nobody listens.
        _discard_output(session.console)
        return 0 if code is None else code
    except Exception as error:  # noqa: BLE001 - the last line of defence: one clear message, never a traceback
        return _unexpected(session, error)
    return code


def load(handler: str) -> Any:
    """The function that the table names as `module:function`."""
    module, _, name = handler.partition(":")
    __import__(module)
    return getattr(sys.modules[module], name)


def _parse(words: list[str]) -> Parsed | int:
    if COMPLETE not in os.environ:
        found = hot.parse(words)
        if found is not None:
            return found
    from sharedstate_cli.full.app import parse

    return parse(words)


def _fail(session: Session, error: SharedStateError) -> int:
    document = error_document(code=error.code, message=str(error), hint=error.hint, retryable=error.retryable)
    session.emit(Report(document=document, problems=complaint(error)))
    if os.environ.get(DEBUG):
        _trace()
    return error.exit_code


def _unexpected(session: Session, error: Exception) -> int:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    hint = f"run with {DEBUG}=1 for the traceback"
    document = error_document(code="unexpected", message=text, hint=hint, retryable=False)
    session.emit(Report(document=document, problems=(f"unexpected {text} ({hint})",)))
    if os.environ.get(DEBUG):
        _trace()
    return EXIT_UNEXPECTED


def _wants_json(words: list[str]) -> bool:
    own = words[: words.index("--")] if "--" in words else words
    return "--json" in own


def _trace() -> None:
    import traceback

    traceback.print_exc()


# Streams


def _guard_descriptors() -> None:
    """With a standard stream closed (`>&-`) its number would go to the next file opened: give it to nobody instead."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _speak_any_text(console: Console) -> None:
    """What the terminal's encoding cannot carry is written out (`\\u2026`) instead of failing."""
    for stream in (console.stdout, console.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _flush(console: Console) -> None:
    if console.stdout is not None:
        console.stdout.flush()


def _say(console: Console, text: str) -> None:
    try:
        Session(console).note(text)
    except OSError:
        pass


def _discard_output(console: Console) -> None:
    """Point stdout at nothing, so that the interpreter's last flush finds no broken pipe."""
    try:
        if console.stdout is not None:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, console.stdout.fileno())
            os.close(null)
    except (OSError, ValueError):
        pass


__all__ = ["EXIT_USAGE", "main"]

if __name__ == "__main__":
    sys.exit(main())
