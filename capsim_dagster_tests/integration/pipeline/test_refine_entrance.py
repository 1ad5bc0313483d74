"""What a foreign feed is held against: the inventory that comes with it, and the one feed that a table holds."""

from pathlib import Path
from typing import Final

import pytest

from capsim_dagster.errors import FeedError, SettingsError, WarehouseError
from capsim_dagster.pipeline import refine
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster_tests.conftest import MONTHS as OWN_MONTHS
from capsim_dagster_tests.support.foreign_feed import (
    HOSTS,
    LINES,
    SIMULATED,
    expected_rows,
    foreign_platform,
    refined,
    with_refinery,
    write_feed,
)
from capsim_dagster_tests.support.sabotage import rows_in, run_sql

# The inventory.

pytestmark = pytest.mark.usefixtures("_opened_once")


INVENTORIES: Final = (
    b"node_name\ndb-003\nz\xc3\xbcrich-1\n",
    b"site;node_name\nFRA;db-003\nFRA;z\xc3\xbcrich-1\n",
    b"site,Node_Name \nFRA, db-003\nFRA,z\xc3\xbcrich-1 \n",
    b"node_name\tsite\ndb-003\tFRA\nz\xc3\xbcrich-1\tFRA\ndb-003\tagain\n",
    b"\xef\xbb\xbfnode_name,site\r\ndb-003,FRA\r\n\r\nz\xc3\xbcrich-1,FRA",
    b'"node_name","site"\n"db-003","a, b"\n"z\xc3\xbcrich-1","c"\nshort\n',
)
"""The same two hosts in files of many forms; the line `short` lacks its other field, and names a host."""


def test_lines_of_hosts_that_the_inventory_does_not_hold_are_rejected(foreign: Platform) -> None:
    inventory = foreign.layout.root.parent / "hosts.csv"
    for content in INVENTORIES:
        inventory.write_bytes(content)
        hosts = refine.foreign_hosts(with_refinery(foreign, inventory=inventory))
        assert hosts is not None
        assert hosts - {"short"} == {"db-003", "zürich-1"}, content

    (month,) = refined(with_refinery(foreign, inventory=inventory, max_rejected_share=0.5), [202406])

    assert month.rejected == LINES[202406] / len(HOSTS)
    assert rows_in(foreign, "processed_data") == [row for row in expected_rows([202406]) if row[1] != "web-017"]
    assert {row[4:6] for row in rows_in(foreign, "rejected_lines")} == {("unknown_host", "node_name")}
    assert all("web-017;" in row[6] for row in rows_in(foreign, "rejected_lines"))


@pytest.mark.parametrize(
    ("content", "said", "remedy"),
    [
        (None, "cannot be read", "name a CSV file"),
        (b"", "has no column node_name, of 0 in its first line", "legacy_feed.host_columns"),
        (b"server;site\nweb-017;FRA\n", "has no column node_name, of 2 in its first line", "legacy_feed.host_columns"),
        (b"web-017\ndb-003\n", "has no column node_name, of 1 in its first line", "legacy_feed.host_columns"),
        (b"node_name\n", "holds no host", "fetch it again"),
        (b"node_name;site\n;FRA\n", "holds no host", "fetch it again"),
        (b"node_name\nz\xfcrich-1\n", "cannot be read", "UTF-8"),
        (b"node_name\n" + b'"' + b"x" * 200_000 + b'"\n', "cannot be read: field larger", "name a CSV file"),
    ],
    ids=["missing", "empty", "other column", "no header", "header alone", "blank hosts", "cp1252", "endless field"],
)
def test_unusable_inventory_is_an_error_before_anything_is_written(
    foreign: Platform, content: bytes | None, said: str, remedy: str
) -> None:
    inventory = foreign.layout.root.parent / "hosts.csv"
    if content is not None:
        inventory.write_bytes(content)

    with pytest.raises(FeedError) as caught:
        refined(with_refinery(foreign, inventory=inventory))

    assert f"the inventory {inventory}" in caught.value.found
    assert said in caught.value.found
    assert remedy in caught.value.remedy
    assert not foreign.layout.root.exists()


def test_other_inventory_reads_the_files_again(foreign: Platform) -> None:
    refined(foreign)
    inventory = foreign.layout.root.parent / "hosts.csv"
    inventory.write_text("node_name\n" + "".join(f"{host}\n" for host in HOSTS), encoding="utf-8")

    months = refined(with_refinery(foreign, inventory=inventory))

    assert not any(month.is_unchanged for month in months)
    assert rows_in(foreign, "processed_data") == expected_rows()


def test_inventory_file_for_capsims_own_feed_is_refused_not_ignored(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "hosts.csv").write_text("host_id\nsrv-000001\n")

    with pytest.raises(SettingsError, match=r"refinery\.inventory: found .*own feed") as caught:
        refined(with_refinery(platform, inventory=tmp_path / "hosts.csv"), OWN_MONTHS)

    assert "--feed" in caught.value.remedy


# One table holds one feed.


def test_second_feed_into_the_same_warehouse_is_refused_and_the_first_stays(foreign: Platform, tmp_path: Path) -> None:
    refined(foreign)
    other = write_feed(tmp_path / "other", [202407])

    with pytest.raises(WarehouseError) as caught:
        refined(with_refinery(foreign, feed_dir=other))

    assert f"holds the feed of {foreign.refined.root}, not of {other}" in caught.value.found
    assert "--data-dir" in caught.value.remedy
    assert rows_in(foreign, "processed_data") == expected_rows()


def test_foreign_feed_does_not_touch_capsims_own_warehouse(platform: Platform, feed_dir: Path) -> None:
    before = {table: rows_in(platform, table) for table in ("processed_data", "feed_files", *SIMULATED)}
    foreign = foreign_platform(platform.layout.root, feed_dir)

    with pytest.raises(WarehouseError, match=f"holds the feed of capsim, not of {feed_dir}"):
        refined(foreign)

    assert {table: rows_in(platform, table) for table in before} == before
    refined(platform, OWN_MONTHS)


def test_own_feed_does_not_touch_the_warehouse_of_a_foreign_one(platform: Platform, feed_dir: Path) -> None:
    for table in ("processed_data", "feed_files"):
        run_sql(platform, f"DELETE FROM {table}")
    refined(foreign_platform(platform.layout.root, feed_dir))

    with pytest.raises(WarehouseError, match=f"holds the feed of {feed_dir}, not of capsim"):
        refined(platform, OWN_MONTHS)

    assert rows_in(platform, "processed_data") == expected_rows()


def test_same_folder_by_another_path_is_the_same_feed(
    foreign: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refined(foreign)
    monkeypatch.chdir(tmp_path)

    for path in ("exports", "./exports/", "work/../exports"):
        assert all(month.is_unchanged for month in refined(with_refinery(foreign, feed_dir=Path(path))))


def test_feed_that_gave_no_row_makes_place_for_another_and_leaves_nothing(foreign: Platform, tmp_path: Path) -> None:
    for path in foreign.refined.root.rglob("*.csv"):
        path.write_text("nothing;of;use\n")
    with pytest.raises(FeedError):
        refined(foreign)
    assert len(rows_in(foreign, "refused_files")) == 6
    other = with_refinery(foreign, feed_dir=write_feed(tmp_path / "other", [202405]))

    refined(other)

    assert rows_in(other, "refused_files") == []
    assert rows_in(other, "processed_data") == expected_rows([202405])
