"""Publishing an hour: guards that leave nothing behind, the same bytes again, and one writer at a time."""

import datetime as dt
import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from capsim_dagster.errors import PublicationError, StorageError
from capsim_dagster.publication.dataset import export as export_module
from capsim_dagster.publication.dataset.folder import forget_manifest, read_published
from capsim_dagster.publication.hour_files import DayHour
from capsim_dagster.publication.tier2.columns import SCHEMA
from capsim_dagster.publication.tier2.export import export_hour
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster_tests.support.publication.days import (
    DAY,
    NOW,
    START,
    change_hour,
    files_in,
    hour_file,
    hour_lines,
    names_in,
    packed,
    settings_of,
    text_of,
    write_hour,
)
from capsim_dagster_tests.support.publication.tier2.hours import HOUR, OVER, export, folder_of, site, write

Break = Callable[[Path], object]
FILES = ["data.parquet", "manifest.json"]


def cut(root: Path) -> None:
    path = hour_file(root, HOUR)
    path.write_bytes(path.read_bytes()[:-9])


def open_again(root: Path) -> None:
    path = hour_file(root, HOUR)
    path.rename(path.with_name(path.name + ".part"))


def other_cpu(root: Path) -> None:
    change_hour(root, HOUR, lambda lines: [{**each, "cpu": 1.0} for each in lines])


