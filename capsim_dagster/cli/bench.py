"""`capsim bench`: what each stage costs on this machine."""

import datetime as dt
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.table import Table

from capsim_dagster.cli.options import DATE, config_option, read_settings, window
from capsim_dagster.cli.terminal import console

if TYPE_CHECKING:
    from capsim_dagster.cli.measure import Measurement


@click.command()
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
    from capsim_dagster.settings import load_settings

    sizes = hosts or (load_settings(config).data_generation.num_servers,)
    measured = {size: _measure(config, window(size, start, end), dirt, with_dagster=with_dagster) for size in sizes}
    if as_json:
        click.echo(json.dumps({size: [m.as_json() for m in rows] for size, rows in measured.items()}, indent=2))
        return
    for size, rows in measured.items():
        console().print(_bench_table(size, rows))


def _measure(
    config: Path | None, chosen: dict[str, Any], dirt: float | None, *, with_dagster: bool
) -> "list[Measurement]":
    from capsim_dagster.cli.measure import measure_command, measure_publication, measure_stages

    dirty = {} if dirt is None else {"defects": {"line_share": dirt}}
    with tempfile.TemporaryDirectory(prefix="capsim-bench-") as folder:
        settings = read_settings(
            config,
            Path(folder) / "stages",
            data_generation=chosen,
            legacy_feed=dirty,
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
