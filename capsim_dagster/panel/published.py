"""A panel of capsim's as it lies in its store: looked at again, on its own, and compared with the master."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from capsim_dagster.audits.fingerprints import fingerprints, view_panel
from capsim_dagster.audits.parity import content_parity
from capsim_dagster.audits.report import Finding, Reports
from capsim_dagster.errors import PanelError
from capsim_dagster.panel import claims
from capsim_dagster.panel.build import PanelPiece, hosts_at_once, shown_factors
from capsim_dagster.panel.contract import KEY, server_id
from capsim_dagster.panel.generate import largest_capacities
from capsim_dagster.panel.quality import PanelScan
from capsim_dagster.schemas.months import months_between, yearmonth
from capsim_dagster.settings import DataGeneration, Panel
from capsim_dagster.simulated.footer import readable
from capsim_dagster.simulation.parameters import host_block
from capsim_dagster.simulation.time_dimension import epoch_days


def audit_panel(path: Path, generation: DataGeneration, panel: Panel, hosts: pl.DataFrame, *, end: dt.date) -> Reports:
    """Return the gates of a panel, judged by what the file holds: name of the check -> report.

    Args:
        path: The file.
        generation: The settings that made it.
        panel: Which columns it has.
        hosts: The inventory with application codes, ordered by host number.
        end: Last day that it must hold.

    Raises:
        PanelError: If the file cannot be read.
    """
    scan = PanelScan(generation, panel, largest_capacities(hosts), end=end)
    problems: list[str] = []
    with readable(path, PanelError, remedy="materialize server_metrics again"):
        for piece in _pieces(path, generation, panel, hosts, end, problems):
            scan.add(piece)
    reports = dict(scan.reports())
    return reports | {claims.SHAPE: reports[claims.SHAPE].with_problems(problems)}


def master_parity(
    path: Path, master: Path, generation: DataGeneration, panel: Panel, hosts: pl.DataFrame, *, end: dt.date
) -> Finding:
    """Report whether each metric that shows a resource holds the master's values, month by month.

    Args:
        path: The panel.
        master: The master, made with the same settings.
        generation: The settings.
        panel: Which columns the panel has.
        hosts: The inventory.
        end: Last day of the panel.

    Raises:
        PanelError: If one of the files cannot be read.
    """
    factors = shown_factors(generation, panel, hosts)
    if factors.is_empty():
        return Finding(claims.PARITY, note="no metric shows a resource: each has a series of its own")
    try:
        with duckdb.connect() as connection:
            view_panel(connection, path, master, factors, end=end)
            source, found = fingerprints(connection, "rows_behind_panel"), fingerprints(connection, "panel_rows")
    except duckdb.Error as error:
        raise PanelError(
            f"{path} cannot be compared with {master}: {str(error).splitlines()[0]}",
            remedy="materialize server_metrics again",
        ) from None
    return content_parity(
        source,
        found,
        expected_months=[yearmonth(month) for month in months_between(generation.start_date, end)],
        resources=factors.get_column("metric").unique().sort().to_list(),
    )


def _pieces(
    path: Path, generation: DataGeneration, panel: Panel, hosts: pl.DataFrame, end: dt.date, problems: list[str]
) -> Iterator[PanelPiece]:
    """Yield the row groups that hold the servers and days that they must, and say which do not."""
    days = epoch_days(generation.start_date, end)
    blocks = list(hosts.iter_slices(hosts_at_once(generation, end)))
    with pq.ParquetFile(path, read_dictionary=["server_id"], page_checksum_verification=True) as file:
        if file.num_row_groups != len(blocks):
            problems.append(f"{file.num_row_groups} row groups instead of {len(blocks)}")
        for index, block in enumerate(blocks[: file.num_row_groups]):
            table = file.read_row_group(index, columns=[*KEY, *panel.metrics])
            numbered = host_block(generation, block)
            servers = [server_id(panel, number) for number in numbered.numbers.tolist()]
            if not _holds(table, servers, days):
                problems.append(f"row group {index} has not one row for each of {servers[0]} to {servers[-1]} and day")
                continue
            shape = (block.height, days.size)
            values = {name: table[name].to_numpy().astype(np.float64).reshape(shape) for name in panel.metrics}
            yield PanelPiece(block, numbered, values)


def _holds(table: pa.Table, servers: list[str], days: np.ndarray) -> bool:
    """Tell whether a table has one row for each server and day, in order."""
    if table.num_rows != len(servers) * days.size:
        return False
    found = pl.from_arrow(table.select(list(KEY)))
    assert isinstance(found, pl.DataFrame)  # noqa: S101 a table is never a series
    timestamps = found.get_column("timestamp").dt.epoch("d").to_numpy()
    names = found.get_column("server_id").cast(pl.String).to_numpy().reshape(len(servers), days.size)
    same_days = bool((timestamps.reshape(len(servers), days.size) == days).all())
    return same_days and bool((names == np.array(servers, dtype=object)[:, np.newaxis]).all())
