"""How a command ends when it is told to: SIGTERM as Ctrl-C does, each with an exit code of its own.

Without a handler of its own, SIGTERM ends a process with what it was writing left behind, and does nothing at all to
the first process of a container. Dagster lets SIGTERM do what Ctrl-C does, and forgets which of them it was, so the
numbers are kept where no handler that is set later can lose them.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def interrupt_on_signals() -> Callable[[], list[int]]:
    """Let SIGTERM interrupt a command as Ctrl-C does; return what tells which of them came, in order.

    What a shell or a supervisor has set to be ignored stays so.
    """
    receiver, sender = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(sender, warn_on_full_buffer=False)
    for number in _SIGNALS:
        if signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL):
            signal.signal(number, signal.default_int_handler)

    def came() -> list[int]:
        with suppress(BlockingIOError):
            return [number for number in os.read(receiver, 1 << 16) if number in _SIGNALS]
        return []

    return came
