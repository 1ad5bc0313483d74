"""`capsim tier2`: the hourly dataset, published and verified."""

import datetime as dt
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from capsim_dagster.cli import dataset, options
from capsim_dagster.cli.terminal import end_with

if TYPE_CHECKING:
    from capsim_dagster.audits.report import Findings
    from capsim_dagster.publication.hour_files import DayHour
    from capsim_dagster.publication.tier2.manifest import HourManifest
    from capsim_dagster.storage import Store

_KILO: Final = 1e3
_LAST_HOUR: Final = 23
_hours_option = click.option(
    "--hour", "hours", type=click.IntRange(0, _LAST_HOUR), multiple=True, help="Only this hour, may be repeated."
)


@click.group()
def tier2() -> None:
    """The hourly dataset: each hour of the archive by host and resource, with a manifest that anyone can verify.

    \b
    capsim tier2 export                          hours that are new, late or corrected
    capsim tier2 export --date 2026-01-15        all hours of a day
    capsim tier2 export --date 2026-01-15 --upload
    capsim tier2 verify --local data/output/tier2_hourly/2026-01-15
    capsim tier2 verify --local data/output/tier2_hourly/2026-01-15 --daily data/output/tier3_daily/2026-01-15
    capsim tier2 verify --remote --date 2026-01-15
    """  # noqa: D301 click formats this text


@tier2.command()
@options.days_option("what is pending")
@_hours_option
@click.option("--dry-run", is_flag=True, help="Go through everything, and write and upload nothing.")
@dataset.upload_option
@dataset.replace_option
@options.config_option
@options.data_dir_option
@options.fleet_options
def export(
    dates: tuple[tuple[dt.date, ...], ...],
    hours: tuple[int, ...],
    given: options.Given,
    *,
    dry_run: bool,
    upload: bool,
    replace: bool,
) -> None:
    """Publish hours of the archive: output/tier2_hourly/YYYY-MM-DD/HH/data.parquet, and manifest.json last.

    Of the days that are given all hours that are over; without --date the pending hours of the last days
    (automation.late_hours_days): those whose file is new, late or corrected. Refused are hours that are not over or lie
    before the window, files that are not whole, and lines that are no samples; the other hours go on, and the exit code
    is 1.
    """
    from capsim_dagster.orchestration.months import hour_key
    from capsim_dagster.publication.tier2.export import export_hour
    from capsim_dagster.publication.tier2.manifest import HourManifest

    columns = ("hour", "hosts", "rows", "samples", "gaps", "kB")
    job = dataset.Export(given.settings(), HourManifest, columns, job="hourly_publication", dry_run=dry_run)
    if upload:
        job.prepare_upload(replace=replace)
    days, back = options.days_in(dates), job.settings.automation.late_hours_days
    chosen = [hour for day in days for hour in _of_day(day, hours, job.now)] if days else _pending(job, hours, back)
    publish = partial(export_hour, job.site, now=job.now, dry_run=dry_run)
    job.run(
        [dataset.Part(str(hour), hour_key(hour.day, hour.hour), partial(publish, hour), _cells) for hour in chosen],
        otherwise=f"nothing is pending: every hour file of the last {back} days is published",
    )


def _pending(job: dataset.Export, hours: Sequence[int], days_back: int) -> "list[DayHour]":
    from capsim_dagster.publication.tier2.export import pending_hours

    days = [job.now.date() - dt.timedelta(days=back) for back in range(days_back)]
    return [hour for hour in pending_hours(job.site, days, now=job.now) if not hours or hour.hour in hours]


def _of_day(day: dt.date, hours: Sequence[int], now: dt.datetime) -> "list[DayHour]":
    """Return the hours of a day that are asked for; if none is, those that are over, or the first to refuse."""
    from capsim_dagster.publication.hour_files import DayHour
    from capsim_dagster.publication.tier2.export import hours_of

    if hours:
        return [DayHour(day, hour) for hour in sorted(set(hours))]
    return [hour for hour in hours_of(day) if hour.is_over(now)] or [DayHour(day, 0)]


def _cells(manifest: "HourManifest") -> Sequence[str]:
    counts = (manifest.hosts, manifest.rows, manifest.samples, manifest.gaps)
    size = f"{manifest.data.bytes / _KILO:,.0f}" if manifest.data.bytes else ""
    return str(manifest.day_hour), *(f"{count:,}" for count in counts), size


@tier2.command()
@dataset.verify_options
@_hours_option
@click.option(
    "--daily", type=dataset.FOLDER, help="The same day of the daily dataset on disk, to compare a day's hours with."
)
def verify(asked: dataset.Asked, hours: tuple[int, ...], daily: Path | None) -> None:
    """Verify published hours: bytes, digests, manifest, columns and every row; exit code 1 if there is an error.

    With --local nothing is needed but the folder, of an hour or of a day with all its hours. With --daily a day's hours
    are compared with the rows of the daily dataset, and those that are missing are named. With --remote the hours of a
    day that the bucket holds are verified, or those of --hour.
    """
    if asked.local is None:
        if daily is not None:
            raise click.UsageError("--daily needs --local")
        end_with(_verified_remote(asked, hours), as_json=asked.as_json)
    end_with(_verified_local(asked, hours, daily), as_json=asked.as_json)


def _verified_local(asked: dataset.Asked, hours: Sequence[int], daily: Path | None) -> "list[Findings]":
    from capsim_dagster.audits.report import Findings
    from capsim_dagster.publication.tier2.agree import agreement
    from capsim_dagster.publication.tier2.verify import hour_folders, verify_hour

    results, names = [], [f"{hour:02d}" for hour in hours]
    for folder in asked.folders():
        found = [folder / name for name in names] or hour_folders(folder)
        if daily is not None and not found:
            raise click.UsageError("--daily needs the folder of a day with its hours as --local")
        of_day = [verify_hour(each) for each in found or [folder]]
        results += of_day
        if daily is not None:
            rows = sum(result.rows for result in of_day)
            results.append(Findings(f"{folder} and {daily}", agreement(daily, found), rows))
    return results


def _verified_remote(asked: dataset.Asked, hours: Sequence[int]) -> "list[Findings]":
    from capsim_dagster.publication.dataset.upload import destination_of
    from capsim_dagster.publication.tier2.verify import verify_hour
    from capsim_dagster.settings import load_settings

    settings = load_settings(asked.config)
    store, prefix = destination_of(settings), settings.publication.tier2_prefix
    names = [f"{hour:02d}" for hour in hours]
    days = [f"{day}" for day in asked.days or [options.yesterday()]]
    places = [f"{day}/{name}" for day in days for name in names or _hours_there(store, f"{prefix}/{day}")]
    return dataset.verified_there(store, prefix, places, verify_hour)


def _hours_there(store: "Store", day: str) -> list[str]:
    """Return the hours of a day of which a store has something; the first one, to be missed, if it has nothing."""
    names = {found.key.removeprefix(f"{day}/").partition("/")[0] for found in store.walk(f"{day}/")}
    return sorted(names) or ["00"]
