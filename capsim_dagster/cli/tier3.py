"""`capsim tier3`: the daily dataset, published, verified, and the credentials of the bucket that it goes to."""

import datetime as dt
import re
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from capsim_dagster.cli.options import (
    EXIT_FAILED,
    Given,
    config_option,
    console,
    data_dir_option,
    days_in,
    days_option,
    fleet_options,
    read_settings,
    say,
    yesterday,
)
from capsim_dagster.cli.recording import recording
from capsim_dagster.cli.terminal import escape, titled
from capsim_dagster.cli.verification import end_with
from capsim_dagster.errors import PublicationError
from capsim_dagster.text import megabytes

if TYPE_CHECKING:
    from capsim_dagster.audits.report import Findings
    from capsim_dagster.orchestration.command_runs import CommandRun
    from capsim_dagster.publication.export import Exported
    from capsim_dagster.publication.manifest import Manifest
    from capsim_dagster.settings import Settings
    from capsim_dagster.storage import Store

_ENDPOINT: Final = r"https?://[^\s/@?#]+/?"
_BUCKET: Final = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_dates_option = days_option("yesterday, UTC")
_Days = tuple[tuple[dt.date, ...], ...]


@click.group()
def tier3() -> None:
    """The daily dataset: a UTC day of the archive as one Parquet file, with a manifest that anyone can verify.

    \b
    capsim tier3 export                          yesterday, UTC
    capsim tier3 export --date 2026-01-15 --upload
    capsim tier3 verify --local data/output/tier3_daily/2026-01-15
    capsim tier3 verify --remote --date 2026-01-15
    capsim tier3 configure                       store the credentials of the bucket
    """  # noqa: D301 click formats this text


@tier3.command()
@_dates_option
@click.option("--dry-run", is_flag=True, help="Go through everything, and write and upload nothing.")
@click.option("--upload", is_flag=True, help="Put the days into the bucket too.")
@click.option("--allow-incomplete", is_flag=True, help="Publish what is whole; the manifest says what is missing.")
@click.option("--replace", is_flag=True, help="Let --upload replace a day that is published with other content.")
@config_option
@data_dir_option
@fleet_options
def export(dates: _Days, given: Given, *, dry_run: bool, upload: bool, allow_incomplete: bool, replace: bool) -> None:
    """Publish days of the archive: output/tier3_daily/YYYY-MM-DD/data.parquet, and manifest.json last.

    A day is what lies in its folder of the archive. Refused are a day that is not over or lies before the window, fewer
    than 24 whole hours, and lines that are no samples; the other days go on, and the exit code is 1.
    """
    settings = read_settings(given.config, given.data_dir, generation=given.fleet)
    job = _Export(settings, console(), dry_run=dry_run, allow_incomplete=allow_incomplete)
    if upload and not dry_run:
        job.prepare_upload(replace=replace)
    days = days_in(dates) or [yesterday()]
    with nullcontext() if dry_run else _recording(settings, days) as record:
        refused = [error for day in days if (error := job.publish(day, record)) is not None]
    job.print_table(refused)
    sys.exit(EXIT_FAILED if refused else 0)


def _recording(settings: "Settings", days: list[dt.date]) -> "AbstractContextManager[CommandRun]":
    from capsim_dagster.orchestration.jobs import DAILY_PUBLICATION
    from capsim_dagster.orchestration.keys import TIER3_DAILY

    return recording(settings, DAILY_PUBLICATION, [TIER3_DAILY], [str(day) for day in days])


