"""`capsim tier3`: the daily dataset, published, verified, and the credentials of the bucket that it goes to."""

import datetime as dt
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from capsim_dagster.cli import dataset, options
from capsim_dagster.cli.terminal import end_with
from capsim_dagster.errors import PublicationError
from capsim_dagster.text import megabytes

if TYPE_CHECKING:
    from capsim_dagster.audits.report import Findings
    from capsim_dagster.publication.tier3.manifest import DayManifest

_ENDPOINT: Final = r"https?://[^\s/@?#]+/?"
_BUCKET: Final = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"


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
@options.days_option("yesterday, UTC")
@click.option("--dry-run", is_flag=True, help="Go through everything, and write and upload nothing.")
@dataset.upload_option
@click.option("--allow-incomplete", is_flag=True, help="Publish what is whole; the manifest says what is missing.")
@dataset.replace_option
@options.config_option
@options.data_dir_option
@options.fleet_options
def export(
    dates: tuple[tuple[dt.date, ...], ...],
    given: options.Given,
    *,
    dry_run: bool,
    upload: bool,
    allow_incomplete: bool,
    replace: bool,
) -> None:
    """Publish days of the archive: output/tier3_daily/YYYY-MM-DD/data.parquet, and manifest.json last.

    A day is what lies in its folder of the archive. Refused are a day that is not over or lies before the window, fewer
    than 24 whole hours, and lines that are no samples; the other days go on, and the exit code is 1.
    """
    from capsim_dagster.publication.tier3.export import export_day
    from capsim_dagster.publication.tier3.manifest import DayManifest

    columns = ("day", "hours", "hosts", "rows", "rejected", "MB")
    job = dataset.Export(given.settings(), DayManifest, columns, job="daily_publication", dry_run=dry_run)
    if upload:
        job.prepare_upload(replace=replace)
    publish = partial(export_day, job.site, today=job.now.date(), allow_incomplete=allow_incomplete, dry_run=dry_run)
    days = options.days_in(dates) or [options.yesterday()]
    job.run([dataset.Part(str(day), str(day), partial(publish, day), _cells) for day in days])


def _cells(manifest: "DayManifest") -> Sequence[str]:
    counts = (len(manifest.hours.present), manifest.hosts, manifest.rows, manifest.rejected)
    size = megabytes(manifest.data.bytes) if manifest.data.bytes else ""
    return str(manifest.day), *(f"{count:,}" for count in counts), size


@tier3.command()
@dataset.verify_options
@click.option(
    "--data-dir", type=dataset.FOLDER, help="Data directory with a master: each host's P95 is compared with it."
)
def verify(asked: dataset.Asked, data_dir: Path | None) -> None:
    """Verify published days: bytes, digests, manifest, columns and every row; exit code 1 if there is an error.

    With --local nothing is needed but the folder: no settings, no archive, no bucket. With --data-dir the P95 of each
    host and resource must be that of the master there, to 0.01.
    """
    from capsim_dagster.simulated.master import MasterFile
    from capsim_dagster.storage.layout import DataLayout

    master = MasterFile(DataLayout(data_dir.absolute()).master).path if data_dir else None
    if asked.local is None:
        end_with(_verified_remote(asked, master), as_json=asked.as_json)
    end_with([_verified(each, master) for each in asked.folders()], as_json=asked.as_json)


def _verified_remote(asked: dataset.Asked, master: Path | None) -> "list[Findings]":
    from capsim_dagster.publication.dataset.upload import destination_of
    from capsim_dagster.settings import load_settings

    settings = load_settings(asked.config)
    published, days = settings.publication, asked.days or [options.yesterday()]
    verify_ = partial(_verified, master=master, max_null_share=published.max_null_share)
    return dataset.verified_there(destination_of(settings), published.tier3_prefix, map(str, days), verify_)


def _verified(folder: Path, master: Path | None, max_null_share: float | None = None) -> "Findings":
    """Return everything that can be said of a day, its P95 by the master included if there is one."""
    from capsim_dagster.publication.tier3.verify import MAX_NULL_SHARE, verify_dataset

    share = MAX_NULL_SHARE if max_null_share is None else max_null_share
    manifest = _manifest_in(folder) if master else None
    if master is None or manifest is None:
        return verify_dataset(folder, max_null_share=share)
    from capsim_dagster.publication.tier3.parity import master_p95, unlike_master, with_finding

    unlike = unlike_master(master, manifest)
    if unlike is None:
        return verify_dataset(folder, max_null_share=share, p95=master_p95(master, manifest.day))
    return with_finding(verify_dataset(folder, max_null_share=share), unlike)


def _manifest_in(folder: Path) -> "DayManifest | None":
    from capsim_dagster.publication.dataset.manifest import MANIFEST_NAME, parse_manifest
    from capsim_dagster.publication.tier3.manifest import DayManifest

    try:
        return parse_manifest(DayManifest, (folder / MANIFEST_NAME).read_bytes(), MANIFEST_NAME)
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
    options.say(f"stored in {path}, for you alone to read")


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
