"""What the commands share: options, exit codes, settings with options on top, and the terminal."""

import datetime as dt
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from capsim_dagster.text import visible_lines

Command = Callable[..., None]
"""A function that click makes a command of."""

if TYPE_CHECKING:
    from capsim_dagster.settings import Chosen, Settings
    from capsim_dagster.storage import DataLayout

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
_LETTERS: Final = {"%Y": "YYYY", "%m": "MM", "%d": "DD", "%H": "HH", "%M": "MM", "%S": "SS"}


class Moment(click.DateTime):
    """A date or time; its formats are shown as people write them."""

    def __init__(self, *formats: str) -> None:
        """Take the formats that are understood."""
        super().__init__(formats)
        shown = formats
        for code, letters in _LETTERS.items():
            shown = tuple(text.replace(code, letters) for text in shown)
        self.shown = " or ".join(shown)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002 click's
        """Return what stands for the value in the help."""
        return f"[{self.shown.replace(' or ', '|')}]"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        """Return the moment."""
        try:
            return super().convert(value, None, None)
        except click.BadParameter:
            self.fail(f"found '{value}'; expected a date that exists, as {self.shown}", param, ctx)


DATE: Final = Moment("%Y-%m-%d")
_RANGE_OF_DAYS: Final = ".."
COMMAND_KEY: Final = "capsim.command"
"""Where the context of a command holds how it was called: it is recorded beside what it makes."""


def command_line() -> str:
    """Return the command line that is being worked on."""
    return str(click.get_current_context().meta.get(COMMAND_KEY, "capsim"))


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
    """Return the option `--date`, whose values `days_in` puts together."""
    help_ = f"Day, or range such as 2026-01-01..2026-01-31; may be repeated. Default: {default}."
    return click.option("--date", "dates", type=DayRange(), multiple=True, help=help_)


def days_in(dates: Iterable[Iterable[dt.date]]) -> list[dt.date]:
    """Return the days that were asked for, each once, in order; none were = none."""
    return sorted({day for days in dates for day in days})


def yesterday() -> dt.date:
    """Return the last day that is over, in UTC."""
    return dt.datetime.now(dt.UTC).date() - dt.timedelta(days=1)


config_option = click.option(
    "--config", type=click.Path(path_type=Path), help="Settings file. Default: $CAPSIM_CONFIG, else config/config.yaml."
)
data_dir_option = click.option(
    "--data-dir", type=click.Path(path_type=Path, file_okay=False), help="Folder for every output. Default: data."
)
env_option = click.option(
    "--env",
    type=click.Choice(["local", "sagemaker", "lambda"]),
    help="Where this runs (general.env): selects the data directory, and whether a bucket that is named is used.",
)
MONTH: Final = Moment("%Y-%m")
_FLEET_OPTIONS: Final = (
    click.option("--hosts", type=int, help="Hosts in the fleet, 10 or more (data_generation.num_servers)."),
    click.option("--start", type=DATE, help="First day (data_generation.start_date)."),
    click.option("--end", type=DATE, help="Last day, inclusive (data_generation.end_date)."),
)


@dataclass(frozen=True)
class Given:
    """The options that say which fleet a command is about, as settings of `data_generation`, and where its data are."""

    config: Path | None
    data_dir: Path | None
    fleet: Mapping[str, Any]

    def settings(self) -> "Settings":
        """Return the settings of the data directory with these on top."""
        return read_settings(self.config, self.data_dir, data_generation=self.fleet)

    @property
    def options(self) -> dict[str, Any]:
        """They all, by the name of the option."""
        names = {"--hosts": "num_servers", "--start": "start_date", "--end": "end_date"}
        return {"--config": self.config, "--data-dir": self.data_dir} | {
            option: self.fleet[name] for option, name in names.items()
        }