BROKEN: dict[str, tuple[Break, str, str]] = {
    "a missing file": (lambda root: hour_file(root, HOUR).unlink(), "01.jsonl.gz is missing", "capsim archive --date"),
    "an open one": (open_again, "01.jsonl.gz is open", "wait until its writer completes it"),
    "an empty one": (lambda root: hour_file(root, HOUR).write_bytes(b""), "is empty", "write that hour"),
    "one without lines": (lambda root: write_hour(root, HOUR, b""), "is empty", "write that hour"),
    "a truncated one": (cut, "is truncated", "write that hour"),
    "a damaged one": (lambda root: hour_file(root, HOUR).write_bytes(b"no gzip"), "is damaged", "write that hour"),
    "lines that are no samples": (
        lambda root: write_hour(root, HOUR, text_of(hour_lines(HOUR)).replace(b'"cpu":', b'"cpu":"', 3)),
        r"3 of 24 lines of .* are no samples: line 1 \(.*\), line 2",
        "write that hour",
    ),
    "a line twice": (
        lambda root: change_hour(root, HOUR, lambda lines: [*lines, lines[3]]),
        "1 of 25 lines .*: line 25 .the host and time of a line before it",
        "write that hour",
    ),
    "a host that lacks a sample": (
        lambda root: change_hour(root, HOUR, lambda lines: lines[:-1]),
        "1 of 12 hosts have not 2 samples in .*: srv-000012",
        "write that hour",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("dry_run", [False, True], ids=["real", "dry run"])
def test_an_hour_that_is_not_whole_is_refused_with_the_remedy_and_nothing_is_written(
    name: str, dry_run: bool, archive: Path
) -> None:
    break_, found, remedy = BROKEN[name]
    break_(archive)
    before = files_in(archive)

    with pytest.raises(PublicationError, match=found) as raised:
        export(archive, dry_run=dry_run)

    assert remedy in raised.value.remedy
    assert files_in(archive) == before


def test_an_hour_that_is_refused_leaves_what_was_published_of_it(archive: Path, hour: Path) -> None:
    before = files_in(hour)
    cut(archive)

    with pytest.raises(PublicationError, match="truncated"):
        export(archive)

    assert files_in(hour) == before


AN_INSTANT = dt.timedelta(microseconds=1)
REFUSED: dict[str, tuple[dt.date, int, dt.datetime, str]] = {
    "an hour that is not over": (DAY, HOUR, OVER - AN_INSTANT, "2026-01-15 01:00 is not over: it is 01:59"),
    "a future day": (DAY, HOUR, OVER - dt.timedelta(days=1), "2026-01-15 has not come yet: today is 2026-01-14"),
    "a day before the window": (START - dt.timedelta(days=1), HOUR, NOW, "window, which starts on 2026-01-01"),
    "an hour that no day has": (DAY, 24, NOW, "24 is no hour of a day"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_hour_that_may_not_be_published_is_refused_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    day, number, now, found = REFUSED[name]
    write(tmp_path, min(number, 23), day)
    before = files_in(tmp_path)

    with pytest.raises(PublicationError, match=found) as raised:
        export(tmp_path, number, day=day, now=now)

    assert raised.value.remedy
    assert files_in(tmp_path) == before


def test_an_hour_can_be_published_from_the_instant_it_is_over_in_any_zone(archive: Path) -> None:
    east = dt.timezone(dt.timedelta(hours=13))

    assert not export(archive, now=OVER.astimezone(east)).is_unchanged


def test_an_hour_is_published_with_everything_its_manifest_says(archive: Path, hour: Path) -> None:
    manifest = read_published(hour, HourManifest)
    assert manifest is not None
    content, source = (hour / "data.parquet").read_bytes(), hour_file(archive, HOUR).read_bytes()

    assert (manifest.dataset, manifest.day, manifest.hour) == ("tier2_hourly", DAY, HOUR)
    # 12 hosts with two samples of four resources, of which host 5 lacks one each.
    assert (manifest.hosts, manifest.rows, manifest.samples, manifest.gaps) == (12, 48, 92, 4)
    assert (manifest.interval_s, manifest.seed, manifest.astray) == (1800, 42, 0)
    assert manifest.created == NOW.replace(microsecond=0)
    assert (manifest.data.bytes, manifest.data.hash) == (
        len(content),
        f"sha256:{hashlib.sha256(content).hexdigest()}",
    )
    assert (manifest.source.path, manifest.source.lines, manifest.source.bytes) == (
        "20260115/01.jsonl.gz",
        24,
        len(source),
    )
    assert manifest.source.hash == f"sha256:{hashlib.sha256(source).hexdigest()}"
    assert names_in(hour) == FILES


def test_rows_are_what_the_lines_come_to_by_hand(hour: Path) -> None:
    rows = {(row["host_id"], row["resource"]): row for row in pq.read_table(hour / "data.parquet").to_pylist()}
    first, second = (each["cpu"] for each in hour_lines(HOUR) if each["host_id"] == "srv-000007")
    usual, gap = rows["srv-000007", "cpu"], rows["srv-000005", "memory"]

    assert usual["mean"] == pytest.approx((first + second) / 2, abs=1e-12)
    assert (usual["p50"], usual["p95"], usual["max"]) == (min(first, second), max(first, second), max(first, second))
    assert (usual["ts"], usual["samples"]) == (dt.datetime(2026, 1, 15, 1, tzinfo=dt.UTC), 2)
    assert gap["samples"] == 1
    assert gap["mean"] == gap["p50"] == gap["max"] == hour_lines(HOUR)[4]["memory"]


def test_the_file_is_one_row_group_of_zstd_with_page_checksums_and_a_footer(hour: Path) -> None:
    metadata = pq.read_metadata(hour / "data.parquet")
    footer = json.loads(metadata.metadata[b"capsim"])

    assert (metadata.num_row_groups, metadata.row_group(0).column(0).compression) == (1, "ZSTD")
    assert pq.read_schema(hour / "data.parquet").remove_metadata() == SCHEMA
    assert (footer["dataset"], footer["day"], footer["hour"], footer["seed"]) == ("tier2_hourly", str(DAY), HOUR, 42)


def test_a_line_of_another_hour_belongs_to_the_hour_of_its_file_and_is_counted(archive: Path) -> None:
    early = hour_lines(HOUR - 1)[-1]
    change_hour(archive, HOUR, lambda lines: [*lines[:-1], early])
    manifest = export(archive).manifest

    assert (manifest.astray, manifest.rows) == (1, 48)


def test_publishing_again_touches_nothing_and_says_so(archive: Path, hour: Path) -> None:
    before = {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in hour.iterdir()}
    again = export(archive)

    assert again.is_unchanged
    assert {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in hour.iterdir()} == before


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_damaged_or_lost_is_made_again_with_the_same_bytes(
    name: str, archive: Path, hour: Path
) -> None:
    whole = files_in(hour)
    (hour / name).write_bytes((hour / name).read_bytes()[:-1])
    export(archive)
    assert files_in(hour) == whole

    (hour / name).unlink()
    export(archive)
    assert files_in(hour) == whole


def test_the_same_hour_file_makes_the_same_bytes_whatever_was_there(archive: Path, hour: Path, tmp_path: Path) -> None:
    whole = files_in(hour)
    other_cpu(archive)
    assert not export(archive).is_unchanged
    assert files_in(hour) != whole
    write(archive)
    export(archive)

    assert files_in(hour) == whole
    write(tmp_path / "elsewhere")
    export(tmp_path / "elsewhere")
    assert files_in(folder_of(tmp_path / "elsewhere")) == whole


def test_how_the_file_is_packed_and_its_lines_are_ordered_changes_no_byte_of_the_rows(
    archive: Path, hour: Path
) -> None:
    data = (hour / "data.parquet").read_bytes()
    hour_file(archive, HOUR).write_bytes(packed(text_of(hour_lines(HOUR)[::-1]), members=5))
    exported = export(archive)

    assert not exported.is_unchanged
    assert (hour / "data.parquet").read_bytes() == data


def test_a_dry_run_says_what_would_be_published_and_writes_nothing(archive: Path) -> None:
    before = files_in(archive)
    planned = export(archive, dry_run=True)

    assert files_in(archive) == before
    assert (planned.manifest.rows, planned.is_unchanged, planned.folder) == (48, False, folder_of(archive))
    assert export(archive).manifest == planned.manifest
    assert export(archive, dry_run=True).is_unchanged


def test_the_interval_of_the_settings_is_that_of_the_samples(archive: Path) -> None:
    hourly = replace(site(archive), archive=settings_of(15))

    with pytest.raises(PublicationError, match="interval_s is 1800, not 900"):
        export_hour(hourly, DayHour(DAY, HOUR), now=NOW)


def test_of_two_exporters_at_once_one_wins_and_the_other_says_so(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_is_in, second_is_out = threading.Event(), threading.Event()

    def slowly(folder: Path) -> None:
        first_is_in.set()
        assert second_is_out.wait(timeout=30)
        forget_manifest(folder)

    monkeypatch.setattr(export_module, "forget_manifest", slowly)
    first = threading.Thread(target=export, args=(archive,))
    first.start()
    assert first_is_in.wait(timeout=30)
    with pytest.raises(PublicationError, match="another process is publishing into"):
        export(archive)
    second_is_out.set()
    first.join()

    assert names_in(folder_of(archive)) == FILES
    assert export(archive).is_unchanged


def test_the_old_manifest_is_gone_before_the_data_are_replaced(
    archive: Path, hour: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_cpu(archive)
    seen: list[list[str]] = []

    def stop(folder: Path, _manifest: object) -> None:
        seen.append(names_in(folder))
        raise KeyboardInterrupt

    monkeypatch.setattr(export_module, "write_manifest", stop)
    with pytest.raises(KeyboardInterrupt):
        export(archive)

    assert seen == [["data.parquet"]]
    assert names_in(hour) == ["data.parquet"]


def test_a_disk_that_refuses_leaves_the_last_good_hour(
    archive: Path, hour: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_cpu(archive)
    before = files_in(hour)

    def refuse(_writer: pq.ParquetWriter, _table: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", refuse)
    with pytest.raises(StorageError, match="No space left"):
        export(archive)

    assert files_in(hour) == before
