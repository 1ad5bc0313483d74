"""The command `capsim`: argument parsing and printing; each command calls one plain function of the floors below.

Exit codes: 0 all gates hold, 1 a gate or a step failed, 2 settings or arguments cannot be used, 130 and 143 ended by
Ctrl-C and by SIGTERM.
"""

import datetime as dt
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.table import Table

from capsim_dagster.cli.archive import archive
from capsim_dagster.cli.audit import audit
from capsim_dagster.cli.backfill import backfill
from capsim_dagster.cli.options import (
    DATE,
    EXIT_FAILED,
    EXIT_USAGE,
    CapsimGroup,
    config_option,
    console,
    data_dir_option,
    fleet_options,
    layout_of,
    read_settings,
    say,
    window,
)
from capsim_dagster.cli.panel import panel
from capsim_dagster.cli.refine import refine
from capsim_dagster.cli.retention import retention
from capsim_dagster.cli.run import report_interrupt, run
from capsim_dagster.cli.signals import ended_by_signals
from capsim_dagster.cli.status import status
from capsim_dagster.cli.tier1 import tier1
from capsim_dagster.cli.tier2 import tier2
from capsim_dagster.cli.tier3 import tier3
from capsim_dagster.errors import CapsimError, SettingsError
from capsim_dagster.schemas import Resource
from capsim_dagster.settings import load_settings

if TYPE_CHECKING:
    from capsim_dagster.pipeline.bench import Measurement

_CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(cls=CapsimGroup, context_settings=_CONTEXT)
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
@config_option
@data_dir_option
@fleet_options
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
def ui(  # noqa: PLR0913 one argument an option
    config: Path | None,
    data_dir: Path | None,
    hosts: int | None,
    start: dt.datetime | None,
    end: dt.datetime | None,
    port: int | None,
    workspace: Path | None,
    *,
    verbose: bool,
) -> None:
    """Open the Dagster UI on this machine: assets, checks, runs, schedules. Ctrl-C ends it.

    It shows the history of every `capsim run` and `capsim backfill` on the same --data-dir, and works on the same
    data: where a run was given another fleet or window, give them here too.
    """
    from capsim_dagster.orchestration import ui as ui_server
    from capsim_dagster.orchestration.dead_runs import release_dead_runs
    from capsim_dagster.orchestration.instance import open_instance

    fleet = window(hosts, start, end)
    settings = read_settings(config, data_dir, generation=fleet)
    layout = layout_of(settings)
    with open_instance(layout) as instance:
        release_dead_runs(instance)
        say(f"capsim: starting the UI on {layout.root} …")
    sys.exit(
        ui_server.serve(
            layout,
            port=port,
            workspace=workspace,
            environment=ui_server.child_environment(config, layout.root, fleet),
            announce=lambda address: say(f"capsim: ready on {address} (Ctrl-C ends it)"),
            log=None if verbose else layout.dagster_home / "ui.log",
        )
    )


@capsim.command()
@config_option
@click.option("--hosts", type=int, multiple=True, help="Fleet size to measure; may be given more than once.")
@click.option("--start", type=DATE, help="First day.")
@click.option("--end", type=DATE, help="Last day, inclusive.")
@click.option("--dirt", type=float, help="Share of the feed's lines to damage, 0 to 0.2. Default: as in the settings.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--with-dagster/--without-dagster",
    default=True,
    help="Also measure `capsim run` and `capsim panel` as whole processes.",
)
def bench(  # noqa: PLR0913 one argument an option
    config: Path | None,
    hosts: tuple[int, ...],
    start: dt.datetime | None,
    end: dt.datetime | None,
    dirt: float | None,
    as_json: bool,
    with_dagster: bool,
) -> None:
    """Measure CPU seconds, wall time, peak memory and rows a second, stage by stage, in a temporary folder.

    Compare CPU seconds and memory: wall time depends on what else the machine does.
    """
    sizes = hosts or (load_settings(config).data_generation.num_servers,)
    measured = {size: _measure(config, window(size, start, end), dirt, with_dagster=with_dagster) for size in sizes}
    if as_json:
        click.echo(json.dumps({size: [m.as_json() for m in rows] for size, rows in measured.items()}, indent=2))
        return
    for size, rows in measured.items():
        console().print(_bench_table(size, rows))


