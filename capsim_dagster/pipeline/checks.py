"""The audits of each stage's output as it lies on disk: name of the check -> report.

The stages hold hard invariants before they publish; these look again, later and on their own, at what was published:
at the whole, and at each month of feed and table, so that it has a verdict of its own. The two that users ask for by
name, `row_parity` and `behavioral_diversity`, are called so wherever they apply.
"""

import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from capsim_dagster.audits import behaviour, parity
from capsim_dagster.audits import fleet as fleet_audits
from capsim_dagster.audits import truth as truth_audits
from capsim_dagster.audits.calendar import CalendarScan, calendar_effects, calendar_groups
from capsim_dagster.audits.fingerprints import (
    Fingerprint,
    PieceKey,
    fingerprints,
    master_fingerprints,
    rows_of,
    table_fingerprints,
    table_month_fingerprints,
    view_master,
    view_truth,
)
from capsim_dagster.audits.fleet import present_varieties
from capsim_dagster.audits.parity import file_names, foreign_month, no_defects, not_simulated, of_a_month
from capsim_dagster.audits.report import Finding, Reports, by_claim
from capsim_dagster.audits.scan import MonthOfTelemetry, months_of_file, months_of_telemetry
from capsim_dagster.audits.truth import TOLERANCE_DAYS, Breach, Series, breaches_on_date
from capsim_dagster.pipeline.dirt import defects_score, expected_content, undamaged_content
from capsim_dagster.pipeline.entrance import calendar_days, require_hosts
from capsim_dagster.pipeline.ledger import rotted
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.remote import own_master, strays_of
from capsim_dagster.refinery.reconciliation import reconciliation
from capsim_dagster.schemas import Resource, Scenario
from capsim_dagster.schemas.months import first_day, month_end, yearmonth
from capsim_dagster.simulated.truth import TruthFiles, open_truth
from capsim_dagster.simulation import parameters, telemetry, truth
from capsim_dagster.storage import identity

_AS_MASTER: Final = "every month holds what the master holds, by its fingerprint: judged on the values of the master"
_JUDGED: Final = dict[tuple[tuple[int, int, int] | None, str, int], Finding]()
"""How the behaviour of the latest master was judged, by the file's identity, settings and inventory: the table's is the
same where its content is."""
TWIN_HOSTS: Final = 200
"""Hosts whose values are compared with their twin without events; a tenth of the default fleet."""


def host_inventory(platform: Platform) -> Reports:
    """Audit the inventory in the warehouse."""
    with platform.reading() as connection:
        ((hosts, distinct),) = rows_of(connection, "SELECT count(*), count(DISTINCT host_id) FROM hosts")
        varieties = rows_of(connection, "SELECT scenario, variant, count(*) FROM hosts GROUP BY ALL")
    return by_claim(
        fleet_audits.behavioral_diversity(varieties),
        fleet_audits.fleet_size(hosts, distinct, platform.generation.num_servers),
    )


def time_dimension(platform: Platform) -> Reports:
    """Audit the calendar in the warehouse."""
    with platform.reading() as connection:
        days = calendar_days(connection)
    generation = platform.generation
    return by_claim(fleet_audits.contiguous_calendar(days, start=generation.start_date, end=generation.end_date))


def master_parquet(platform: Platform) -> Reports:
    """Audit the master file against inventory, calendar and settings."""
    generation = platform.generation
    master = own_master(platform)
    found = master_fingerprints(platform.layout.master)
    with platform.reading() as connection:
        view_master(connection, platform.layout.master)
        hosts = require_hosts(platform, connection)
        grid = parity.expected_grid(connection)
        breaches = breaches_on_date(
            connection,
            "master_rows",
            _breaches(platform, hosts),
            start=master.footer.start,
            end=master.footer.end,
            threshold=generation.breach_threshold,
        )
        calendar = CalendarScan(generation, calendar_groups(generation, parameters.host_block(generation, hosts)))
        behavioral = _behaviour_of_master(platform, connection, hosts, also=[calendar])
    return by_claim(
        parity.grid_parity(grid, found),
        parity.within_bounds(found),
        behavioral,
        calendar_effects(calendar.ratios()),
        breaches,
    )


