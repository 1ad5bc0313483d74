"""`capsim audit`: one page that tells whether the table can be trusted."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from capsim_dagster.cli.options import EXIT_FAILED, config_option, data_dir_option, read_settings, say
from capsim_dagster.cli.recording import recording
from capsim_dagster.errors import StorageError, plural

if TYPE_CHECKING:
    from capsim_dagster.pipeline.platform import Platform


@click.command()
@config_option
@data_dir_option
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write. Default: <data-dir>/audit/refinery.html.",
)
@click.option("--deep", is_flag=True, help="Also read every byte of what the last whole run left, and compare it.")
def audit(config: Path | None, data_dir: Path | None, output: Path | None, *, deep: bool) -> None:
    """Write one HTML page: what became of every feed file and line, and whether the accounts balance.

    The page needs no network and no other file. Exit code 1 says that something on it needs attention. In its usual
    place it is the asset refinery_audit: it is recorded, and the checks over all months are run.

    With --deep every file of the main job is read: a disk that rots changes bytes, and neither size nor time.
    """
    from capsim_dagster.pipeline.platform import Platform
    from capsim_dagster.pipeline.refine import loaded_months, write_audit_page

    platform = Platform(read_settings(config, data_dir))
    is_whole = _read_all(platform) if deep else True
    page = write_audit_page(platform, output)
    say(f"capsim: wrote {page.path}\n  {page.verdict}")
    if output is None:
        from capsim_dagster.orchestration.checks import made_audit
        from capsim_dagster.orchestration.jobs import REFINE_FEED
        from capsim_dagster.orchestration.keys import REFINERY_AUDIT

        with recording(platform.settings, REFINE_FEED, [REFINERY_AUDIT]) as record:
            record.made(REFINERY_AUDIT, made_audit(platform, page, loaded_months(platform)))
    sys.exit(EXIT_FAILED if page.has_problems or not is_whole else 0)


def _read_all(platform: "Platform") -> bool:
    """Compare every byte with what the last whole run left, and say what differs; return whether nothing does."""
    from capsim_dagster.pipeline.ledger import changed, of_the_run, page_of, read_ledger

    ledger = read_ledger(platform, of_the_run(platform))
    if ledger is None:
        raise StorageError(
            f"{platform.layout.root} has no ledger of a whole run with these settings, so nothing to compare with",
            remedy="make one: capsim run; it is for a simulated fleet and its own feed, on disk",
        )
    found = [
        name for name in changed(platform, of_the_run(platform), ledger, is_deep=True) if name != page_of(platform)
    ]
    for name in found:
        is_there = (platform.layout.root / name).exists()
        what = "is new" if name not in ledger.files else "has other bytes" if is_there else "is gone"
        say(f"{name} {what}")
    told = (
        f"{plural(len(found), 'file differs', 'files differ')}: capsim run makes them again"
        if found
        else "all as it was"
    )
    say(f"capsim: read {plural(len(ledger.files), 'file')} of the last whole run: {told}")
    return not found
