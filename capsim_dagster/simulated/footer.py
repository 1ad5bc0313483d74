"""The footer of a simulated Parquet file: which settings, fleet and window made it."""

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from capsim_dagster.errors import CapsimError
from capsim_dagster.schemas.months import months_between, yearmonth
from capsim_dagster.settings import DataGeneration
from capsim_dagster.simulation.telemetry import fleet_hash

_KEY: Final = "capsim"


@dataclass(frozen=True)
class DataFooter:
    """What the footer of a simulated file says; the hash is over every setting that decides a value."""

    settings_hash: str
    seed: int
    hosts: int
    start: dt.date
    end: dt.date
    version: str

    @property
    def months(self) -> list[int]:
        """The months in the file, as YYYYMM."""
        return [yearmonth(month) for month in months_between(self.start, self.end)]

    def as_metadata(self) -> dict[str, str]:
        """Return the footer as metadata of a Parquet schema."""
        return {_KEY: json.dumps(asdict(self), sort_keys=True, default=str)}

    def mismatch(self, generation: DataGeneration) -> str:
        """Return in words how the file differs from what some settings make; empty = it does not."""
        expected = fleet_hash(generation)
        if self.settings_hash == expected:
            return ""
        return (
            f"was made with other settings: hash {self.settings_hash} "
            f"(seed {self.seed}, {self.hosts:,} hosts, from {self.start}), expected {expected} "
            f"(seed {generation.random_seed}, {generation.num_servers:,} hosts, from {generation.start_date})"
        )


def footer_of(generation: DataGeneration, hosts: pl.DataFrame, end: dt.date) -> DataFooter:
    """Return the footer of a file with these hosts from the window's start to `end`."""
    return DataFooter(
        settings_hash=fleet_hash(generation),
        seed=generation.random_seed,
        hosts=hosts.height,
        start=generation.start_date,
        end=end,
        version=version("capsim"),
    )


def read_footer(metadata: pq.FileMetaData) -> DataFooter:
    """Return the footer of a file.

    Raises:
        ArrowInvalid: If it has none.
    """
    raw = (metadata.metadata or {}).get(_KEY.encode())
    if raw is None:
        raise pa.ArrowInvalid("it has no capsim footer, so nothing says which settings made it")
    facts = json.loads(raw)
    dates = {name: dt.date.fromisoformat(facts[name]) for name in ("start", "end")}
    return DataFooter(**{**facts, **dates})


@contextmanager
def readable(path: Path, kind: type[CapsimError], *, remedy: str) -> Iterator[None]:
    """Say what to do about a file that cannot be read as one of capsim's Parquet files.

    Raises:
        CapsimError: Of the kind asked for, if reading fails.
    """
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise kind(f"{path} is not a readable Parquet file: {error}", remedy=remedy) from None
