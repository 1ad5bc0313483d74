"""`capsim bench`: what each stage costs on this machine, beside the floor of bare library calls."""

import datetime as dt
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from capsim_dagster.cli.options import DATE, config_option, read_settings, window
from capsim_dagster.cli.terminal import Terminal, console, escape

if TYPE_CHECKING:
    from capsim_dagster.cli.measure import Announce, Measurement


@click.command()
@config_option
@click.option("--hosts", type=int, multiple=True, help="Fleet size to measure; may be given more than once.")
@click.option("--start", type=DATE, help="First day.")
@click.option("--end", type=DATE, help="Last day, inclusive.")
@click.option("--dirt", type=float, help="Share of the feed's lines to damage, 0 to 0.2. Default: as in the settings.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--compare",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What an earlier bench printed with --json: print before, now and the change, for its fleet sizes.",
)
@click.option(
    "--with-dagster/--without-dagster",
    default=True,
    help="Also measure `capsim run`, the same again, `status`, `refine` and `panel` as whole processes.",
)
def bench(  # noqa: PLR0913 one argument an option
    config: Path | None,
    hosts: tuple[int, ...],
    start: dt.datetime | None,
    end: dt.datetime | None,
    dirt: float | None,
    compare: Path | None,
    as_json: bool,
    with_dagster: bool,
) -> None:
    """Measure CPU seconds, wall time, peak memory and rows a second, stage by stage, in a temporary folder.

    Compare CPU seconds and memory: wall time depends on what else the machine does. The floor is what bare library
    calls cost on as many rows in the same sitting, and `x floor` the ratio to those that a stage cannot do without.
    """
    from capsim_dagster.cli import bench_view
    from capsim_dagster.settings import load_settings

    if compare and as_json:
        raise click.UsageError("--compare prints tables, so it does not go with --json.")
    before = bench_view.read_bench(compare) if compare else {}
    sizes = hosts or tuple(before) or (load_settings(config).data_generation.num_servers,)
    if compare:
        bench_view.require_sizes(before, sizes, compare)
    with _announcing() as announce:
        measured = {
            size: _measure(config, window(size, start, end), dirt, announce, with_dagster=with_dagster)
            for size in sizes
        }
    if as_json:
        click.echo(json.dumps({size: _as_json(rows) for size, rows in measured.items()}, indent=2))
        return
    for size, rows in measured.items():
        console().print(bench_view.bench_table(size, rows))
        if compare:
            console().print(bench_view.comparison_table(size, before[size], rows))


@contextmanager
def _announcing() -> "Iterator[Announce]":
    """Yield what says on stderr which stage is being measured, where that is a terminal."""
    terminal = Terminal(stderr=True)
    if not terminal.is_terminal:
        yield lambda _stage: None
        return
    with terminal.status("measuring") as line:
        yield lambda stage: line.update(f"measuring {escape(stage)}")


def _as_json(rows: "Sequence[Measurement]") -> list[Mapping[str, object]]:
    from capsim_dagster.cli.bench_view import ratios_of

    found = ratios_of(rows)
    return [{**m.as_json(), "x_floor": found.get(m.stage)} for m in rows]


def _measure(
    config: Path | None, chosen: dict[str, Any], dirt: float | None, announce: "Announce", *, with_dagster: bool
) -> "list[Measurement]":
    from capsim_dagster.cli.measure import measure_floor, measure_publication, measure_stages

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
        measured = [
            *measure_stages(settings, announce),
            *measure_floor(settings, announce),
            *measure_publication(settings, announce),
        ]
        if with_dagster:
            fleet, data_dir = settings.data_generation, ["--data-dir", str(Path(folder) / "run")]
            data_dir += ["--config", str(config)] if config else []
            window_options = ["--start", str(fleet.start_date), "--end", str(fleet.end_date)]
            of_fleet = ["--hosts", str(fleet.num_servers), *window_options]
            measured += _whole_processes([*of_fleet, *data_dir], data_dir, announce)
    return measured


def _whole_processes(fleet: list[str], data_dir: list[str], announce: "Announce") -> "list[Measurement]":
    """Measure commands on one data directory, each on what those before it left, and Dagster's bare start."""
    from capsim_dagster.cli.measure import measure_command, measure_process

    commands = [("run", fleet), ("run", fleet), ("status", data_dir), ("refine", data_dir)]
    commands += [("panel generate", fleet), ("panel load", data_dir)]
    measured: list[Measurement] = []
    for index, (name, options) in enumerate(commands):
        announce(f"capsim {name}")
        again = (name, options) in commands[:index]
        measured.append(measure_command(*name.split(), options=options, again=again))
    start = "import dagster"
    announce(start)
    return [*measured, measure_process(f"python -c '{start}'", ["-c", start])]
