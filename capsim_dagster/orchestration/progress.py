"""What surrounds the work of a step: how far it is, as log lines in the UI, and how an error of a floor below ends it.

The terminal's bars are in `cli.run`.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol

import dagster as dg
import duckdb
import polars as pl

from capsim_dagster.errors import CapsimError
from capsim_dagster.system_errors import clear_error, is_interrupt


class Advance(Protocol):
    """Called as units of a stage are done."""

    def __call__(self, amount: int, what: str = "", /) -> None:
        """Say how many were done just now, and which, in a word."""
        ...


Context = dg.AssetExecutionContext | dg.AssetCheckExecutionContext
"""Whose log the lines go to."""

_LOG_INTERVAL_SECONDS: Final = 5.0
"""A log line costs 5 ms, and a person reads no faster."""


class Progress(Protocol):
    """Shows how far a stage is."""

    def stage(self, context: Context, *, name: str, total: int, unit: str) -> AbstractContextManager[Advance]:
        """Open a stage of `total` units; the function it yields is called as they are done."""
        ...

    def say(self, text: str) -> None:
        """Say what keeps all stages from going on."""
        ...


class LogProgress:
    """Writes a log line every five seconds: done, of how many, at which rate, and how long it will take."""

    def say(self, text: str) -> None:
        """Say nothing: the log of the run has the line."""

    @contextmanager
    def stage(self, context: Context, *, name: str, total: int, unit: str) -> Iterator[Advance]:
        """Open a stage of `total` units."""
        began = logged = time.monotonic()
        done = 0

        def advance(amount: int, what: str = "", /) -> None:
            nonlocal done, logged
            done += amount
            now = time.monotonic()
            if now - logged >= _LOG_INTERVAL_SECONDS:
                logged = now
                rate = done / (now - began)
                context.log.info(
                    f"{name}{what and f' {what}'}: {done:,} of {total:,} {unit}, {rate:,.3g} a second, "
                    f"{(total - done) / rate:.0f} s to go"
                )

        yield advance
        context.log.info(f"{name}: {done:,} of {total:,} {unit} in {time.monotonic() - began:.1f} s")


_OF_THE_SYSTEM: Final = (OSError, duckdb.Error, pl.exceptions.PolarsError)
"""A full disk, a folder that may not be written, a damaged database: each library has its own name for it."""


@contextmanager
def clear_failure() -> Iterator[None]:
    """Show an error that a user can act on as a failure with its remedy, and a cancelled query as a cancelled run.

    Raises:
        dagster.Failure: Instead of a `CapsimError`, and of what the system says.
        dagster.DagsterExecutionInterruptedError: Instead of what DuckDB and polars raise when a run is cancelled: a
            step that failed would show its run, and every month of it, as failed.
    """
    try:
        yield
    except (CapsimError, KeyboardInterrupt, RuntimeError, *_OF_THE_SYSTEM) as error:
        if is_interrupt(error):
            raise dg.DagsterExecutionInterruptedError from error
        known = clear_error(error)
        if known is None:
            raise
        raise dg.Failure(description=str(known), metadata={"remedy": known.remedy}, allow_retries=False) from error
