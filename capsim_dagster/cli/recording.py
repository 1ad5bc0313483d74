"""How a command that makes something is recorded where the UI looks: as a run of the job that makes it there."""

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
    settings: "Settings",
    job: str,
    assets: "Sequence[dg.AssetKey]",
    partitions: Sequence[str] = (),
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
