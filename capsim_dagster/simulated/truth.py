"""The ground truth on disk: expectation, events and drawn parameters of every series, in three Parquet files.

The three are replaced together, after all of them are whole; their footers say which settings and which window made
them, and reading makes sure that they belong together and to the settings at hand.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from capsim_dagster.errors import GateError, TruthError
from capsim_dagster.schemas import Resource
from capsim_dagster.schemas.arrow import arrow_schema
from capsim_dagster.schemas.fleet import EXPECTED_UTILIZATION, TRUTH_EVENTS, TRUTH_SERIES
from capsim_dagster.seeding import Float32Array
from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulated.footer import DataFooter, footer_of, read_footer, readable
from capsim_dagster.simulated.grid import Advance, grid_pieces, reported
from capsim_dagster.simulation import telemetry, truth
from capsim_dagster.storage import StoredFile, staged_parquet

HOSTS_PER_CHUNK: Final = 128
"""Hosts whose events are found at a time: the arrays of a few years fit the processor's cache."""
CHUNKS_PER_BATCH: Final = 64
"""Chunks whose rows are written as one row group."""
EXPECTED_SCHEMA: Final = arrow_schema(EXPECTED_UTILIZATION, encode_names=True)
"""Columns of `expected.parquet`; strings reach the file through dictionaries."""
EVENTS_SCHEMA: Final = arrow_schema(TRUTH_EVENTS)
"""Columns of `events.parquet`."""
SERIES_SCHEMA: Final = arrow_schema(TRUTH_SERIES)
"""Columns of `series.parquet`."""
_REMEDY: Final = "materialize ground_truth again: capsim run"
_CENTS: Final = np.float32(100)
"""Expectations are kept to 1 / 100 of a percent, like values."""


@dataclass(frozen=True)
class TruthFiles:
    """Where the three files of the ground truth lie."""

    folder: Path

    @property
    def expected(self) -> Path:
        """Noise-free expectation of every host x resource x day."""
        return self.folder / "expected.parquet"

    @property
    def events(self) -> Path:
        """Every event that shows in the data."""
        return self.folder / "events.parquet"

    @property
    def series(self) -> Path:
        """Drawn parameters of every series."""
        return self.folder / "series.parquet"


@dataclass(frozen=True)
class StoredTruth:
    """The three files that were written."""

    expected: StoredFile
    events: StoredFile
    series: StoredFile


def write_truth(
    generation: DataGeneration,
    hosts: pl.DataFrame,
    files: TruthFiles,
    *,
    end: dt.date,
    advance: Advance = lambda _rows: None,
) -> StoredTruth:
    """Write the ground truth; the three files replace the old ones after all are whole.

    `hosts`: the inventory with application codes, ordered by host number.
    `end`: last day, inclusive.
    `advance`: called with the rows of each piece of the expectation that was written.

    Raises:
        GateError: If the expectation has not one row for each host x resource x day; the old files stay.
    """
    footer = footer_of(generation, hosts, end).as_metadata()
    n_days = (end - generation.start_date).days + 1
    n_series = hosts.height * len(Resource)
    series = _by_hosts(generation, hosts, SERIES_SCHEMA, truth.series_truth)
    listed = _by_hosts(generation, hosts, EVENTS_SCHEMA, lambda model: truth.event_truth(model, end))
    expected = reported(_expected(generation, hosts, end), advance)
    with (
        staged_parquet(
            files.expected,
            expected,
            schema=EXPECTED_SCHEMA.with_metadata(footer),
            gate=lambda metadata: _require_rows(metadata, n_series * n_days, "the expectation"),
        ) as stored_expected,
        staged_parquet(files.events, listed, schema=EVENTS_SCHEMA.with_metadata(footer)) as stored_events,
        staged_parquet(
            files.series,
            series,
            schema=SERIES_SCHEMA.with_metadata(footer),
            gate=lambda metadata: _require_rows(metadata, n_series, "the table of series"),
        ) as stored_series,
    ):
        return StoredTruth(stored_expected, stored_events, stored_series)


def open_truth(files: TruthFiles, generation: DataGeneration) -> DataFooter:
    """Make sure that the three files belong together and to these settings, and return their footer.

    Raises:
        TruthError: If one is missing, torn, of another window, or made with other settings.
    """
    footers = {path: _footer(path) for path in (files.expected, files.events, files.series)}
    for path, footer in footers.items():
        problem = footer.mismatch(generation)
        if problem:
            raise TruthError(f"{path} {problem}", remedy=_REMEDY)
    first, *others = footers.values()
    if any((other.end, other.hosts) != (first.end, first.hosts) for other in others):
        ends = ", ".join(f"{path.name} to {footer.end}" for path, footer in footers.items())
        raise TruthError(f"the files in {files.folder} are of different runs: {ends}", remedy=_REMEDY)
    return first


def _footer(path: Path) -> DataFooter:
    if not path.exists():
        raise TruthError(f"no ground truth at {path}", remedy="materialize ground_truth first: capsim run")
    with readable(path, TruthError, remedy=_REMEDY):
        return read_footer(pq.read_metadata(path))


def _expected(generation: DataGeneration, hosts: pl.DataFrame, end: dt.date) -> Iterator[pa.RecordBatch]:
    for piece in grid_pieces(generation, hosts, end=end, simulate=_expectation):
        yield pa.RecordBatch.from_arrays([*piece.key_columns(), pa.array(piece.values.ravel())], schema=EXPECTED_SCHEMA)


def _expectation(model: telemetry.HostModel, first: dt.date, last: dt.date) -> dict[Resource, Float32Array]:
    return {
        resource: np.rint(telemetry.expected_utilization(model, resource, first, last) * _CENTS) / _CENTS
        for resource in Resource
    }


def _by_hosts(
    generation: DataGeneration,
    hosts: pl.DataFrame,
    schema: pa.Schema,
    rows_of: Callable[[telemetry.HostModel], pl.DataFrame],
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of all hosts, some thousand hosts a batch."""
    for block in hosts.iter_slices(HOSTS_PER_CHUNK * CHUNKS_PER_BATCH):
        frames = [rows_of(telemetry.host_model(generation, chunk)) for chunk in block.iter_slices(HOSTS_PER_CHUNK)]
        rows = pl.concat(frames).with_columns(pl.col(pl.Enum).cast(pl.String))
        yield from rows.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema).combine_chunks().to_batches()


def _require_rows(metadata: pq.FileMetaData, expected: int, what: str) -> None:
    if metadata.num_rows != expected:
        raise GateError(
            f"{what} has {metadata.num_rows:,} rows, expected {expected:,}",
            remedy="nothing was published; the previous ground truth is untouched",
        )
