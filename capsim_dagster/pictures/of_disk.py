"""The pictures of the fleet and of single series, drawn from what is on disk.

Pictures of the whole fleet are of its first hosts: reading stops after them, so they cost the same whatever the size
of the fleet.
"""

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from capsim_dagster.errors import CapsimError, MasterError, SettingsError, TruthError
from capsim_dagster.pictures import profiles
from capsim_dagster.pictures import series as plots
from capsim_dagster.pictures.canvas import PictureFormat
from capsim_dagster.pictures.fleet import load_pictures
from capsim_dagster.pictures.series import SeriesView, event_spans
from capsim_dagster.pipeline.entrance import require_calendar, require_hosts
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.remote import own_master
from capsim_dagster.schemas import CAPACITY_COLUMNS, VARIETIES, Resource, Scenario, Variant, Variety, host_id
from capsim_dagster.schemas.months import yearmonth
from capsim_dagster.schemas.resources import CAPACITY_UNITS
from capsim_dagster.seeding import Float32Array
from capsim_dagster.simulated.footer import DataFooter, readable
from capsim_dagster.simulated.truth import TruthFiles, open_truth
from capsim_dagster.simulation import parameters
from capsim_dagster.storage.warehouse import read_table

FLEET_SAMPLE_HOSTS: Final = 500
"""First hosts that stand for the fleet: enough to know the mean of a day to a fraction of a percent."""
_HOST: Final = re.compile(r"(?:srv-)?0*([1-9]\d*)", re.ASCII)

Series = tuple[str, Resource]
"""A host and a resource."""


@dataclass(frozen=True)
class SeriesPicture:
    """The picture of one series as the bytes of a file, and what it shows, in a line."""

    host_id: str
    resource: Resource
    content: bytes
    caption: str


@dataclass(frozen=True)
class _Source:
    """A simulated file with one value a host x resource x day, and what to say when it cannot be read."""

    path: Path
    column: str
    error: type[CapsimError]
    remedy: str


@dataclass(frozen=True)
class _Piece:
    """The values [%] of the first hosts in one month of one resource, NaN = none, shape `(n_hosts, n_days)`."""

    resource: Resource
    days: NDArray[np.datetime64]
    values: Float32Array


def master_pictures(platform: Platform) -> dict[str, bytes]:
    """Return what the master shows of the fleet, by name of the picture; loads are in percent of capacity.

    `weekly_profile`, `quarter_end_effect` and `utilization_by_region` are SVG, of the first `FLEET_SAMPLE_HOSTS` hosts;
    `varieties` is a PNG with the observations of one example host of each variety.

    Raises:
        MasterError: If the master is missing, torn or made with other settings.
        WarehouseError: If inventory or calendar are missing or made with other settings.
    """
    footer = own_master(platform).footer
    hosts, calendar = inventory(platform), _calendar(platform)
    sample, chosen = hosts.head(FLEET_SAMPLE_HOSTS), _examples(platform, hosts)
    loads, examples = profiles.Loads(sample), []
    for piece in _first_hosts(_master(platform), sample, tuple(Resource)):
        loads.add(piece.resource, piece.days, piece.values)
        examples.append(replace(piece, values=piece.values[: len(VARIETIES)].copy()))
    views = [_view(platform, hosts, series, *_course(examples, hosts, series)) for series in chosen]
    title = "Observed utilization: one example host of each variety"
    return {
        **load_pictures(loads.frame(), calendar, footer, n_hosts=sample.height),
        "varieties": plots.varieties_picture(views, title, _note(footer)),
    }


def truth_pictures(platform: Platform) -> dict[str, bytes]:
    """Return what the ground truth knows, by name of the picture; loads are in percent of capacity.

    `varieties` is a PNG: one example host of each variety with its expectation, events, threshold and breach date.

    Raises:
        MasterError: If the master is missing, torn or made with other settings.
        TruthError: If the ground truth is, or if it does not end with the master.
        WarehouseError: If the inventory is missing or made with other settings.
    """
    footer = _common_footer(platform)
    hosts = inventory(platform)
    chosen = _examples(platform, hosts)
    first, resources = hosts.head(len(VARIETIES)), tuple({resource for _, resource in chosen})
    observed = list(_first_hosts(_master(platform), first, resources))
    expected = list(_first_hosts(_expected(platform), first, resources))
    views = [
        _with_truth(
            platform,
            _view(platform, hosts, series, *_course(observed, hosts, series)),
            _course(expected, hosts, series)[1],
        )
        for series in chosen
    ]
    title = "Observed, expected and what happened: one example host of each variety"
    return {"varieties": plots.varieties_picture(views, title, _note(footer))}


