"""What is counted while the rows of a day go by: what the manifest says of them, and which repeat a key."""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from capsim_dagster.publication.dataset.rules import MICROS, BoolArray
from capsim_dagster.publication.tier3.columns import COLUMNS

Int64Array = NDArray[np.int64]

SECONDS_PER_HOUR: Final = 3_600
_TIME_BITS: Final = 34
"""Bits of a key that hold the time [s since 1970]: enough until 2514."""


class DayTally:
    """The counts of the rows of a day, hour file by hour file.

    Astray are rows whose timestamp lies in another hour than that of their file; nulls are counted by column.
    """

    def __init__(self, day: dt.date) -> None:
        """Start with no rows of a day."""
        self.rows = 0
        self.nulls: Counter[str] = Counter({column.name: 0 for column in COLUMNS})
        self.astray = 0
        self.first_ts: dt.datetime | None = None
        self.last_ts: dt.datetime | None = None
        self.rows_by_hour: dict[int, int] = {}
        self._midnight_s = int(dt.datetime.combine(day, dt.time(), tzinfo=dt.UTC).timestamp())
        self._codes: dict[str, int] = {}
        self._samples: dict[int, Int64Array] = {}
        self._keys: list[Int64Array] = []
        self._stray_keys: Int64Array = np.empty(0, np.int64)

    @property
    def hosts(self) -> int:
        """Hosts with at least one row."""
        return len(self._codes)

    def repeats(self, rows: pa.Table, hour: int) -> BoolArray:
        """Return which rows of an hour file have the host and time of a row before them, shape `(rows,)`.

        Only times of another hour can meet keys of other files, so hardly any are compared with those.
        """
        at = seconds_of(rows)
        keys = (self._codes_of(rows) << _TIME_BITS) | at
        sorted_keys, first = np.unique(keys, return_index=True)
        repeated = np.ones(keys.size, dtype=np.bool_)
        repeated[first] = False
        stray = self.is_astray(at, hour)
        if self._stray_keys.size:
            repeated |= np.isin(keys, self._stray_keys)
        for earlier in self._keys if stray.any() else ():
            repeated[stray] |= np.isin(keys[stray], earlier)
        self._keys.append(sorted_keys)
        self._stray_keys = np.concatenate([self._stray_keys, keys[stray]])
        return repeated

    def add(self, rows: pa.Table, hour: int) -> None:
        """Count the rows of an hour file, texts as dictionaries, or a part of them."""
        self.rows += rows.num_rows
        self.rows_by_hour[hour] = self.rows_by_hour.get(hour, 0) + rows.num_rows
        if not rows.num_rows:
            return
        for name in rows.schema.names:
            self.nulls[name] += rows[name].null_count
        self.astray += int(self.is_astray(seconds_of(rows), hour).sum())
        bounds = pc.min_max(rows["ts"]).as_py()
        self.first_ts = min(bounds["min"], self.first_ts or bounds["min"])
        self.last_ts = max(bounds["max"], self.last_ts or bounds["max"])
        counted = np.bincount(self._codes_of(rows), minlength=self.hosts)
        before = self._samples.get(hour, np.empty(0, np.int64))
        counted[: before.size] += before
        self._samples[hour] = counted

    def hosts_lacking(self, hour: int, samples: int) -> Sequence[str]:
        """Return the hosts that have not so many rows in an hour file, of all that have any row of the day."""
        counted = np.zeros(self.hosts, np.int64)
        found = self._samples.get(hour, np.empty(0, np.int64))
        counted[: found.size] = found
        names = list(self._codes)
        return sorted(names[code] for code in np.flatnonzero(counted != samples))

    def is_astray(self, at: Int64Array, hour: int) -> BoolArray:
        """Return which times [s since 1970] lie outside of an hour of the day, shape as given."""
        start = self._midnight_s + hour * SECONDS_PER_HOUR
        astray: BoolArray = (at < start) | (at >= start + SECONDS_PER_HOUR)
        return astray

    def _codes_of(self, rows: pa.Table) -> Int64Array:
        """Return a number for each row's host, the same all day."""
        hosts = rows["host_id"].combine_chunks()
        pieces = hosts.chunks if isinstance(hosts, pa.ChunkedArray) else [hosts]
        numbered = []
        for piece in pieces:
            names = piece.dictionary.to_pylist()
            codes = np.array([self._codes.setdefault(name, len(self._codes)) for name in names], dtype=np.int64)
            numbered.append(codes[piece.indices.to_numpy()] if codes.size else np.empty(0, np.int64))
        return np.concatenate(numbered) if numbered else np.empty(0, np.int64)


def seconds_of(rows: pa.Table) -> Int64Array:
    """Return the timestamps of rows [s since 1970], shape `(rows,)`."""
    micros: Any = rows["ts"].cast(pa.int64()).to_numpy()
    seconds: Int64Array = micros // MICROS
    return seconds