def fleet_options(command: Command) -> Command:
    """Add the options that choose fleet and window, those of the run whose data are to be worked on.

    The command takes them, with `--config` and `--data-dir`, as one argument `given`.
    """

    @wraps(command)
    def taking_them(
        config: Path | None,
        data_dir: Path | None,
        hosts: int | None,
        start: dt.datetime | None,
        end: dt.datetime | None,
        **others: Any,  # noqa: ANN401 the other options
    ) -> None:
        command(given=Given(config, data_dir, window(hosts, start, end)), **others)

    made: Command = taking_them
    for option in reversed(_FLEET_OPTIONS):
        made = option(made)
    return made


def read_settings(
    config: Path | None, data_dir: Path | None, *, env: str | None = None, **sections: Mapping[str, Any]
) -> "Settings":
    """Return the settings of the data directory; an option that is None was not given.

    Raises:
        SettingsError: If a setting cannot be used, or one that decides what is there is not as recorded.
    """
    return open_directory(config, overrides_of(data_dir, env=env, **sections)).settings


def overrides_of(
    data_dir: Path | None, *, env: str | None = None, **sections: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the options of a command as settings, by section and key; those that are None were not given."""
    all_sections = {**sections, "storage": {"local_base_path": data_dir}, "general": {"env": env}}
    return {
        section: {name: value for name, value in given.items() if value is not None}
        for section, given in all_sections.items()
    }


def open_directory(
    config: Path | None, overrides: Mapping[str, Mapping[str, Any]], *, may_change: Iterable[str] = ()
) -> "Chosen":
    """Return the settings of a data directory with what it records, and say what an edited file has no part in.

    Raises:
        SettingsError: If a setting cannot be used, or one that decides what is there is not as recorded.
    """
    from capsim_dagster.settings import directory_settings

    chosen = directory_settings(config, overrides, may_change=may_change)
    if chosen.note:
        click.secho(f"note: {chosen.note}", fg="yellow", err=True)
    return chosen


def record_simulated(chosen: "Chosen") -> None:
    """Record by which settings a command has made simulated data, if it is the first one in its directory."""
    from capsim_dagster.pipeline.directory import record_first
    from capsim_dagster.settings import Kind

    record_first(chosen, Kind.SIMULATED)


def open_simulated(given: Given, *, env: str | None = None) -> "Chosen":
    """Return the settings of a directory that simulated data may be made in.

    Raises:
        SettingsError: As `open_directory`; or if the directory holds somebody's real data.
    """
    from capsim_dagster.pipeline.directory import require_simulated
    from capsim_dagster.pipeline.platform import Platform

    chosen = open_directory(given.config, overrides_of(given.data_dir, env=env, data_generation=given.fleet))
    require_simulated(Platform(chosen.settings))
    return chosen


def options_given(given: Mapping[str, Any]) -> str:
    """Return the options of a command as they are typed, so that another command goes to the same data.

    >>> options_given({"--hosts": 12, "--start": None, "--end": dt.datetime(2024, 2, 29)})
    ' --hosts 12 --end 2024-02-29'
    """
    words = []
    for name, value in given.items():
        if value is not None:
            shown = value.date().isoformat() if isinstance(value, dt.datetime) else str(value)
            words.append(f" {name} {shlex.quote(shown)}")
    return "".join(words)


def directory_option(settings: "Settings") -> str:
    """Return the option that leads another command to the same data directory; empty = it goes there by itself."""
    return options_given({"--data-dir": settings.storage.local_base_path})


def window(hosts: int | None, start: dt.datetime | None, end: dt.datetime | None) -> dict[str, Any]:
    """Return the options that choose fleet and window as settings of `data_generation`."""
    return {"num_servers": hosts, "start_date": start and start.date(), "end_date": end and end.date()}


def say(message: str) -> None:
    """Print a message, in which others may have written too, as plain text."""
    click.echo(visible_lines(message))


def layout_of(settings: "Settings") -> "DataLayout":
    """Return where each artifact lies."""
    from capsim_dagster.storage.layout import DataLayout

    return DataLayout(settings.data_dir.absolute())
