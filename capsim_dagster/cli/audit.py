"""`capsim audit`: one page that tells whether the table can be trusted."""

import sys
from pathlib import Path

import click

from capsim_dagster.cli.options import EXIT_FAILED, config_option, data_dir_option, read_settings, say


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

    The page needs no network and no other file. Exit code 1 says that something on it needs attention.
    """
    from capsim_dagster.pipeline.audit_page import write_audit_page
    from capsim_dagster.pipeline.platform import Platform

    page = write_audit_page(Platform(read_settings(config, data_dir)), output)
    say(f"capsim: wrote {page.path}\n  {page.verdict}")
    sys.exit(EXIT_FAILED if page.has_problems else 0)
