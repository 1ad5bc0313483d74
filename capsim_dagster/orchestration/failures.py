"""How an error of the floors below ends a step."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import dagster as dg
import duckdb
import polars as pl

from capsim_dagster.errors import CapsimError
from capsim_dagster.system_errors import clear_error, is_interrupt

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
