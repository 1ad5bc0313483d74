"""A winter in operation: the schedule ticks month by month, a month goes wrong in between, and nothing else changes."""

import datetime as dt
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dagster as dg
import pytest

from capsim_dagster.audits.fingerprints import Fingerprint, PieceKey, master_fingerprints
from capsim_dagster.definitions import build_definitions
from capsim_dagster.orchestration.keys import MONTHLY
from capsim_dagster.orchestration.months import key_of, month_of
from capsim_dagster.orchestration.states import Status, Verdict
from capsim_dagster.orchestration.status import read_status
from capsim_dagster.pipeline import stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas.months import first_day, months_between, yearmonth
from capsim_dagster.storage import sha256
from capsim_dagster_tests.conftest import small_settings
from capsim_dagster_tests.support.orchestration.fixtures import QUIET, failure_texts
from capsim_dagster_tests.support.orchestration.month_states import check_states, partition_states
from capsim_dagster_tests.support.orchestration.reported import asking_for
from capsim_dagster_tests.support.sabotage import feed_file, rows_in

WINDOW: Final = {"num_servers": 12, "start_date": "2025-11-01", "end_date": "2025-11-30"}
JANUARY: Final = 202601
TABLE_CHECKS: Final = ("reconciliation", "row_parity", "keys_are_unique", "hosts_are_known")
Months = Sequence[int]


def months(first: int, last: int) -> list[int]:
    return [yearmonth(day) for day in months_between(first_day(first), first_day(last))]


@contextmanager
def clock_at(moment: dt.datetime) -> Iterator[None]:
    """Let Dagster's clock, by which months exist, go on from a moment."""
    ahead = moment.timestamp() - time.time()
    with pytest.MonkeyPatch.context() as patched:
        now = "dagster._time._mockable_get_current_timestamp"
        patched.setattr(now, lambda: time.time() + ahead)
        patched.setattr(
            "dagster._time._mockable_get_current_datetime",
            lambda: dt.datetime.fromtimestamp(time.time() + ahead, dt.UTC),
        )
        yield