class _Export:
    """The days of one command."""

    def __init__(self, settings: "Settings", terminal: Console, *, dry_run: bool, allow_incomplete: bool) -> None:
        from capsim_dagster.publication.export import site_of

        self._settings, self._terminal = settings, terminal
        self._dry_run, self._allow_incomplete = dry_run, allow_incomplete
        self._site = site_of(settings)
        self._store: Store | None = None
        self._replace = False
        self._table = titled("tier3_daily", "day", "hours", "hosts", "rows", "rejected", "MB", "", numbers=range(1, 6))

    def prepare_upload(self, *, replace: bool) -> None:
        """Make sure that the bucket can be reached, before long work starts."""
        from capsim_dagster.publication.export import destination_of

        self._store, self._replace = destination_of(self._settings), replace
        self._store.check()

    def publish(self, day: dt.date, record: "CommandRun | None") -> PublicationError | None:
        """Publish a day; return why not, if it was refused."""
        error = self._publish(day, record)
        if record is not None and error is not None:
            from capsim_dagster.orchestration.keys import TIER3_DAILY

            record.refused(TIER3_DAILY, error)
        return error

    def _publish(self, day: dt.date, record: "CommandRun | None") -> PublicationError | None:
        from capsim_dagster.publication.export import export_day

        today = dt.datetime.now(dt.UTC).date()
        exported = None
        try:
            exported = export_day(
                self._site, day, today=today, allow_incomplete=self._allow_incomplete, dry_run=self._dry_run
            )
            if record is not None:
                self._record(exported, record)
            self._add(exported, self._state(exported))
        except PublicationError as error:
            if exported is None:
                self._table.add_row(str(day), "", "", "", "", "", "[red]refused")
            else:
                self._add(exported, "[red]upload refused")
            return error
        return None

    def _record(self, exported: "Exported", record: "CommandRun") -> None:
        """Look at the day as a consumer would, and record what is found."""
        from capsim_dagster.orchestration.keys import TIER3_DAILY
        from capsim_dagster.orchestration.publication_assets import day_of_tier3
        from capsim_dagster.pipeline.platform import Platform
        from capsim_dagster.pipeline.publication import verified_day

        platform = Platform(self._settings)
        made = day_of_tier3(platform, verified_day(platform, exported))
        if self._store is not None:  # what becomes of it in the bucket comes after this
            del made.facts["bucket"]
        record.made(TIER3_DAILY, made, str(exported.manifest.day))

    def _state(self, exported: "Exported") -> str:
        done = "unchanged" if exported.is_unchanged else "would be written" if self._dry_run else "[green]written[/]"
        incomplete = "" if exported.manifest.complete else ", [yellow]incomplete[/]"
        if self._store is None:
            return f"{done}{incomplete}"
        from capsim_dagster.publication.upload import upload_day

        prefix = self._settings.publication.tier3_prefix
        uploaded = upload_day(exported.folder, self._store, prefix, replace=self._replace)
        return f"{done}{incomplete}; {escape(uploaded.url)} {uploaded.outcome}"

    def _add(self, exported: "Exported", state: str) -> None:
        facts = exported.manifest
        counts = (len(facts.hours.present), facts.hosts, facts.rows, facts.rejected)
        size = megabytes(facts.data.bytes) if facts.data.bytes else ""
        self._table.add_row(str(facts.day), *(f"{count:,}" for count in counts), size, state)

    def print_table(self, refused: list[PublicationError]) -> None:
        """Print what became of each day."""
        self._terminal.print(self._table)
        for error in refused:
            self._terminal.print(f"[red]refused[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        self._terminal.print(escape(f"in {self._site.output_root}"), soft_wrap=True, highlight=False)


@tier3.command()
@click.option(
    "--local", type=click.Path(path_type=Path, file_okay=False), help="Folder of a day, or of days by --date."
)
@click.option("--remote", is_flag=True, help="Verify what the bucket holds.")
@_dates_option
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Data directory with a master: each host's P95 is compared with it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print every finding as JSON, one object a day.")
@config_option
def verify(
    local: Path | None,
    dates: _Days,
    data_dir: Path | None,
    config: Path | None,
    *,
    remote: bool,
    as_json: bool,
) -> None:
    """Verify published days: bytes, digests, manifest, columns and every row; exit code 1 if there is an error.

    With --local nothing is needed but the folder: no settings, no archive, no bucket. With --data-dir the P95 of each
    host and resource must be that of the master there, to 0.01.
    """
    if (local is None) != remote:
        raise click.UsageError("give either --local DIR or --remote")
    master = _master_of(data_dir) if data_dir else None
    results = _verified_remote(config, dates, master) if local is None else _verified_local(local, dates, master)
    end_with(results, as_json=as_json)


def _master_of(data_dir: Path) -> Path:
    """Return the master of a data directory.

    Raises:
        MasterError: If there is none.
    """
    from capsim_dagster.simulated.master import MasterFile
    from capsim_dagster.storage import DataLayout

    return MasterFile(DataLayout(data_dir.absolute()).master).path


def _verified_local(folder: Path, dates: _Days, master: Path | None) -> "list[Findings]":
    names = [str(day) for day in days_in(dates)]
    folders = [folder if name == folder.name else folder / name for name in names] or [folder]
    return [_verified(each, master) for each in folders]


def _verified_remote(config: Path | None, dates: _Days, master: Path | None) -> "list[Findings]":
    from dataclasses import replace

    from capsim_dagster.publication.export import destination_of, fetched_day
    from capsim_dagster.settings import load_settings

    settings = load_settings(config)
    store, results = destination_of(settings), []
    for day in days_in(dates) or [yesterday()]:
        prefix = f"{settings.publication.tier3_prefix}/{day}"
        with fetched_day(store, prefix) as folder:
            found = _verified(folder, master, settings.publication.max_null_share)
        results.append(replace(found, where=store.url(prefix)))
    return results


def _verified(folder: Path, master: Path | None, max_null_share: float | None = None) -> "Findings":
    """Return everything that can be said of a day, its P95 by the master included if there is one."""
    from capsim_dagster.publication.verify import MAX_NULL_SHARE, verify_dataset

    share = MAX_NULL_SHARE if max_null_share is None else max_null_share
    manifest = _manifest_in(folder) if master else None
    if master is None or manifest is None:
        return verify_dataset(folder, max_null_share=share)
    from capsim_dagster.publication.parity import master_p95, unlike_master, with_finding

    unlike = unlike_master(master, manifest)
    if unlike is None:
        return verify_dataset(folder, max_null_share=share, p95=master_p95(master, manifest.day))
    return with_finding(verify_dataset(folder, max_null_share=share), unlike)


def _manifest_in(folder: Path) -> "Manifest | None":
    """Return the manifest of a folder; None = there is none that can be read."""
    from capsim_dagster.publication.manifest import MANIFEST_NAME, parse_manifest

    try:
        return parse_manifest((folder / MANIFEST_NAME).read_bytes(), MANIFEST_NAME)
    except (OSError, PublicationError):
        return None


@tier3.command()
def configure() -> None:
    """Store endpoint and credentials of the bucket in your configuration directory, for you alone to read.

    They are used for that bucket at that endpoint only; the variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    AWS_PROFILE and AWS_ENDPOINT_URL win over them. The secret is not shown while it is typed.
    """
    from capsim_dagster.storage.credentials import StoredCredentials, store_credentials

    endpoint = click.prompt("Endpoint (empty = AWS)", default="", show_default=False, value_proc=_endpoint)
    bucket = click.prompt("Bucket", value_proc=_bucket)
    region = click.prompt("Region (auto for R2; empty = as the environment has it)", default="", show_default=False)
    key = click.prompt("Access key id", value_proc=_one_word)
    secret = click.prompt("Secret access key", hide_input=True, value_proc=_one_word)
    path = store_credentials(StoredCredentials(bucket, endpoint.rstrip("/"), region.strip(), key, secret))
    say(f"stored in {path}, for you alone to read")


def _endpoint(text: str) -> str:
    if text and not re.fullmatch(_ENDPOINT, text):
        raise click.BadParameter("expected http:// or https:// with a host and a port, and no credentials in it")
    return text


def _bucket(text: str) -> str:
    if not re.fullmatch(_BUCKET, text):
        raise click.BadParameter("expected 3 to 63 small letters, digits, dots and dashes")
    return text


def _one_word(text: str) -> str:
    if not text.strip() or len(text.split()) > 1:
        raise click.BadParameter("expected one word")
    return text.strip()