def ground_truth(platform: Platform) -> Reports:
    """Audit the ground truth against master, inventory and settings."""
    generation, files = platform.generation, TruthFiles(platform.layout.truth)
    footer = open_truth(files, generation)
    events, series = pl.read_parquet(files.events), pl.read_parquet(files.series)
    with platform.reading() as connection:
        view_master(connection, own_master(platform).path)
        view_truth(connection, expected=files.expected, events=files.events)
        hosts = require_hosts(platform, connection)
        grid = {piece: f for piece, f in parity.expected_grid(connection).items() if piece[0] <= yearmonth(footer.end)}
        whole = parity.grid_parity(grid, fingerprints(connection, "expected_rows"))
        rates = truth_audits.event_rates(
            connection,
            generation,
            last=footer.end,
            anomalous_share=float(series["has_anomalies"].to_numpy().mean()),
        )
        explained = _events_explain_differences(platform, hosts, events, end=footer.end)
        return by_claim(
            whole.with_problems(_lacking_series(series, hosts)),
            truth_audits.gaps_are_labelled(connection, footer.end),
            explained,
            rates,
            truth_audits.breach_dates(series, hosts, generation),
        )


def refinery_audit(platform: Platform, expected_months: Iterable[int]) -> Reports:
    """Audit all months of the table against its files and, for capsim's own feed, against the simulation.

    The months expected, as YYYYMM, are those that the table must hold.
    """
    contract = platform.refined
    names = file_names(*strays_of(platform), len(contract.pieces()), contract.settings.layout)
    score = defects_score(platform) if platform.refines_own_feed else no_defects()
    with platform.reading() as connection:
        found = table_fingerprints(connection)
        rows = sum(content.rows for content in found.values())
        compared = (
            _against_simulation(platform, connection, found, list(expected_months))
            if platform.refines_own_feed
            else [not_simulated("row_parity", rows), not_simulated("behavioral_diversity", rows)]
        )
        accounts = reconciliation(connection, found, contract.root).with_problems(rotted(platform))
        return by_claim(accounts, names, score, *compared)


def _against_simulation(
    platform: Platform,
    connection: duckdb.DuckDBPyConnection,
    found: Mapping[PieceKey, Fingerprint],
    expected_months: Sequence[int],
) -> list[Finding]:
    """Audit the table of capsim's own feed against master and inventory."""
    master = own_master(platform)
    hosts = require_hosts(platform, connection)
    expected = expected_content(platform, sorted({month for month, _ in found}))
    parity_of_table = parity.content_parity(
        expected, found, expected_months=expected_months, resources=platform.settings.refinery.resources
    )
    whole = undamaged_content(platform)
    if found.keys() == whole.keys() and not any(found[key].differs_from(whole[key]) for key in found):
        view_master(connection, master.path)
        of_master = _behaviour_of_master(platform, connection, hosts)
        behavioral = replace(of_master, note="; ".join(filter(None, [_AS_MASTER, of_master.note])))
    else:
        end = min(_last_day(found, platform.generation.start_date), master.footer.end)
        months = months_of_telemetry(
            connection, "table_rows", _numbers(platform, hosts), start=platform.generation.start_date, end=end
        )
        behavioral = _behavioral_diversity(
            platform, hosts, months, lambda: present_varieties(connection, "table_rows"), end=end
        )
    return [parity_of_table, behavioral]


def _behaviour_of_master(
    platform: Platform, connection: duckdb.DuckDBPyConnection, hosts: pl.DataFrame, also: Sequence[CalendarScan] = ()
) -> Finding:
    """Audit the behaviour of the master, once for the same file; other scans see its months then."""
    master = own_master(platform)
    judged = identity(master.path), telemetry.fleet_hash(platform.generation), int(hosts.hash_rows().sum())
    if also or judged not in _JUDGED:
        start, end = platform.generation.start_date, master.footer.end
        months = months_of_file(master.path, _numbers(platform, hosts), start=start, end=end)
        _JUDGED.clear()
        _JUDGED[judged] = _behavioral_diversity(
            platform, hosts, months, lambda: present_varieties(connection, "master_rows"), end=end, also=also
        )
    return _JUDGED[judged]


def _numbers(platform: Platform, hosts: pl.DataFrame) -> NDArray[np.int64]:
    return parameters.host_block(platform.generation, hosts).numbers


def _breaches(platform: Platform, hosts: pl.DataFrame) -> dict[Series, Breach]:
    """Return when each breach host's limiting series must reach the threshold."""
    breaching = hosts.filter(pl.col("scenario") == Scenario.CAPACITY_BREACH)
    generation = platform.generation
    block = parameters.host_block(generation, breaching)
    breaches: dict[Series, Breach] = {}
    for resource in Resource:
        series = parameters.draw_parameters(generation, resource, block)
        spreads = parameters.crossing_spread_days(series).tolist()
        days = series.breach_day.tolist()
        for index in series.is_limiting.nonzero()[0].tolist():
            tolerance = max(TOLERANCE_DAYS, math.ceil(spreads[index]))
            breaches[breaching["host_id"][index], resource.value] = Breach(int(days[index]), tolerance)
    return breaches