@dataclass(frozen=True)
class Operation:
    """A fleet, or a feed, in operation, by the definitions of the day."""

    platform: Platform
    instance: dg.DagsterInstance

    def definitions(self, day: dt.date) -> dg.Definitions:
        return build_definitions(self.platform.settings, today=day)

    def run(
        self, job: str, tags: Mapping[str, str], day: dt.date, assets: Sequence[str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run a job, or some of its assets, on a day."""
        chosen = [dg.AssetKey(asset.split("/")) for asset in assets] if assets else None
        with clock_at(tick_time(day)):
            return (
                self.definitions(day)
                .resolve_job_def(job)
                .execute_in_process(
                    instance=self.instance,
                    tags=dict(tags),
                    run_config=QUIET,
                    raise_on_error=False,
                    asset_selection=chosen,
                )
            )

    def tick(self, day: dt.date) -> list[dg.RunRequest] | str:
        """Let the schedule tick on a day, and return what it asks for, or why it skips."""
        definitions = self.definitions(day)
        schedule = definitions.resolve_schedule_def("monthly_refresh_schedule")
        context = dg.build_schedule_context(
            instance=self.instance,
            scheduled_execution_time=tick_time(day),
            repository_def=definitions.get_repository_def(),
        )
        with clock_at(tick_time(day)):
            found = schedule.evaluate_tick(context)
        return list(found.run_requests or ()) or str(found.skip_message)

    def table_states(self, shown: Months, day: dt.date) -> dict[int, str]:
        with clock_at(tick_time(day)):
            return partition_states(self.instance, self.definitions(day), "processed_data", shown)

    def status(self, day: dt.date) -> Status:
        with clock_at(tick_time(day)):
            return read_status(self.definitions(day), self.instance, today=day)

    def require_all_green(self, expected: Months, day: dt.date) -> None:
        """Assert that every asset is there with just these months, and that every check passed for each."""
        found = self.status(day)
        assert found.months == [*map(key_of, expected)]
        assert (found.open_months, found.open_assets, found.failed_months) == ([], [], [])
        assert not found.has_failures
        on_demand = {asset.asset for asset in found.assets if asset.is_on_demand}
        assert {check.verdict for check in found.checks if check.asset not in on_demand} == {Verdict.PASSED}
        assert {tuple(check.keys_with(Verdict.PASSED)) for check in found.checks if check.partitions is not None} == {
            tuple(map(key_of, expected))
        }


def tick_time(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(6), tzinfo=dt.UTC)


def asked(requests: list[dg.RunRequest] | str) -> list[tuple[int, int]]:
    """Return first and last month of each request."""
    assert not isinstance(requests, str), requests
    ends = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
    found = [[month_of(request.tags[end]) for end in ends] for request in requests]
    return [(first, last) for first, last in found]


@contextmanager
def opened(folder: Path) -> Iterator[dg.DagsterInstance]:
    """Open an instance in a folder, whose event log keeps its engines: each run writes hundreds of events."""
    folder.mkdir(exist_ok=True)
    event_log = {
        "module": "capsim_dagster.orchestration.event_log",
        "class": "EngineReusingEventLog",
        "config": {"base_dir": str(folder / "history" / "runs")},
    }
    with dg.DagsterInstance.local_temp(str(folder), overrides={"event_log_storage": event_log}) as instance:
        yield instance


@dataclass(frozen=True)
class Snapshot:
    """What must not change any more: digests of feed files, rows of the table and fingerprints of the master."""

    feed: dict[str, str]
    rows: set[tuple[object, ...]]
    master: dict[PieceKey, Fingerprint]

    @classmethod
    def of(cls, platform: Platform) -> "Snapshot":
        root = platform.layout.legacy
        files = {str(path.relative_to(root)): sha256(path) for path in root.rglob("*.csv")}
        return cls(files, set(rows_in(platform, "processed_data")), dict(master_fingerprints(platform.layout.master)))

    def require_kept_in(self, later: "Snapshot") -> None:
        """Assert that whatever was there is there still, unchanged."""
        assert self.feed.items() <= later.feed.items()
        assert self.rows <= later.rows
        assert self.master.items() <= later.master.items()


def require_each_month_once(instance: dg.DagsterInstance, expected: Months) -> None:
    for asset in MONTHLY:
        records = instance.fetch_materializations(asset, limit=1_000).records
        counted = Counter(month_of(record.partition_key) for record in records if record.partition_key)
        assert counted == dict.fromkeys(expected, 1), asset


def built(folder: Path) -> Platform:
    return Platform(small_settings(folder / "data", **WINDOW))


def test_ticks_over_a_new_year_make_each_month_once_change_nothing_older_and_leave_every_check_passed(
    tmp_path: Path,
) -> None:
    platform, there = built(tmp_path), months(202511, 202511)
    with opened(tmp_path / "instance") as instance:
        fleet = Operation(platform, instance)
        assert fleet.run("full_refresh", asking_for(there), dt.date(2025, 12, 1)).success
        assert fleet.tick(dt.date(2025, 12, 2)) == "every complete month before 2025-12 is there"

        for month in months(202512, 202601):
            day = (first_day(month) + dt.timedelta(days=31)).replace(day=2)
            before = Snapshot.of(platform)
            requests = fleet.tick(day)

            assert asked(requests) == [(month, month)]
            assert requests == fleet.tick(day), "ticking twice names the same run"
            (request,) = (request for request in requests if isinstance(request, dg.RunRequest))
            result = fleet.run("monthly_refresh", request.tags, day)

            there.append(month)
            assert result.success, failure_texts(result)
            assert [found.check_name for found in result.get_asset_check_evaluations() if not found.passed] == []
            require_each_month_once(instance, there)
            before.require_kept_in(Snapshot.of(platform))
            assert stages.calendar_months(platform) == there
            assert fleet.tick(day) == f"every complete month before {day:%Y-%m} is there"

        fleet.require_all_green(there, dt.date(2026, 2, 2))


# The same winter with a fault in one month.

MARCH_2: Final = dt.date(2026, 3, 2)
SO_FAR: Final = months(202511, 202602)
GREEN: Final = dict.fromkeys(SO_FAR, "MATERIALIZED")


@dataclass(frozen=True)
class Red:
    """A fleet of which a file of January was lost, and then the months so far were loaded anew.

    Attributes:
        folder: Where it is.
        before: What was there when all was well.
        lost: What was in the file.
        failures: What the run said.
    """

    folder: Path
    before: Snapshot
    lost: bytes
    failures: list[str]


@pytest.fixture(scope="module")
def red(tmp_path_factory: pytest.TempPathFactory) -> Red:
    folder = tmp_path_factory.mktemp("winter")
    with opened(folder / "instance") as instance:
        fleet = Operation(built(folder), instance)
        assert fleet.run("full_refresh", asking_for(SO_FAR), MARCH_2).success
        before, path = Snapshot.of(fleet.platform), feed_file(fleet.platform, JANUARY)
        content = path.read_bytes()
        path.unlink()
        result = fleet.run("monthly_refresh", asking_for(SO_FAR), MARCH_2, ["processed_data"])
    assert not result.success
    return Red(folder, before, content, failure_texts(result))


@pytest.fixture
def fleet(red: Red, tmp_path: Path) -> Iterator[Operation]:
    """Yield the fleet of which a file is lost, in a copy of its own."""
    folder = tmp_path / "winter"
    shutil.copytree(red.folder, folder)
    with opened(folder / "instance") as instance:
        yield Operation(built(folder), instance)


def test_a_file_that_is_gone_shows_just_its_month_red_and_its_return_makes_it_green(red: Red, fleet: Operation) -> None:
    assert "2026-01" in red.failures[0]
    assert fleet.table_states(SO_FAR, MARCH_2) == {**GREEN, JANUARY: "FAILED"}
    for check in TABLE_CHECKS:
        states = check_states(fleet.instance, "processed_data", check)
        wrong = {JANUARY: "FAILED"} if check == "reconciliation" else {}
        assert states == {**dict.fromkeys(SO_FAR, "SUCCEEDED"), **wrong}
    found = fleet.status(MARCH_2)
    assert (found.failed_months, found.open_months) == ([key_of(JANUARY)], [key_of(JANUARY)])
    assert [(check.asset, check.check) for check in found.checks if check.verdict is Verdict.FAILED] == [
        ("processed_data", "reconciliation")
    ]
    assert set(rows_in(fleet.platform, "processed_data")) == red.before.rows

    feed_file(fleet.platform, JANUARY).write_bytes(red.lost)
    assert fleet.run("monthly_refresh", asking_for([JANUARY]), MARCH_2, ["processed_data"]).success

    fleet.require_all_green(SO_FAR, MARCH_2)
    assert Snapshot.of(fleet.platform) == red.before


def test_the_next_tick_asks_for_the_red_month_and_the_new_one_writes_the_lost_file_again_and_makes_both_green(
    red: Red, fleet: Operation
) -> None:
    day = dt.date(2026, 4, 2)

    requests = fleet.tick(day)

    assert asked(requests) == [(JANUARY, JANUARY), (202603, 202603)]
    for request in requests:
        assert isinstance(request, dg.RunRequest)
        assert fleet.run("monthly_refresh", request.tags, day).success
    fleet.require_all_green([*SO_FAR, 202603], day)
    red.before.require_kept_in(Snapshot.of(fleet.platform))
    assert fleet.tick(day) == "every complete month before 2026-04 is there"