def series_picture(
    platform: Platform, host: str, resource: Resource | None = None, kind: PictureFormat = PictureFormat.SVG
) -> SeriesPicture:
    """Return the picture of one series with its expectation, events, threshold and breach date.

    Args:
        platform: Settings and paths.
        host: Id or number of the host, such as `srv-000007` or `7`.
        resource: The resource; None = the one that limits a breaching host, else cpu.
        kind: SVG or PNG.

    Raises:
        SettingsError: If there is no such host.
        MasterError, TruthError, WarehouseError: As for `truth_pictures`.
    """
    _common_footer(platform)
    hosts = inventory(platform)
    row = hosts.filter(pl.col("host_id") == _known_host(host, hosts))
    ((name, usual),) = _telling_series(platform, row)
    series = name, resource or usual
    days, observed = _values_of(_master(platform), series)
    view = _with_truth(
        platform, _view(platform, row, series, days, observed), _values_of(_expected(platform), series)[1]
    )
    caption = f"{name} ({view.variety}), {series[1]}: {_told(view)}"
    return SeriesPicture(name, series[1], plots.series_picture(view, kind), caption)


def _common_footer(platform: Platform) -> DataFooter:
    """Return the footer of a master and a ground truth that were made for each other."""
    master = own_master(platform).footer
    truth = open_truth(TruthFiles(platform.layout.truth), platform.generation)
    if truth.end != master.end:
        raise TruthError(
            f"the ground truth ends on {truth.end}, the master on {master.end}",
            remedy="materialize ground_truth again: capsim run",
        )
    return master


def _master(platform: Platform) -> _Source:
    return _Source(platform.layout.master, "p95_util", MasterError, "materialize master_parquet again: capsim run")


def _expected(platform: Platform) -> _Source:
    path = TruthFiles(platform.layout.truth).expected
    return _Source(path, "expected_util", TruthError, "materialize ground_truth again: capsim run")


def inventory(platform: Platform) -> pl.DataFrame:
    """Return the inventory.

    Raises:
        WarehouseError: If it is missing or made with other settings.
    """
    with platform.reading() as connection:
        return require_hosts(platform, connection)


def _calendar(platform: Platform) -> pl.DataFrame:
    with platform.reading() as connection:
        require_calendar(platform, connection)
        return read_table(connection, "region_calendar", order_by="region, date")


def _known_host(text: str, hosts: pl.DataFrame) -> str:
    """Return the id of a host that is named by id or number."""
    found = _HOST.fullmatch(text.strip())
    name = host_id(int(found[1])) if found else text
    if not found or name not in hosts["host_id"]:
        first, last = hosts["host_id"][0], hosts["host_id"][-1]
        raise SettingsError(
            f"no host {name!r}: the inventory holds {hosts.height:,} hosts, {first} to {last}",
            remedy=f"give the id or the number of one of them, such as {first} or 1",
        )
    return name


def _examples(platform: Platform, hosts: pl.DataFrame) -> list[Series]:
    """Return one series of each variety: the first hosts hold one each."""
    return _telling_series(platform, hosts.head(len(VARIETIES)))


def _telling_series(platform: Platform, hosts: pl.DataFrame) -> list[Series]:
    """Return the series of each host that shows its behaviour: the limiting resource of a breaching host, else cpu."""
    telling = dict.fromkeys(hosts["host_id"], Resource.CPU)
    breaching = hosts.filter(pl.col("scenario") == Scenario.CAPACITY_BREACH)
    if breaching.height:
        block = parameters.host_block(platform.generation, breaching)
        for resource in Resource:
            limiting = parameters.draw_parameters(platform.generation, resource, block).is_limiting
            telling.update(dict.fromkeys(breaching["host_id"].filter(pl.Series(limiting)), resource))
    return list(telling.items())


