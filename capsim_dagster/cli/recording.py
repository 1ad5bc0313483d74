"""The run history as commands use it: one looks at it, and one is recorded in it, as a run of the job that does it."""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from capsim_dagster.cli.options import command_line, layout_of

if TYPE_CHECKING:
    import dagster as dg

    from capsim_dagster.orchestration.command_runs import CommandRun
    from capsim_dagster.settings import Settings


@contextmanager
def recording(
    settings: "Settings", job: str, assets: "Sequence[dg.AssetKey]", partitions: Sequence[str] = ()
) -> "Iterator[CommandRun]":
    """Record the command that is being worked on, as a run of the job that makes the same assets in the UI."""
    from capsim_dagster.definitions import build_definitions
    from capsim_dagster.orchestration.command_runs import Work, recorded

    work = Work(job, assets, partitions, command_line())
    definitions = build_definitions(settings, today=dt.datetime.now(dt.UTC).date(), months=work.months)
    with recorded(definitions, layout_of(settings), work, warn) as run:
        yield run


def warn(text: str) -> None:
    """Say something that keeps nothing from being done."""
    click.secho(text, fg="yellow", err=True)


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
    from capsim_dagster.orchestration.other_runs import release_dead_runs
    from capsim_dagster.orchestration.status import records_of

    with instance_to_read(layout) as instance:
        release_dead_runs(instance)
        yield records_of(instance)