def _behavioral_diversity(
    platform: Platform,
    hosts: pl.DataFrame,
    months: Iterable[MonthOfTelemetry],
    present: Callable[[], Iterable[tuple[str | None, str | None, int]]],
    *,
    end: dt.date,
    also: Sequence[CalendarScan] = (),
) -> Finding:
    """Audit the behaviour that months of telemetry show, and let other scans see the same months.

    `present`: returns how many hosts of each variety have telemetry: all that can be said of a short window.
    """
    generation, block = platform.generation, parameters.host_block(platform.generation, hosts)
    scan = behaviour.FeatureScan(generation)
    for month in months:
        scan.add(month)
        for other in also:
            other.add(month)
    days = (end - generation.start_date).days + 1
    if days < behaviour.MIN_DAYS:
        return fleet_audits.behavioral_diversity(present(), note=behaviour.too_short(days))
    return behaviour.behavioral_diversity(
        scan.features(),
        block.varieties,
        horizon_days=generation.scenario_horizon_days,
        is_due=parameters.breach_days(generation, block) + behaviour.DAYS_TO_SHOW <= days,
    )


def _events_explain_differences(
    platform: Platform, hosts: pl.DataFrame, events: pl.DataFrame, *, end: dt.date
) -> Finding:
    """Compare the master with its twin without events, on hosts spread over the fleet."""
    start = platform.generation.start_date
    sample = hosts.gather_every(max(1, hosts.height // TWIN_HOSTS))
    model = telemetry.host_model(platform.generation, sample)
    twin = truth.without_events(model, start, end)
    found = months_of_file(platform.layout.master, model.block.numbers, start=start, end=end)
    values = np.concatenate([month.values for month in found], axis=2)
    differs = np.concatenate([values[index] != twin[resource] for index, resource in enumerate(Resource)])
    return truth_audits.events_explain_differences(
        differs,
        events.filter(pl.col("host_id").is_in(sample["host_id"].implode())),
        [(host, resource.value) for resource in Resource for host in sample["host_id"]],
        start=start,
    )


def _lacking_series(series: pl.DataFrame, hosts: pl.DataFrame) -> list[str]:
    """Return in words which hosts have not one row a resource in the table of series."""
    counts = dict(series.group_by("host_id").len().iter_rows())
    lacking = [host for host in hosts["host_id"] if counts.get(host) != len(Resource)]
    strange = counts.keys() - set(hosts["host_id"])
    return [f"{host} has {counts.get(host, 0)} series instead of {len(Resource)}" for host in lacking] + [
        f"{host} has series but is not in the inventory" for host in sorted(strange)
    ]


def _last_day(found: Mapping[PieceKey, Fingerprint], start: dt.date) -> dt.date:
    """Return the last day of the last month that is there."""
    last = max((month for month, _ in found), default=yearmonth(start))
    return month_end(first_day(last))


class TableMonths:
    """Audits single months of `processed_data` against its files and, for capsim's own feed, against the master."""

    def __init__(
        self, platform: Platform, connection: duckdb.DuckDBPyConnection, expected: Mapping[PieceKey, Fingerprint] | None
    ) -> None:
        """Read what the refinery must make of each month and resource; None = it is somebody else's feed."""
        self._platform, self._connection, self._expected = platform, connection, expected
        self._grid = parity.expected_grid(connection)

    def audit(self, month: int, content: Mapping[PieceKey, Fingerprint] | None = None) -> Reports:
        """Audit a month of the table, whose content was looked at just now, within the transaction, or is not known."""
        connection = self._connection
        found = table_month_fingerprints(connection, month) if content is None else content
        of_any = by_claim(
            reconciliation(connection, found, self._platform.refined.root, month),
            parity.unique_keys(connection, "table_month_rows", found, self._grid),
        )
        return of_any | (foreign_month(found) if self._expected is None else self._against_simulation(month, found))

    def _against_simulation(self, month: int, found: Mapping[PieceKey, Fingerprint]) -> Reports:
        """Audit a month of capsim's own feed against master and inventory."""
        content = parity.content_parity(
            {key: content for key, content in (self._expected or {}).items() if key[0] == month},
            found,
            expected_months=[month],
            resources=self._platform.settings.refinery.resources,
        )
        return by_claim(of_a_month(content), parity.known_hosts(self._connection, "table_month_rows"))