def _first_hosts(source: _Source, hosts: pl.DataFrame, resources: Sequence[Resource]) -> Iterator[_Piece]:
    """Yield the values of the first hosts of the fleet by month and resource, reading no further than these.

    Raises:
        CapsimError: Of the source's kind, if the file cannot be read or its rows are not those of the hosts.
    """
    seen: set[tuple[int, str]] = set()
    with readable(source.path, source.error, remedy=source.remedy):
        file = pq.ParquetFile(source.path, read_dictionary=["host_id"], page_checksum_verification=True)
        places = {name: file.schema_arrow.get_field_index(name) for name in ("date", "resource")}
        for index in range(file.num_row_groups):
            group = file.metadata.row_group(index)
            days = group.column(places["date"]).statistics
            resource = group.column(places["resource"]).statistics.min
            piece = yearmonth(days.min), resource
            if resource in resources and piece not in seen:
                seen.add(piece)
                n_days = (days.max - days.min).days + 1
                values = _first_values(file, index, source, hosts["host_id"], n_days)
                yield _Piece(Resource(resource), np.arange(days.min, days.max + dt.timedelta(1)), values)


def _first_values(file: pq.ParquetFile, row_group: int, source: _Source, names: pl.Series, n_days: int) -> Float32Array:
    """Return the values of the first hosts of a row group, shape `(n_hosts, n_days)`; NaN = none."""
    n_rows = names.len() * n_days
    columns = ["host_id", source.column]
    batch = next(file.iter_batches(batch_size=n_rows, row_groups=[row_group], columns=columns), None)
    rows = pl.from_arrow(batch) if batch is not None else pl.DataFrame()
    assert isinstance(rows, pl.DataFrame)  # noqa: S101 a batch is never a series
    if rows.height != n_rows or rows["host_id"].cast(pl.String).gather_every(n_days).to_list() != names.to_list():
        raise source.error(
            f"row group {row_group} of {source.path} does not hold {n_days} days a host", remedy=source.remedy
        )
    return rows[source.column].to_numpy().reshape(names.len(), n_days)


def _course(
    pieces: Sequence[_Piece], hosts: pl.DataFrame, series: Series
) -> tuple[NDArray[np.datetime64], Float32Array]:
    """Return the days and values of one of the first hosts."""
    name, resource = series
    row = hosts["host_id"].index_of(name)
    chosen = [piece for piece in pieces if piece.resource == resource]
    return np.concatenate([piece.days for piece in chosen]), np.concatenate([piece.values[row] for piece in chosen])


def _view(
    platform: Platform, hosts: pl.DataFrame, series: Series, days: NDArray[np.datetime64], observed: Float32Array
) -> SeriesView:
    name, resource = series
    host = hosts.row(by_predicate=pl.col("host_id") == name, named=True)
    capacity = f"{host[CAPACITY_COLUMNS[resource]]:,} {CAPACITY_UNITS[resource]}"
    return SeriesView(
        host_id=name,
        variety=Variety(Scenario(host["scenario"]), Variant(host["variant"])),
        resource=resource,
        days=days,
        observed=observed,
        threshold=platform.generation.breach_threshold,
        about=f"{capacity} · {host['server_type']}, {host['department']}, {host['region']}",
    )


def _with_truth(platform: Platform, view: SeriesView, expected: Float32Array) -> SeriesView:
    """Return a view with what the ground truth knows of its series."""
    files = TruthFiles(platform.layout.truth)
    events, drawn = (
        _rows(replace(_expected(platform), path=path), (view.host_id, view.resource))
        for path in (files.events, files.series)
    )
    return replace(view, expected=expected, events=event_spans(events), breach_date=drawn["breach_date"][0])


def _values_of(source: _Source, series: Series) -> tuple[NDArray[np.datetime64], Float32Array]:
    """Return the days and values of one series, wherever it stands in the file; NaN = none."""
    rows = _rows(source, series, "date", source.column).sort("date")
    return rows["date"].to_numpy(), rows[source.column].to_numpy()


def _rows(source: _Source, series: Series, *columns: str) -> pl.DataFrame:
    """Return what a file says of one series: some columns, or all."""
    name, resource = series
    is_series = (pl.col("host_id") == name) & (pl.col("resource") == resource.value)
    try:
        return pl.scan_parquet(source.path).filter(is_series).select(columns or pl.all()).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise source.error(f"{source.path} cannot be read: {error}", remedy=source.remedy) from None


def _note(footer: DataFooter) -> str:
    return f"daily P95 utilization, % of capacity · {footer.start} to {footer.end}"


def _told(view: SeriesView) -> str:
    """Return in words what the picture of a series tells."""
    n_events = sum(len(view.spans_of(kind)) for kind in view.kinds)
    crossing = f"breach of {view.threshold:g} % on {view.breach_date}" if view.breach_date else "no breach"
    return f"observed and expected utilization in % of capacity, {view.days.size:,} days, {n_events} events, {crossing}"
