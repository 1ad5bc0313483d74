"""The process around a command: its streams, signals and exit code.

Without a handler of its own, SIGTERM ends a process with what it was writing left behind, and does nothing at all to
the first process of a container. Dagster lets SIGTERM do what Ctrl-C does, and forgets which of them it was, so the
numbers are kept where no handler that is set later can lose them.
"""

import codecs
import io
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import click

from capsim_dagster.cli.options import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE
from capsim_dagster.errors import SettingsError

EXIT_OF_SIGNAL: Final = 128
"""What shells add to the number of a signal."""
EXIT_BROKEN_PIPE: Final = EXIT_OF_SIGNAL + 13
"""Who read the output has gone, as in `capsim status | head -1`."""
_PLAIN: Final = {
    "✓": "+", "✗": "x", "■": "#", "○": "o", "▶": ">", "·": ".", "→": "->", "…": "...", "━": "-",
    "≠": "!=", "\u2013": "-", "\u2212": "-", "\xd7": "x", "\xa0": " ",
}  # fmt: skip
"""How marks are written where the terminal's encoding has none."""
_AGAIN_SECONDS: Final = 0.05
"""By then what was cleared away is gone."""
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def exit_code_of(command: Callable[[], object]) -> int:
    """Run a command, tell what a user can act on, and return the exit code of the process."""
    if sys.platform == "win32":
        click.echo("error: capsim runs on Linux and macOS; on Windows, run it within WSL", err=True)
        return EXIT_USAGE
    _write_whatever_the_encoding()
    signals_came = interrupt_on_signals()
    try:
        code = _exit_code(command)
        sys.stdout.flush()
    except BrokenPipeError:
        # Nothing more can be written there, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    came = signals_came()
    return EXIT_OF_SIGNAL + came[0] if came and code == EXIT_INTERRUPTED else code


def report_interrupt() -> int:
    """Say that nothing is lost, and return the exit code."""
    click.secho("interrupted: what was complete stays; run it again to go on", fg="yellow", err=True)
    return EXIT_INTERRUPTED


def _exit_code(command: Callable[[], object]) -> int:
    try:
        code = command()
    except SystemExit as end:
        code = end.code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return report_interrupt()
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 what is not known is raised again
        return _told(error)
    return code if isinstance(code, int) else 0


def _told(error: Exception) -> int:
    """Tell what a user can do about an error; return the exit code."""
    from capsim_dagster.system_errors import clear_error, is_interrupt

    if is_interrupt(error):
        return report_interrupt()
    known = clear_error(error)
    if known is None:
        raise error
    click.secho(f"error: {known}", fg="red", err=True)
    return EXIT_USAGE if isinstance(known, SettingsError) else EXIT_FAILED


def _write_whatever_the_encoding() -> None:
    """Let no character end a command after its work is done, because the terminal's encoding lacks it."""
    codecs.register_error("capsim", _in_plain)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="capsim")


def _in_plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    plain = _PLAIN.get(character) or character.encode("ascii", "backslashreplace").decode()
    return plain, error.start + 1


def interrupt_on_signals() -> Callable[[], list[int]]:
    """Let SIGTERM interrupt a command as Ctrl-C does; return what tells which of them came, in order.

    What a shell or a supervisor has set to be ignored stays so.
    """
    receiver, sender = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
    for number in _SIGNALS:
        if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
            signal.signal(number, signal.default_int_handler)
    sys.unraisablehook = _interrupt_again

    def came() -> list[int]:
        with suppress(BlockingIOError):
            return [number for number in os.read(receiver, 1 << 16) if number in _SIGNALS]
        return []

    return came


def _interrupt_again(lost: "sys.UnraisableHookArgs") -> None:
    """Let an interrupt come once more that came while Python cleared something away, where no error can be raised."""
    if lost.exc_type is KeyboardInterrupt:
        main = threading.main_thread().ident or 0
        again = threading.Timer(_AGAIN_SECONDS, signal.pthread_kill, (main, signal.SIGINT))
        again.daemon = True
        again.start()
    else:
        sys.__unraisablehook__(lost)
