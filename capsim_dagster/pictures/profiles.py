"""What the calendar does to the load of a fleet, as numbers: the profile of the week and the effect of quarter end.

Both compare mean loads of days with those of ordinary days, which no occasion of the calendar touches. Means are taken
over hosts, so a day counts as much as hosts reported on it. How the numbers are drawn is in `fleet`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from capsim_dagster.schemas import Resource
from capsim_dagster.seeding import Float32Array, Float64Array

BUSINESS_DAYS_BEFORE: Final = 15
"""Business days that are shown of the old quarter, its last one being -1."""
BUSINESS_DAYS_AFTER: Final = 10
"""Business days that are shown of the new quarter, its first one being 1."""
LEAST_ORDINARY_DAYS: Final = 5
"""Ordinary days that a quarter end needs around it, to compare with."""
_WORKING_WEEKDAYS: Final = 5
_WEEK: Final = {"group": pl.String, "weekday": pl.Int8, "ratio": pl.Float64}
_QUARTER: Final = {"group": pl.String, "business_day": pl.Int32, "ratio": pl.Float64}
_IS_ORDINARY: Final = ~(
    pl.col("is_bank_holiday")
    | pl.col("is_holiday_shoulder")
    | pl.col("is_quarter_end_window")
    | pl.col("is_month_end_window")
)
_MEAN: Final = pl.col("load").sum() / pl.col("hosts").sum()


class Loads:
    """The load of a fleet, summed by region and server type as its pieces come in."""

    def __init__(self, hosts: pl.DataFrame) -> None:
        """Start without a piece; a row a host, with `region` and `server_type`."""
        self._groups = (
            hosts.select("region", "server_type").unique().sort("region", "server_type").with_row_index("group")
        )
        group = hosts.join(self._groups, on=["region", "server_type"], maintain_order="left")["group"].to_numpy()
        self._membership = np.equal.outer(np.arange(self._groups.height), group).astype(np.float64)
        self._pieces: list[tuple[Resource, NDArray[np.datetime64], Float64Array, Float64Array]] = []

    def add(self, resource: Resource, days: NDArray[np.datetime64], values: Float32Array) -> None:
        """Add utilization [%], NaN = none, of some days, shape `(n_hosts, n_days)`, in the order of the hosts."""
        reported = np.isfinite(values)
        total = self._membership @ np.where(reported, values, 0)
        self._pieces.append((resource, days, total, self._membership @ reported))

    def frame(self) -> pl.DataFrame:
        """Return one row a group and day: `resource`, `region`, `server_type`, `date`, `load` [%] and `hosts`.

        `load` is the sum over the hosts that reported, `hosts` their number.
        """
        n_groups = self._groups.height
        sizes = [days.size for _, days, _, _ in self._pieces]
        resources = pl.Series([resource.value for resource, _, _, _ in self._pieces], dtype=pl.String)
        return (
            pl.DataFrame(
                {
                    "resource": resources.gather(
                        np.repeat(np.arange(len(sizes)), np.array(sizes, dtype=np.int64) * n_groups)
                    ),
                    "group": np.concatenate([np.repeat(np.arange(n_groups, dtype=np.uint32), size) for size in sizes]),
                    "date": np.concatenate([np.tile(days, n_groups) for _, days, _, _ in self._pieces]),
                    "load": np.concatenate([total.ravel() for _, _, total, _ in self._pieces]),
                    "hosts": np.concatenate([hosts.ravel() for _, _, _, hosts in self._pieces]),
                }
            )
            .join(self._groups, on="group")
            .drop("group")
        )


def weekly_profile(loads: pl.DataFrame, calendar: pl.DataFrame) -> pl.DataFrame:
    """Return each group's mean load by weekday relative to the mean of the working days of the same week.

    Weeks count by region, where all five working days are ordinary; so neither growth nor season nor an occasion of
    the calendar leans on a weekday.

    Args:
        loads: Columns `group`, `region`, `date`, `load` (sum over hosts) [%] and `hosts` (that reported).
        calendar: Columns of `schemas.fleet.REGION_CALENDAR`.

    Returns:
        Columns `group`, `weekday` (Monday 1 to Sunday 7) and `ratio`, ordered so; empty if there is no such week.
    """
    keys = ["group", "region", "week"]
    days = loads.join(calendar.filter(_IS_ORDINARY), on=["region", "date"]).filter(pl.col("hosts") > 0)
    days = days.with_columns(week=pl.col("date").dt.truncate("1w"), weekday=pl.col("date").dt.weekday())
    weeks = (
        days.filter(pl.col("weekday") <= _WORKING_WEEKDAYS)
        .group_by(keys)
        .agg(base=_MEAN, days=pl.col("date").n_unique())
        .filter((pl.col("days") == _WORKING_WEEKDAYS) & (pl.col("base") > 0))
    )
    return _relative_to(weeks, days, keys, "weekday", _WEEK)


def quarter_end_effect(loads: pl.DataFrame, calendar: pl.DataFrame) -> pl.DataFrame:
    """Return each group's mean load on the business days around quarter ends, relative to ordinary ones among them.

    Loads are divided by the weekly profile first, or the few quarter ends of a window would show their weekdays.
    Business days are those of the host's region. Bank holidays are none, and days beside a holiday that lie outside
    the quarter-end window are left out. Loads and calendar are as for `weekly_profile`, in whole quarters or parts.

    Returns:
        Columns `group`, `business_day` (-1 = last of the old quarter, 1 = first of the new one) and `ratio`, ordered
        so; empty if no quarter ends in the calendar.
    """
    keys = ["group", "region", "quarter"]
    evened = _without_week(loads, weekly_profile(loads, calendar))
    around = evened.join(_days_around_quarter_ends(calendar), on=["region", "date"]).filter(pl.col("hosts") > 0)
    ordinary = (
        around.filter(_IS_ORDINARY)
        .group_by(keys)
        .agg(base=_MEAN, days=pl.col("date").n_unique())
        .filter((pl.col("days") >= LEAST_ORDINARY_DAYS) & (pl.col("base") > 0))
    )
    relative = around.filter(~pl.col("is_holiday_shoulder") | pl.col("is_quarter_end_window"))
    return _relative_to(ordinary, relative, keys, "business_day", _QUARTER)


def quarter_ends(calendar: pl.DataFrame) -> int:
    """Return how many quarters end within a calendar."""
    return _last_business_days(_business_days(calendar), calendar)["quarter"].n_unique()


def window_days(calendar: pl.DataFrame) -> int:
    """Return how many business days the quarter-end window has, at most; 0 if none lies in the calendar."""
    flagged = calendar.filter("is_quarter_end_window").group_by("region", pl.col("date").dt.truncate("1mo")).len()
    return int(flagged["len"].max() or 0)  # type: ignore[arg-type]


def _relative_to(
    bases: pl.DataFrame, days: pl.DataFrame, keys: Sequence[str], place: str, schema: Mapping[str, type[pl.DataType]]
) -> pl.DataFrame:
    """Return the mean over hosts of each day's load relative to the base that it shares keys with, by place."""
    return (
        days.join(bases, on=list(keys))
        .group_by("group", place)
        .agg(ratio=(pl.col("load") / pl.col("base")).sum() / pl.col("hosts").sum())
        .cast(dict(schema))  # type: ignore[arg-type]
        .sort("group", place)
    )