@capsim.command()
@click.argument("host", help="Id or number of a host: srv-000007 or 7.")
@config_option
@data_dir_option
@click.option(
    "--resource",
    type=click.Choice([resource.value for resource in Resource]),
    help="Default: the resource that runs full on a CAPACITY_BREACH host, else cpu.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write, .svg or .png. Default: <data-dir>/plots/<host>_<resource>.svg.",
)
def plot(host: str, config: Path | None, data_dir: Path | None, resource: str | None, output: Path | None) -> None:
    """Draw one series: what was observed, what was expected, and what happened to it.

    The picture shows daily P95 utilization in percent of capacity over the whole window, the expectation without noise
    and events, each labelled event and gap, the breach threshold and, for a host that runs full, the date. It needs a
    master and its ground truth: capsim run.

    \b
    capsim plot 9                                  the first host that breaches, on its limiting resource
    capsim plot srv-000007 --resource network --output bursts.png
    """  # noqa: D301 click formats this text
    from capsim_dagster.pipeline.pictures import series_picture
    from capsim_dagster.pipeline.platform import Platform
    from capsim_dagster.plots.canvas import picture_format
    from capsim_dagster.storage import atomic_path

    kind = picture_format(output)
    platform = Platform(read_settings(config, data_dir))
    picture = series_picture(platform, host, Resource(resource) if resource else None, kind)
    path = output or platform.layout.plots / f"{picture.host_id}_{picture.resource}.{kind}"
    try:
        with atomic_path(path) as temporary:
            temporary.write_bytes(picture.content)
    except OSError as error:
        raise SettingsError(f"cannot write {path}: {error.strerror}", remedy="name another --output") from None
    say(f"capsim: wrote {path}\n  {picture.caption}")


@ended_by_signals()
def main() -> None:
    """Run the command; errors that a user can act on are printed without a traceback."""
    try:
        capsim(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(report_interrupt())
    except CapsimError as error:
        click.secho(f"error: {error}", fg="red", err=True)
        sys.exit(EXIT_USAGE if isinstance(error, SettingsError) else EXIT_FAILED)


def _measure(
    config: Path | None, chosen: dict[str, Any], dirt: float | None, *, with_dagster: bool
) -> "list[Measurement]":
    from capsim_dagster.pipeline.bench import measure_command, measure_publication, measure_stages

    dirty = {} if dirt is None else {"defects": {"line_share": dirt}}
    with tempfile.TemporaryDirectory(prefix="capsim-bench-") as folder:
        settings = read_settings(
            config,
            Path(folder) / "stages",
            generation=chosen,
            feed=dirty,
            # What dirt costs is asked, not whether a month would be let in.
            refinery={"max_rejected_share": 1.0} if dirt else {},
        )
        measured = [*measure_stages(settings), *measure_publication(settings)]
        if with_dagster:
            fleet, data_dir = settings.data_generation, ["--data-dir", str(Path(folder) / "run")]
            data_dir += ["--config", str(config)] if config else []
            window_options = ["--start", str(fleet.start_date), "--end", str(fleet.end_date)]
            of_fleet = ["--hosts", str(fleet.num_servers), *window_options]
            measured += [
                measure_command("run", options=[*of_fleet, *data_dir]),
                measure_command("panel", "generate", options=[*of_fleet, *data_dir]),
                measure_command("panel", "load", options=data_dir),
            ]
    return measured


def _bench_table(hosts: int, rows: "list[Measurement]") -> Table:
    table = Table("stage", "CPU s", "wall s", "peak RSS MiB", "rows", "rows/s", title=f"{hosts:,} hosts")
    for column in table.columns[1:]:
        column.justify = "right"
    for m in rows:
        counted = (f"{m.rows:,}", f"{m.rows_per_s:,.0f}") if m.rows else ("", "")
        table.add_row(m.stage, f"{m.cpu_s:.2f}", f"{m.wall_s:.2f}", f"{m.peak_rss_mib:,.0f}", *counted)
    return table


for _command in (run, status, backfill, refine, audit, panel, archive, tier1, tier2, tier3, retention):
    capsim.add_command(_command)
