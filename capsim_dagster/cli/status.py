"""`capsim status`: what the UI shows, in the terminal, and the command for what is open."""

import json
import sys

import click

from capsim_dagster.cli import options
from capsim_dagster.cli.terminal import console


@click.command()
@click.option("--checks", "with_checks", is_flag=True, help="List every check, those too that passed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@options.config_option
@options.data_dir_option
@options.fleet_options
def status(given: options.Given, *, with_checks: bool, as_json: bool) -> None:
    """Show what is there: assets, months, checks, the last runs, what is open, and the command for it.

    The same as the UI shows, from the same records, compared with what lies on disk; nothing is run. Exit code 1 if an
    asset, a month or a blocking check failed, or what was made is gone or damaged; what is merely missing is no
    failure. Where a run was given another fleet or window, give them here too.
    """
    from capsim_dagster.cli import status_view

    settings = given.settings()
    view = status_view.look(settings, given.options)
    if as_json:
        click.echo(json.dumps(status_view.as_json(view), indent=2, default=str))
    else:
        status_view.show(view, console(), with_checks=with_checks)
    sys.exit(options.EXIT_FAILED if view.found.has_failures else 0)