def _without_week(loads: pl.DataFrame, weekly: pl.DataFrame) -> pl.DataFrame:
    """Return loads without the profile of the week; a weekday that it lacks stays as it is."""
    weekday = pl.col("date").dt.weekday()
    return (
        loads.with_columns(weekday=weekday)
        .join(weekly, on=["group", "weekday"], how="left")
        .with_columns(load=pl.col("load") / pl.when(pl.col("ratio") > 0).then("ratio").otherwise(1.0))
        .drop("weekday", "ratio")
    )


def _days_around_quarter_ends(calendar: pl.DataFrame) -> pl.DataFrame:
    """Return the calendar's business days around each quarter end, with `quarter` and `business_day`."""
    business = _business_days(calendar)
    steps = pl.DataFrame({"step": range(1 - BUSINESS_DAYS_BEFORE, BUSINESS_DAYS_AFTER + 1)}, schema={"step": pl.Int64})
    places = (
        _last_business_days(business, calendar)
        .join(steps, how="cross")
        .select(
            "region",
            "quarter",
            position=pl.col("last") + pl.col("step"),
            # There is no business day 0: the last of the old quarter is -1, the first of the new one 1.
            business_day=pl.when(pl.col("step") > 0).then("step").otherwise(pl.col("step") - 1),
        )
    )
    return business.drop("quarter").join(places, on=["region", "position"])


def _business_days(calendar: pl.DataFrame) -> pl.DataFrame:
    """Return the business days, numbered within each region."""
    business = calendar.filter("is_business_day").sort("region", "date")
    return business.with_columns(
        position=pl.int_range(pl.len(), dtype=pl.Int64).over("region"), quarter=pl.col("date").dt.truncate("1q")
    )


def _last_business_days(business: pl.DataFrame, calendar: pl.DataFrame) -> pl.DataFrame:
    """Return the number of the last business day of each quarter that ends within the calendar."""
    is_whole = pl.col("quarter").dt.offset_by("1q") <= pl.lit(calendar["date"].max(), pl.Date).dt.offset_by("1d")
    return business.filter(is_whole).group_by("region", "quarter").agg(last=pl.col("position").max())
