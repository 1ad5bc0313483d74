"""Audits of the ground truth: does it say all that happened, and nothing that did not? Is what must happen there?"""

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from capsim_dagster.audits.fingerprints import Relation, rows_of
from capsim_dagster.audits.report import Finding
from capsim_dagster.schemas import ANOMALY_KINDS, GAP_KINDS, EventKind, Resource, Scenario
from capsim_dagster.settings import DataGeneration
from capsim_dagster.storage.warehouse import statement

SAMPLING_ERRORS: Final = 4.0
"""How many standard errors a measured rate may be off: one in 16,000 fails by chance."""
UNSEEN_SHARE: Final = 0.01
"""Part of the anomalous days that may not show: spikes above the ceiling."""
TOLERANCE_DAYS: Final = 7
"""Least tolerance: noise of a quarter point over growth of 0.2 points a day crosses some days early or late."""

Series = tuple[str, str]
"""Host and resource."""


def gaps_are_labelled(connection: duckdb.DuckDBPyConnection, last: dt.date) -> Finding:
    """Report whether the days without a value, up to the master's last, are exactly those that gap events cover."""
    rows = rows_of(connection, statement(__package__, "unlabelled_gaps"), {"last": last, "gaps": _names(GAP_KINDS)})
    ((missing,),) = rows_of(connection, "SELECT count(*) FROM master_rows WHERE util IS NULL")
    return Finding(
        "gaps_are_labelled",
        examples=[
            f"{host} {resource} on {date} " + ("has no value and no event" if bare else "has a value in spite of a gap")
            for host, resource, date, bare in rows
        ],
        counts={"missing_values": missing, "unlabelled": sum(1 for *_, bare in rows if bare)},
    )


def event_rates(
    connection: duckdb.DuckDBPyConnection,
    generation: DataGeneration,
    *,
    last: dt.date,
    anomalous_share: float,
) -> Finding:
    """Report whether missing and anomalous days are as frequent as set, within sampling error.

    The connection sees `master_rows` and `truth_event_days`; the share, 0 to 1, is of the series that have anomalies at
    all.
    """
    parameters = {"last": last, "anomalies": _names(ANOMALY_KINDS)}
    ((total, missing, anomalous),) = rows_of(connection, statement(__package__, "event_rates"), parameters)
    reported = total - missing
    expected_anomalous = generation.anomalies.rate * anomalous_share
    unseen = UNSEEN_SHARE * expected_anomalous
    anomalous_error = _anomalous_error(generation, reported) / max(reported, 1)
    rates = (
        ("missing values", _missing_share(generation), missing / total, _missing_error(generation, total) / total),
        ("anomalous days", expected_anomalous, anomalous / max(reported, 1), anomalous_error + unseen),
    )
    return Finding(
        "event_rates_match_settings",
        examples=[
            f"{measured:.4%} {name}, expected {expected:.4%} within {tolerance:.4%}"
            for name, expected, measured, tolerance in rates
            if abs(measured - expected) > tolerance
        ],
        counts={"missing_values": missing, "anomalous_days": anomalous},
        table=[
            {"of": name, "expected": expected, "measured": round(measured, 6), "tolerance": round(tolerance, 6)}
            for name, expected, measured, tolerance in rates
        ],
    )


def events_explain_differences(
    differs: NDArray[np.bool_], events: pl.DataFrame, series: Sequence[tuple[str, str]], *, start: dt.date
) -> Finding:
    """Report whether each difference between the data and their twin without events has an event, and vice versa.

    Where the data differ from the twin, or are missing, is of shape `(n_series, n_days)`; series are host and resource.
    """
    row_of = {name: row for row, name in enumerate(series)}
    last = start + dt.timedelta(differs.shape[1] - 1)
    explained = np.zeros_like(differs)
    problems = []
    for host, resource, kind, first_day, last_day in events.select(
        "host_id", "resource", "kind", "start", "end"
    ).iter_rows():
        row, first = row_of[host, resource], (first_day - start).days
        explained[row, first : (last_day - start).days + 1] = True
        shows = differs[row, first] and (last_day > last or differs[row, (last_day - start).days])
        if not shows:
            problems.append(f"{kind} of {host} {resource} from {first_day} to {last_day} does not show in the data")
    for row, day in zip(*np.nonzero(differs & ~explained), strict=True):
        host, resource = series[row]
        problems.append(f"{host} {resource} on {start + dt.timedelta(int(day))} differs from its twin without an event")
    return Finding(
        "events_explain_differences",
        examples=problems,
        counts={"series": len(series), "events": events.height, "days_explained": int(explained.sum())},
    )


