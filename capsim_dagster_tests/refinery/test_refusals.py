from collections.abc import Callable
from typing import NamedTuple

import duckdb
import pytest

from capsim_dagster.errors import CapsimError, FeedError, GateError, WarehouseError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.refinery.load import load_month
from capsim_dagster.schemas import Resource
from capsim_dagster_tests.refinery.test_load import load, loaded
from capsim_dagster_tests.sabotage import ChangeLines, change_lines, feed_file, replace_field


class Damage(NamedTuple):
    """A change of February's CPU file, the error that it must cause, and what the message must say."""

    change: ChangeLines
    error: type[CapsimError]
    says: str


def unreadable(field: int, text: str, says: str) -> Damage:
    return Damage(replace_field(6, field, text), FeedError, says)


def refused(field: int, text: str, says: str) -> Damage:
    return Damage(replace_field(6, field, text), GateError, says)


UNREADABLE = {
    "unreadable value": unreadable(2, "n/a", "line 6, column util"),
    "unreadable date": unreadable(0, "02/30/2023", "line 6, column date"),
    "impossible date": unreadable(0, "2023-02-30", "line 6, column date"),
    "unreadable capacity": unreadable(3, "64 cores", "line 6, column capacity"),
    "extra field": unreadable(3, "64,7", "line 6: Expected Number of Columns: 4 Found: 5"),
    "missing field": Damage(lambda x: [*x[:5], "2023-02-05,srv-000001,20.0", *x[6:]], FeedError, "Found: 3"),
    "decimal comma": unreadable(2, "20,5", "line 6: Expected Number of Columns: 4 Found: 5"),
    "unclosed quote at date": unreadable(0, '"2023-02-05', "line 6, column date"),
    "unclosed quote at value": unreadable(2, '"20.0', "line 6, column util"),
    "no date": unreadable(0, "", "1 lines without a date, host or capacity"),
    "no host": unreadable(1, "", "1 lines without a date, host or capacity"),
    "no capacity": unreadable(3, "", "1 lines without a date, host or capacity"),
    "time of day": unreadable(0, "2023-02-05 13:00:00", "line 6, column date"),
    "comment": Damage(lambda x: [*x[:5], "# comment", *x[6:]], FeedError, ": 1 lines cannot be read"),
    "stray carriage return": Damage(lambda x: [*x[:5], x[5] + "\r", *x[6:]], FeedError, "cpu_utilization_202302.csv"),
    "two bad lines": Damage(lambda x: [*x[:5], "x,y,z,w", "x,y,z,w", *x[7:]], FeedError, "line 7"),
    "header repeated": Damage(lambda x: [*x[:6], *x], FeedError, "line 7"),
    "other header": Damage(lambda x: ["day,host,cpu,cores", *x[1:]], FeedError, "has the header 'day,host,cpu,cores'"),
}
REFUSED = {
    "date outside month": refused(0, "2023-03-05", "336 data lines, of which 335 are rows of this month"),
    "date outside calendar": refused(0, "1999-02-05", "336 data lines, of which 335 are rows of this month"),
    "duplicate line": Damage(lambda x: [*x, x[5]], GateError, "srv-000001 cpu has 1 rows too many in 202302"),
    "duplicate in place of another": Damage(lambda x: [*x[:5], x[4], *x[6:]], GateError, "1 rows too many"),
    "unknown host": refused(1, "srv-999999", "srv-999999 with 1 rows is not in the inventory"),
    "unclosed quote at host": refused(1, '"srv-000001', "is not in the inventory"),
    "value above bounds": refused(2, "150", "1 lines out of range, value 150.0 to 150.0"),
    "value just above bounds": refused(2, "100.01", "1 lines out of range, value 100.01 to 100.01"),
    "value below bounds": refused(2, "-5", "1 lines out of range, value -5.0 to -5.0"),
    "no number": refused(2, "nan", "1 lines out of range, value nan to nan"),
    "infinite": refused(2, "inf", "1 lines out of range, value inf to inf"),
    "negative capacity": refused(3, "-64", "1 lines out of range, value"),
    "capacity no number": refused(3, "nan", "capacity nan to nan"),
    "blank line": Damage(lambda x: [*x, ""], GateError, "337 data lines, of which 336 are rows of this month"),
    "header alone": Damage(lambda x: x[:1], GateError, "has 0 data lines"),
}
UNLIKE_THE_MASTER = {
    "value changed within bounds": refused(2, "20.01", "other values or capacities"),
    "value changed in a far digit": Damage(
        lambda x: [*x[:5], x[5].rpartition(",")[0] + "0001," + x[5].rpartition(",")[2], *x[6:]],
        GateError,
        "other values or capacities",
    ),
    "capacity changed": refused(3, "65", "other values or capacities"),
    "value lost": refused(2, "", "values instead of"),
    "row lost": Damage(lambda x: x[:-1], GateError, "335 rows instead of 336"),
    "host of another": Damage(
        lambda x: [*x[:5], x[5].replace("001,", "002,"), *x[6:]], GateError, "other hosts or days"
    ),
    "values of two days swapped": Damage(
        lambda x: [*x[:1], x[1][:10] + x[2][10:], x[2][:10] + x[1][10:], *x[3:]], GateError, "other values"
    ),
}
OF_ANY_FEED = UNREADABLE | REFUSED
OF_THE_MASTERS_FEED = UNLIKE_THE_MASTER | {
    name: d._replace(says="cpu_utilization_202302.csv") for name, d in REFUSED.items()
}


