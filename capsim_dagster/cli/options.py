"""What the commands share: options, exit codes, settings with options on top, and the terminal."""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from capsim_dagster.text import visible_lines

Command = Callable[..., None]
"""A function that click makes a command of."""

if TYPE_CHECKING:
    from capsim_dagster.cli.terminal import Terminal
    from capsim_dagster.settings import Settings
    from capsim_dagster.storage import DataLayout

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
DATE: Final = click.DateTime(formats=["%Y-%m-%d"])
_RANGE_OF_DAYS: Final = ".."


class DayRange(click.ParamType[tuple[dt.date, ...]]):
    """A day, or the days from one to another, both inclusive: 2026-01-15 or 2026-01-01..2026-01-31."""

    name = "day[..day]"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[dt.date, ...]:
        """Return the days, ascending."""
        first, separator, last = str(value).partition(_RANGE_OF_DAYS)
        ends = [DATE.convert(text, param, ctx).date() for text in (first, last if separator else first)]
        if ends[1] < ends[0]:
            self.fail(f"the range {value} ends before it begins", param, ctx)
        return tuple(ends[0] + dt.timedelta(days=offset) for offset in range((ends[1] - ends[0]).days + 1))


def days_option(default: str) -> Callable[[Command], Command]:
    """Return the option `--date`, whose values `days_in` puts together.

    Args:
        default: What is meant without it, in words.
    """
    help_ = f"Day, or range such as 2026-01-01..2026-01-31; may be repeated. Default: {default}."
    return click.option("--date", "dates", type=DayRange(), multiple=True, help=help_)


def days_in(dates: Iterable[Iterable[dt.date]]) -> list[dt.date]:
    """Return the days that were asked for, each once, in order; none were = none."""
    return sorted({day for days in dates for day in days})


def yesterday() -> dt.date:
    """Return the last day that is over, in UTC."""
    return dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Settings file. Default: $CAPSIM_CONFIG, else config/config.yaml.",
)
data_dir_option = click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Folder for every output. Default: data."
)
env_option = click.option(
    "--env",
    type=click.Choice(["local", "sagemaker", "lambda"]),
    help="Where this runs (general.env): selects the data directory, and whether a bucket that is named is used.",
)
MONTH: Final = click.DateTime(formats=["%Y-%m"])
_FLEET_OPTIONS: Final = (
    click.option("--hosts", type=int, help="Hosts in the fleet, 10 or more (data_generation.num_servers)."),
    click.option("--start", type=DATE, help="First day (data_generation.start_date)."),
    click.option("--end", type=DATE, help="Last day, inclusive (data_generation.end_date)."),
)


def fleet_options(command: Command) -> Command:
    """Add the options that choose fleet and window: those of the run whose data are to be worked on."""
    for option in reversed(_FLEET_OPTIONS):
        command = option(command)
    return command


def read_settings(
    config: Path | None,
    data_dir: Path | None,
    *,
    generation: Mapping[str, Any] | None = None,
    feed: Mapping[str, Any] | None = None,
    refinery: Mapping[str, Any] | None = None,
    env: str | None = None,
) -> "Settings":
    """Return the settings with the command's options on top; an option that is None was not given."""
    from capsim_dagster.settings import load_settings

    chosen = {
        "data_generation": _given(generation or {}),
        "storage": _given({"local_base_path": data_dir}),
        "legacy_feed": _given(feed or {}),
        "refinery": _given(refinery or {}),
        "general": _given({"env": env}),
    }
    return load_settings(config, chosen)


def window(hosts: int | None, start: dt.datetime | None, end: dt.datetime | None) -> dict[str, Any]:
    """Return the options that choose fleet and window as settings of `data_generation`."""
    return {"num_servers": hosts, "start_date": start and start.date(), "end_date": end and end.date()}


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def console() -> "Terminal":
    """Return the terminal, or a page wide enough for the tables where output goes to a file."""
    from capsim_dagster.cli import terminal

    return terminal.console()


def say(message: str) -> None:
    """Print a message, in which others may have written too, as plain text."""
    click.echo(visible_lines(message))


def layout_of(settings: "Settings") -> "DataLayout":
    """Return where each artifact lies."""
    from capsim_dagster.pipeline.platform import Platform

    return Platform(settings).layout
