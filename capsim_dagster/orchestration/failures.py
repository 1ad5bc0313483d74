"""How an error of the floors below ends a step."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import dagster as dg

from capsim_dagster.errors import CapsimError

_INTERRUPTED_QUERY: Final = "Query interrupted"


@contextmanager
def clear_failure() -> Iterator[None]:
    """Show an error that a user can act on as a failure with its remedy, and a cancelled query as a cancelled run.

    Raises:
        dagster.Failure: Instead of a `CapsimError`.
        dagster.DagsterExecutionInterruptedError: Instead of what DuckDB and polars raise when a run is cancelled: a
            step that failed would show its run, and every month of it, as failed.
    """
    try:
        yield
    except CapsimError as error:
        if is_interrupted(error):
            raise dg.DagsterExecutionInterruptedError from error
        raise dg.Failure(description=str(error), metadata={"remedy": error.remedy}, allow_retries=False) from error
    except (KeyboardInterrupt, RuntimeError) as error:
        if is_interrupted(error):
            raise dg.DagsterExecutionInterruptedError from error
        raise


def is_interrupted(error: BaseException) -> bool:
    """Return whether an error, or one that it was made from, is an interrupt."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt) or _INTERRUPTED_QUERY in str(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
