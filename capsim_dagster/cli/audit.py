"""`capsim audit`: one page that tells whether the table can be trusted."""

import sys
from pathlib import Path

import click

from capsim_dagster.cli.options import EXIT_FAILED, config_option, data_dir_option, read_settings, say
from capsim_dagster.cli.recording import recording


@click.command()
@config_option
@data_dir_option
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write. Default: <data-dir>/audit/refinery.html.",
)
def audit(config: Path | None, data_dir: Path | None, output: Path | None) -> None:
    """Write one HTML page: what became of every feed file and line, and whether the accounts balance.

    The page needs no network and no other file. Exit code 1 says that something on it needs attention. In its usual
    place it is the asset refinery_audit: it is recorded, and the checks over all months are run.
    """
    from capsim_dagster.pipeline.platform import Platform
    from capsim_dagster.pipeline.refine import loaded_months, write_audit_page

    platform = Platform(read_settings(config, data_dir))
    page = write_audit_page(platform, output)
    say(f"capsim: wrote {page.path}\n  {page.verdict}")
    if output is None:
        from capsim_dagster.orchestration.checks import made_audit
        from capsim_dagster.orchestration.jobs import REFINE_FEED
        from capsim_dagster.orchestration.keys import REFINERY_AUDIT

        with recording(platform.settings, REFINE_FEED, [REFINERY_AUDIT]) as record:
            record.made(REFINERY_AUDIT, made_audit(platform, page, loaded_months(platform)))
    sys.exit(EXIT_FAILED if page.has_problems else 0)
