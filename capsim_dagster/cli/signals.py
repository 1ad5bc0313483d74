"""How a command ends when it is told to: SIGTERM as Ctrl-C does, each with an exit code of its own.

Without a handler of its own, SIGTERM ends a process with what it was writing left behind, and does nothing at all to
the first process of a container. Dagster lets SIGTERM do what Ctrl-C does, and forgets which of them it was.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import click

from capsim_dagster.cli.options import EXIT_INTERRUPTED
from capsim_dagster.cli.run import report_interrupt

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_EXIT_OF_SIGNAL: Final = 128
"""What shells add to the number of a signal."""


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM interrupt a command as Ctrl-C does, and exit with 130 or 143, whichever it was.

    Raises:
        SystemExit: With that code, if one of them came and the command ended because of it.
    """
    receiver, sender = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
    for number in _SIGNALS:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    except (SystemExit, click.Abort, KeyboardInterrupt, RuntimeError) as error:
        came = _signals_in(receiver)
        is_other = isinstance(error, SystemExit) and error.code != EXIT_INTERRUPTED
        # DuckDB makes an error of its own of a query that a signal ends.
        if is_other or (isinstance(error, RuntimeError) and not came):
            raise
        if isinstance(error, RuntimeError | KeyboardInterrupt):
            report_interrupt()
        sys.exit(_EXIT_OF_SIGNAL + came[-1] if came else EXIT_INTERRUPTED)


def _signals_in(receiver: int) -> list[int]:
    """Return the signals that came and end a command, in order."""
    with suppress(BlockingIOError):
        return [number for number in os.read(receiver, 1 << 16) if number in _SIGNALS]
    return []
