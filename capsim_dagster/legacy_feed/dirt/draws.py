"""Which files and lines of the feed are damaged, and how: the numbers behind the defects, and nothing of the damage.

A file's numbers hang on the seed, its resource and its month; a line's on the seed, the resource, its host and its
day. So one file alone is damaged as in a full run, and neither a larger fleet nor a longer window moves a defect.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.schemas import LineFault, Resource
from capsim_dagster.seeding import Float64Array, HostStreams, lanes_of, streams
from capsim_dagster.settings import Defects

IntArray = NDArray[np.int64]
Kind = TypeVar("Kind")

_STREAM: Final = "defects"
"""First word of every stream that is drawn from here: no telemetry shares it."""
_WORDS: Final = 2.0**64
"""Distinct 64-bit words."""


class DrawnLine(NamedTuple):
    """A line that is damaged.

    Attributes:
        row: Its row in the master's month.
        kind: The fault.
        variant: Which form the fault takes, between 0 and 1.
        place: Where an added line goes, between 0 and 1.
    """

    row: int
    kind: LineFault
    variant: float
    place: float


def file_number(seed: int, piece: FeedPiece, subject: str) -> float:
    """Return the number of a file for one decision about it, in `[0, 1)`.

    >>> cpu = FeedPiece(202401, Resource.CPU)
    >>> file_number(1, cpu, "truncated") == file_number(1, cpu, "truncated") != file_number(1, cpu, "dialect")
    True
    """
    months = np.array([piece.month], dtype=np.int64)
    return float(streams(seed, _STREAM, piece.resource, "file", subject, hosts=months).uniform()[0])


def split_number(number: float, choices: int) -> tuple[int, float]:
    """Return which of some equally likely choices a number means, and a fresh number for the next decision.

    Args:
        number: In `[0, 1)`.
        choices: How many, 1 and up.

    >>> split_number(0.625, 4)
    (2, 0.5)
    """
    choice = min(int(number * choices), choices - 1)
    return choice, number * choices - choice


def pick(weights: Mapping[Kind, float], number: float) -> Kind | None:
    """Return the kind that a number means, each as likely as its weight; None if there is no kind to choose.

    >>> pick({"a": 1.0, "b": 0.0, "c": 3.0}, 0.3)
    'c'
    """
    kinds = [kind for kind, weight in weights.items() if weight > 0]
    return kinds[_choices([weights[kind] for kind in kinds], np.array([number]))[0]] if kinds else None


def damaged_lines(
    defects: Defects, resource: Resource, frame: pl.DataFrame, possible: Sequence[LineFault]
) -> list[DrawnLine]:
    """Return which rows are damaged, and how, ascending.

    `frame`: rows with `host_id` and `date`.
    `possible`: kinds that these settings can express.
    """
    weights = {kind: defects.line_faults.get(kind, 0.0) for kind in possible}
    kinds = [kind for kind, weight in weights.items() if weight > 0]
    if not (kinds and defects.line_share):
        return []
    hosts, host_of_row = _host_numbers(frame.get_column("host_id"))
    days = frame.get_column("date").to_physical().cast(pl.Int64).to_numpy()
    chosen = _streams(defects, resource, "line", hosts).words_at(host_of_row, days)
    rows = np.flatnonzero(chosen < np.uint64(int(defects.line_share * _WORDS)))
    words = _streams(defects, resource, "fault", hosts).words_at(host_of_row[rows], days[rows])
    numbers, variants, places, _ = lanes_of(words)
    chosen_kinds = [kinds[index] for index in _choices([weights[kind] for kind in kinds], numbers)]
    drawn = zip(rows.tolist(), chosen_kinds, variants.tolist(), places.tolist(), strict=True)
    return [DrawnLine(*line) for line in drawn]


def _streams(defects: Defects, resource: Resource, subject: str, hosts: IntArray) -> HostStreams:
    return streams(defects.seed, _STREAM, resource, subject, hosts=hosts)


def _choices(weights: Sequence[float], numbers: Float64Array) -> IntArray:
    """Return which weight each number falls on when the weights are laid end to end, shape of the numbers."""
    bounds = np.cumsum(weights)
    # Rounding may carry the last number of all onto the end itself.
    places: IntArray = np.searchsorted(bounds, numbers * bounds[-1], side="right")
    return np.minimum(places, bounds.size - 1)


def _host_numbers(ids: pl.Series) -> tuple[IntArray, IntArray]:
    """Return a host number for each run of equal ids, and of each row its run.

    Rows are ordered by host, so there are as many runs as hosts and few ids to parse.
    """
    codes = ids.to_physical().to_numpy()
    is_new = np.diff(codes, prepend=codes[:1]) != 0
    runs = np.cumsum(is_new)
    starts = np.flatnonzero(is_new)
    first = ids.gather(np.concatenate([[0], starts])).cast(pl.String)
    return first.str.extract(r"(\d+)$").cast(pl.Int64).to_numpy(), runs.astype(np.int64)
