"""`hourly_archive`: the samples of a day as agents report them, one gzip JSON-lines file an hour.

An hour's file is made of one gzip member an interval, in order of time and then of hosts, so it can be appended to
while the hour is open, and what is simulated at once has the bytes of what was written live. The values of a day do not
depend on the window, the fleet or the days around it.
"""

import datetime as dt
import gzip
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from capsim_dagster.publication.hour_files import ArchiveHour, HourState, hour_path
from capsim_dagster.schemas import CAPACITY_COLUMNS, FULL_UTILIZATION, Resource
from capsim_dagster.seeding import Float64Array, streams
from capsim_dagster.settings import Archive, DataGeneration
from capsim_dagster.simulation import telemetry
from capsim_dagster.simulation.samples import HOURS_PER_DAY, DayCurves, SampledDay, inbound_shares, sampled_day
from capsim_dagster.simulation.time_dimension import epoch_days
from capsim_dagster.storage import atomic_path, sha256

HOSTS_AT_ONCE: Final = 1_024
"""Hosts whose day is scaled at a time: all their samples are held for a moment."""
_LEVEL: Final = 3
"""Of gzip: a tenth larger than the usual 6, for half the time."""
_CENTS: Final = 100.0
_PEAK_DECIMALS: Final = 6
_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_SECONDS_PER_MINUTE: Final = 60


class SampledFleet:
    """The samples of all hosts on one day."""

    def __init__(
        self,
        generation: DataGeneration,
        archive: Archive,
        inbound: tuple[float, float],
        hosts: pl.DataFrame,
        day: dt.date,
    ) -> None:
        """Scale every series of a day on or after the window's start; `hosts` have application codes, by host number.

        `inbound` are lowest and highest inbound part of a host's network traffic.
        """
        self.day = day
        self._archive = archive
        self._per_hour = archive.samples_per_hour
        self._host_ids = hosts.get_column("host_id")
        self._capacity = hosts.get_column(CAPACITY_COLUMNS[Resource.NETWORK]).to_numpy().astype(np.float64)
        self._first_seq = (day - generation.start_date).days * self._per_hour * HOURS_PER_DAY
        chunks = [_sampled(generation, archive, some, day) for some in hosts.iter_slices(HOSTS_AT_ONCE)]
        self._chunks = [sampled for _, sampled in chunks]
        numbers = np.concatenate([of_chunk for of_chunk, _ in chunks])
        self._inbound = inbound_shares(generation.random_seed, inbound, numbers)

    @property
    def lines_per_hour(self) -> int:
        """Lines of an hour's file."""
        return self._host_ids.len() * self._per_hour

    def members(self, hour: int) -> Iterator[bytes]:
        """Yield the gzip members of an hour, one an interval."""
        n_hosts = self._host_ids.len()
        lines = self.lines(hour * self._per_hour, (hour + 1) * self._per_hour)
        for offset in range(0, lines.height, n_hosts):
            text = io.BytesIO()
            lines.slice(offset, n_hosts).write_ndjson(text)
            yield gzip.compress(text.getvalue(), _LEVEL, mtime=0)

    def lines(self, first: int, last: int) -> pl.DataFrame:
        """Return the lines of the intervals from `first`, inclusive, to `last`, exclusive, of the day.

        Columns are those of a line, rows in order of time and then of hosts.
        """
        values = {
            r: _as_read(np.concatenate([chunk[r].between(first, last) for chunk in self._chunks]).astype(np.float64))
            for r in Resource
        }
        traffic = values[Resource.NETWORK] * (self._capacity / FULL_UTILIZATION)[:, np.newaxis]
        columns = {r.value: values[r] for r in Resource} | {
            "net_in_mbps": _as_read(traffic * self._inbound[:, np.newaxis]),
            "net_out_mbps": _as_read(traffic * (1 - self._inbound)[:, np.newaxis]),
        }
        slots, n_hosts = np.arange(first, last), self._host_ids.len()
        interval_s = self._archive.interval_minutes * _SECONDS_PER_MINUTE
        midnight = dt.datetime.combine(self.day, dt.time())
        times = [f"{midnight + dt.timedelta(seconds=slot * interval_s):{_TIME}}" for slot in slots.tolist()]
        return pl.DataFrame(
            {
                "host_id": pl.concat([self._host_ids] * slots.size),
                "ts": np.repeat(np.array(times), n_hosts),
                **{name: pl.Series(column.T.ravel()).fill_nan(None) for name, column in columns.items()},
            }
        ).with_columns(
            meta=pl.struct(
                pl.lit(interval_s).alias("interval_s"),
                pl.lit(self._archive.agent_version).alias("agent"),
                pl.Series("seq", np.repeat(self._first_seq + slots, n_hosts)),
            )
        )


def _sampled(
    generation: DataGeneration, archive: Archive, hosts: pl.DataFrame, day: dt.date
) -> tuple[NDArray[np.int64], dict[Resource, SampledDay]]:
    """Return the numbers of some hosts, and their samples on one day."""
    model = telemetry.host_model(generation, hosts)
    curves = day_curves(generation, archive, hosts, model.block.numbers)
    number, samples = int(epoch_days(day, day)[0]), archive.samples_per_hour * HOURS_PER_DAY
    values = telemetry.utilization(model, day, day)
    return model.block.numbers, {
        r: sampled_day(of_day[:, 0], r, curves, seed=generation.random_seed, day=number, samples=samples)
        for r, of_day in values.items()
    }


def day_curves(
    generation: DataGeneration, archive: Archive, hosts: pl.DataFrame, numbers: NDArray[np.int64]
) -> DayCurves:
    """Return the daily curve of each host: its workload's, its peak shifted by a draw of its own."""
    workloads = [archive.workloads.get(kind, archive.other_workload) for kind in hosts.get_column("server_type")]
    share = streams(generation.random_seed, "samples", "peak", hosts=numbers).uniform()
    peaks = np.array([workload.peak_hour for workload in workloads]) + archive.peak_jitter_hours * (2 * share - 1)
    return DayCurves(
        numbers, np.round(peaks % HOURS_PER_DAY, _PEAK_DECIMALS), np.array([workload.swing for workload in workloads])
    )


def write_hour(fleet: SampledFleet, root: Path, hour: int) -> ArchiveHour:
    """Write the file of one hour, whole or not at all; one that holds the same already is not touched."""
    path = hour_path(root, fleet.day, hour)
    content = b"".join(fleet.members(hour))
    digest = hashlib.sha256(content).hexdigest()
    is_unchanged = path.is_file() and sha256(path) == digest
    if not is_unchanged:
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
    return ArchiveHour(hour, path, HourState.WHOLE, len(content), digest, fleet.lines_per_hour, is_unchanged)


def _as_read(values: Float64Array) -> Float64Array:
    """Return values with two decimals, each the double that their text is read as."""
    cents: Float64Array = np.rint(values * _CENTS)
    return cents / _CENTS
