"""Opening what is recorded of a data directory in order to look: nothing is written, and little is loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg

    from capsim_dagster.orchestration.history import Records
    from capsim_dagster.storage import DataLayout


@contextmanager
def instance_to_read(layout: "DataLayout") -> "Iterator[dg.DagsterInstance]":
    """Open the instance of a data directory; where there is none, an empty one in memory: looking writes nothing."""
    import dagster as dg

    from capsim_dagster.orchestration.instance import open_instance

    if layout.dagster_home.is_dir():
        with open_instance(layout) as instance:
            yield instance
    else:
        with dg.DagsterInstance.ephemeral() as instance:
            yield instance


@contextmanager
def records_to_read(layout: "DataLayout") -> "Iterator[Records]":
    """Open what is recorded of a data directory.

    Dagster is loaded only where a run is not finished, as its process may have been killed, or where the records are
    not in the files that capsim sets up.
    """
    from capsim_dagster.orchestration.history import has_unfinished, open_records

    with open_records(layout.dagster_home) as records:
        if records is not None and not has_unfinished(records):
            yield records
            return
    from capsim_dagster.orchestration.dead_runs import release_dead_runs
    from capsim_dagster.orchestration.status import records_of

    with instance_to_read(layout) as instance:
        release_dead_runs(instance)
        yield records_of(instance)
