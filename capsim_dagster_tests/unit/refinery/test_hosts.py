import polars as pl

from capsim_dagster.refinery.rules import HostTable
from capsim_dagster.schemas import LineFault
from capsim_dagster_tests.support.cases import each_case
from capsim_dagster_tests.support.refinery.readings import read_rules

UNSOUND = ["", "NA", "null", " srv-1", "srv-1 ", "srv\u200b-1", "\u202esrv", "srv\xa01", "\ufeffsrv-1", "srv-1\r"]


def encoded(table: HostTable, *hosts: str) -> list[int | None]:
    return table.encode(pl.Series(hosts, dtype=pl.String)).to_list()


def named(table: HostTable, *codes: int) -> list[str]:
    return table.names(pl.Series(codes, dtype=pl.Int32)).to_list()


def test_any_visible_host_is_known_where_there_is_no_inventory() -> None:
    table = HostTable(read_rules())
    codes = encoded(table, "b", "a", "🖥", "b")
    assert codes[0] == codes[3]
    assert len(set(codes)) == 3
    assert named(table, *(code for code in codes if code is not None)) == ["b", "a", "🖥", "b"]


def test_host_keeps_its_number_from_file_to_file() -> None:
    table = HostTable(read_rules())
    first = encoded(table, "b", "a")
    table.code("c")
    assert encoded(table, "d", "a", "b")[1:] == first[::-1]
    assert encoded(table, "c") == [table.code("c")]
    assert len({*first, table.code("c"), table.code("d")}) == 4


def test_inventory_alone_is_known_where_there_is_one() -> None:
    table = HostTable(read_rules({"srv-2", "srv-1"}))
    codes = encoded(table, "srv-1", "srv-3", "SRV-1", "srv-2")
    assert [code is None for code in codes] == [False, True, True, False]
    assert table.fault("srv-3") == LineFault.UNKNOWN_HOST
    assert table.fault("srv-1") is None


def test_empty_inventory_knows_no_host() -> None:
    assert encoded(HostTable(read_rules(set())), "srv-1", "") == [None, None]


@each_case("host", UNSOUND)
def test_host_that_must_be_judged_has_no_number_even_if_the_inventory_holds_it(host: str) -> None:
    assert encoded(HostTable(read_rules()), host, "srv-2") == [None, 0]
    assert encoded(HostTable(read_rules({host, "srv-2"})), host, "srv-2") == [None, 0]


@each_case(
    ("host", "fault"),
    [
        ("", LineFault.MISSING_HOST),
        ("n/a", LineFault.MISSING_HOST),
        ("a\u200bb", LineFault.INVALID_ENCODING),
        ("srv-1", None),
        ("nano", None),
    ],
)
def test_fault_of_a_host_is_said(host: str, fault: LineFault | None) -> None:
    assert HostTable(read_rules()).fault(host) == fault


def test_many_hosts_have_numbers_of_their_own() -> None:
    table = HostTable(read_rules())
    hosts = [f"srv-{number}" for number in range(70_000)]
    assert sorted(code for code in encoded(table, *hosts) if code is not None) == list(range(70_000))
    assert named(table, 0, 65_536, 69_999) == ["srv-0", "srv-65536", "srv-69999"]


def test_no_host_at_all_is_no_number() -> None:
    assert encoded(HostTable(read_rules())) == []