@pytest.mark.parametrize("damage", OF_ANY_FEED.values(), ids=OF_ANY_FEED)
def test_damaged_file_is_refused_and_the_table_stays(platform: Platform, damage: Damage) -> None:
    before = loaded(platform)
    change_lines(feed_file(platform), damage.change)
    with pytest.raises(damage.error) as caught:
        load(platform)
    assert damage.says in caught.value.found
    assert "202302" in caught.value.found
    assert loaded(platform) == before


@pytest.mark.parametrize("damage", OF_THE_MASTERS_FEED.values(), ids=OF_THE_MASTERS_FEED)
def test_file_unlike_the_master_is_refused_by_name_and_the_table_stays(platform: Platform, damage: Damage) -> None:
    before = loaded(platform)
    change_lines(feed_file(platform), damage.change)
    with pytest.raises(damage.error) as caught:
        load(platform, with_master=True)
    assert damage.says in caught.value.found
    assert str(feed_file(platform)) in caught.value.found
    assert loaded(platform) == before


def _cut_off(platform: Platform) -> None:
    path = feed_file(platform)
    path.write_bytes(path.read_bytes()[:-9])


def _another_month(platform: Platform) -> None:
    feed_file(platform).write_bytes(feed_file(platform, 202301).read_bytes())


def _another_resource(platform: Platform) -> None:
    feed_file(platform).write_bytes(feed_file(platform, resource=Resource.MEMORY).read_bytes())


def _another_resource_under_this_header(platform: Platform) -> None:
    memory = feed_file(platform, resource=Resource.MEMORY).read_text().splitlines()
    change_lines(feed_file(platform), lambda lines: [lines[0], *memory[1:]])


@pytest.mark.parametrize(
    ("damage", "error", "says"),
    [
        (lambda platform: feed_file(platform).unlink(), FeedError, "no file"),
        (lambda platform: feed_file(platform).rename(f"{feed_file(platform)}.bak"), FeedError, "renamed?"),
        (lambda platform: feed_file(platform).write_bytes(b""), FeedError, "is empty"),
        (_cut_off, FeedError, "line 337 has no end of line"),
        (_another_month, GateError, "372 data lines, of which 0 are rows of this month"),
        (_another_resource, FeedError, "has the header"),
        (_another_resource_under_this_header, GateError, "values instead of"),
    ],
    ids=["missing", "renamed", "empty", "cut off", "another month", "another resource", "another resource's rows"],
)
def test_wrong_file_is_refused_and_the_table_stays(
    platform: Platform, damage: Callable[[Platform], object], error: type[CapsimError], says: str
) -> None:
    before = loaded(platform)
    damage(platform)
    with pytest.raises(error) as caught:
        load(platform, with_master=True)
    assert str(feed_file(platform)) in caught.value.found
    assert says in caught.value.found
    assert loaded(platform) == before


def test_failed_month_does_not_stop_the_next_one(platform: Platform) -> None:
    change_lines(feed_file(platform), replace_field(6, 2, "n/a"))
    with platform.writing() as connection:
        with pytest.raises(FeedError):
            load_month(connection, platform.contract, 202302, source=None)
        assert load_month(connection, platform.contract, 202303, source=None).rows == 31 * 12 * 4


def test_mended_file_loads_after_a_failure(platform: Platform) -> None:
    before, whole = loaded(platform), feed_file(platform).read_bytes()
    feed_file(platform).write_bytes(whole.replace(b"64\n", b"64\n64\n", 1))
    with pytest.raises(FeedError):
        load(platform)
    feed_file(platform).write_bytes(whole)
    load(platform)
    assert loaded(platform) == before


def test_full_disk_is_not_blamed_on_the_feed(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    before = loaded(platform)

    def full(*_: object) -> None:
        raise duckdb.IOException("No space left on device")

    monkeypatch.setattr("capsim_dagster.refinery.load._replace_rows", full)
    with pytest.raises(WarehouseError, match="202302 cannot be written: No space left") as caught:
        load(platform)
    assert "previous rows are untouched" in caught.value.remedy
    assert loaded(platform) == before
