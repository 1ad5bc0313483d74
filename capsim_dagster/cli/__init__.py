"""The command `capsim`: argument parsing and printing; each command calls one plain function of the floors below.

Exit codes: 0 all gates hold, 1 a gate or a step failed, 2 settings or arguments cannot be used, 130 and 143 ended by
Ctrl-C and by SIGTERM.
"""

import shlex
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import click

from capsim_dagster.cli import options
from capsim_dagster.cli.process import exit_code_of

_CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
_COMMANDS: Final = {
    "archive": "The samples of days that are over, as agents report them.",
    "audit": "One HTML page: what became of every feed file and line.",
    "backfill": "Bring months up to date: a range, single ones, or whatever is missing.",
    "bench": "What each stage costs on this machine.",
    "panel": "The server-metrics panel: make it, validate one, look at one.",
    "plot": "The picture of one series: observed, expected, events.",
    "refine": "Load monthly CSV files, yours or capsim's, and account for every line.",
    "retention": "Remove days that are older than they are kept.",
    "run": "The main job: simulate, write the feed, load the table, audit everything.",
    "status": "What is there, what failed, what is missing, and the command for it.",
    "tier1": "The fleet as it is now, over HTTP.",
    "tier2": "Hours of the archive by host and resource: publish and verify.",
    "tier3": "Days of the archive as verifiable datasets: publish and verify.",
}
"""The commands in modules of their own, with what each does in a line: `--help` loads none of them."""


class _LazyGroup(click.Group):
    """The commands of modules of the same names, loaded when they are asked for; a typo loads none of them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Remember how the command was called, and go on."""
        ctx.meta[options.COMMAND_KEY] = shlex.join(["capsim", *args])
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in order."""
        return sorted({*super().list_commands(ctx), *_COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, loading it where it is one of the package."""
        if cmd_name not in self.commands and cmd_name in _COMMANDS:
            self.add_command(getattr(import_module(f"{__name__}.{cmd_name}"), cmd_name))
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 click hands it over
        """Write what each command does in a line."""
        short = {name: command.get_short_help_str(limit=formatter.width) for name, command in self.commands.items()}
        with formatter.section("Commands"):
            formatter.write_dl(sorted({**short, **_COMMANDS}.items()))


@click.group(cls=_LazyGroup, context_settings=_CONTEXT)
@click.version_option(package_name="capsim")
def capsim() -> None:
    """Simulate a server fleet with known truth, break it into legacy monthly CSV feeds, refine the feeds into a
    forecasting-ready table, and prove at each step that nothing was lost.

    \b
    capsim run                          the main job: 2,000 hosts, three years, every audit
    capsim run --hosts 50 --end 2023-03-31 --data-dir /tmp/small
    capsim run --dirty                  the same over a feed with every kind of dirt in it
    capsim status                       what is there, what failed, what is missing, and the command for it
    capsim backfill 2026-01 2026-03     months after the window, or those that failed
    capsim refine --feed DIR            your own monthly CSV files: each line is loaded, or rejected with a reason
    capsim panel generate               the fleet as one wide Parquet file; capsim panel load validates any
    capsim archive                      yesterday's samples; capsim tier3 export publishes them with a manifest
    capsim tier1 serve                  the fleet as it is now, for Prometheus, streams and a live page
    capsim tier2 export                 hours that are new, late or corrected, by host and resource
    capsim retention --dry-run          days older than they are kept, and what would be removed
    capsim audit                        one page: what became of every file and line
    capsim ui                           the Dagster UI, with the history of every run
    capsim plot 9                       a picture of one series: observed, expected, events
    capsim bench --hosts 2000           what each stage costs
    """  # noqa: D205, D301 click formats this text


@capsim.command()
@options.config_option
@options.data_dir_option
@options.fleet_options
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    help="Port on 127.0.0.1. Default: 3000, or a free one where that is taken.",
)
@click.option(
    "--workspace",
    "-w",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Code locations to show beside capsim's. Default: ./workspace.yaml, or that of the checkout.",
)
@click.option("--verbose", is_flag=True, help="Show here what goes to <data-dir>/.dagster/ui.log otherwise.")
def ui(given: options.Given, port: int | None, workspace: Path | None, *, verbose: bool) -> None:
    """Open the Dagster UI on this machine: assets, checks, runs, schedules. Ctrl-C ends it.

    It shows the history of every `capsim run` and `capsim backfill` on the same --data-dir, and works on the same
    data: where a run was given another fleet or window, give them here too.
    """
    from capsim_dagster.orchestration import ui as ui_server
    from capsim_dagster.orchestration.instance import open_instance
    from capsim_dagster.orchestration.other_runs import release_dead_runs

    settings = given.settings()
    layout = options.layout_of(settings)
    with open_instance(layout) as instance:
        release_dead_runs(instance)
        options.say(f"capsim: starting the UI on {layout.root} …")
    sys.exit(
        ui_server.serve(
            layout,
            port=port,
            workspace=workspace,
            environment=ui_server.child_environment(given.config, layout.root, given.fleet),
            announce=lambda address: options.say(f"capsim: ready on {address} (Ctrl-C ends it)"),
            log=None if verbose else layout.dagster_home / "ui.log",
        )
    )


def main() -> None:
    """Run the command; what a user can act on is told without a traceback."""
    sys.exit(exit_code_of(lambda: capsim(standalone_mode=False)))