def breach_dates(series: pl.DataFrame, hosts: pl.DataFrame, generation: DataGeneration) -> Finding:
    """Report whether each breach host, and no other, has one breach date, within the horizon."""
    breaching = set(hosts.filter(pl.col("scenario") == Scenario.CAPACITY_BREACH.value)["host_id"])
    dated = series.filter(pl.col("breach_date").is_not_null())
    counts = dict(dated.group_by("host_id").len().iter_rows())
    end = generation.start_date + dt.timedelta(generation.scenario_horizon_days)
    outside = dated.filter(~pl.col("breach_date").is_between(generation.start_date, end))
    problems = [f"{host} has {counts.get(host, 0)} breach dates" for host in sorted(breaching) if counts.get(host) != 1]
    problems += [f"{host} has a breach date but is no breach host" for host in sorted(counts.keys() - breaching)]
    problems += [
        f"{host} {resource} breaches on {date}, outside {generation.start_date} to {end}"
        for host, resource, date in outside.select("host_id", "resource", "breach_date").iter_rows()
    ]
    return Finding(
        "breach_dates_lie_within_horizon",
        examples=problems,
        counts={"breach_hosts": len(breaching), "breach_dates": dated.height, "series": series.height},
    )


def _missing_share(generation: DataGeneration) -> float:
    """Return the share of values that singles, outages and agent outages leave out together, where they overlap."""
    gaps = generation.gaps
    return 1 - (1 - gaps.single_rate) * (1 - gaps.outage_rate) * (1 - gaps.agent_down_rate)


def _missing_error(generation: DataGeneration, rows: int) -> float:
    """Return the tolerance of the missing values among so many [values].

    They come in runs: of one day, of an outage's, of an agent's outage on all resources at once. The variance of such
    a sum is the expected number of runs times their mean square length.
    """
    gaps = generation.gaps
    runs = _mean_square(gaps.outage_days) / (sum(gaps.outage_days) / 2)
    variance = rows * (gaps.single_rate + runs * (gaps.outage_rate + gaps.agent_down_rate * len(Resource)))
    return SAMPLING_ERRORS * math.sqrt(variance)


def _anomalous_error(generation: DataGeneration, rows: int) -> float:
    """Return the tolerance of the anomalous days among so many; each anomaly is a run of days [days]."""
    kinds = generation.anomalies.kinds.values()
    runs = math.fsum(kind.share * _mean_square(kind.days) / kind.mean_days for kind in kinds)
    return SAMPLING_ERRORS * math.sqrt(rows * generation.anomalies.rate * runs)


def _mean_square(days: tuple[int, int]) -> float:
    """Return the mean square of a duration from a shortest to a longest one, all equally likely [days²]."""
    shortest, longest = days
    return sum(day * day for day in range(shortest, longest + 1)) / (longest - shortest + 1)


def _names(kinds: Sequence[EventKind]) -> list[str]:
    return [kind.value for kind in kinds]


@dataclass(frozen=True)
class Breach:
    """When a series must reach the threshold, in days since the start of the window, and how far off it may be."""

    day: int
    tolerance_days: int = TOLERANCE_DAYS


def breaches_on_date(
    connection: duckdb.DuckDBPyConnection,
    relation: Relation,
    expected: Mapping[Series, Breach],
    *,
    start: dt.date,
    end: dt.date,
    threshold: float,
) -> Finding:
    """Report whether each series first reaches the threshold [%] on its breach date, but for its tolerance.

    Series whose date lies within their tolerance of the last day of the telemetry, or later, are not judged.
    """
    last_day = (end - start).days
    due = {series: breach for series, breach in expected.items() if breach.day + breach.tolerance_days <= last_day}
    crossed = _first_crossings(connection, relation, due, start, threshold)
    problems = []
    for (host, resource), breach in sorted(due.items(), key=lambda item: item[0]):
        first = crossed.get((host, resource))
        if first is None:
            date = start + dt.timedelta(breach.day)
            problems.append(f"{host} {resource} never reaches {threshold:g} %, due on {date}")
        elif abs(first - breach.day) > breach.tolerance_days:
            off = f"{first - breach.day:+d} days from its date, more than {breach.tolerance_days}"
            problems.append(f"{host} {resource} reaches {threshold:g} % {off}")
    return Finding(
        "breach_hosts_reach_threshold_on_date",
        examples=problems,
        counts={"breach_hosts": len(expected), "judged": len(due), "on_date": len(due) - len(problems)},
        note="" if due else f"no breach date falls inside the window, which ends on {end}",
    )


def _first_crossings(
    connection: duckdb.DuckDBPyConnection,
    relation: Relation,
    due: Iterable[Series],
    start: dt.date,
    threshold: float,
) -> dict[Series, int]:
    parameters = {"start": start, "threshold": threshold, "hosts": sorted({host for host, _ in due})}
    rows = rows_of(connection, statement(__package__, "first_crossings", relation=relation), parameters)
    return {(host, resource): day for host, resource, day in rows}
