"""Publishing a day: guards that leave nothing behind, a manifest that says what is there, the same bytes again."""

import datetime as dt
import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from capsim_dagster.errors import PublicationError
from capsim_dagster.publication.dataset import export as export_module
from capsim_dagster.publication.dataset.folder import forget_manifest
from capsim_dagster.publication.dataset.manifest import parse_manifest
from capsim_dagster.publication.tier3.columns import SCHEMA
from capsim_dagster.publication.tier3.export import export_day
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster_tests.support.publication.days import (
    DAY,
    NOW,
    ROWS,
    START,
    TODAY,
    change_hour,
    export,
    files_in,
    hour_file,
    hour_lines,
    line,
    names_in,
    packed,
    site,
    text_of,
    write_day,
    write_hour,
)

Break = Callable[[Path], object]


def cut(root: Path) -> None:
    path = hour_file(root, 7)
    path.write_bytes(path.read_bytes()[:-9])


def open_again(root: Path) -> None:
    path = hour_file(root, 23)
    path.rename(path.with_name(path.name + ".part"))


INCOMPLETE: dict[str, tuple[Break, str]] = {
    "23 hours": (lambda root: hour_file(root, 7).unlink(), "1 of 24 hours .* not whole: 07.jsonl.gz missing"),
    "an empty hour file": (lambda root: hour_file(root, 7).write_bytes(b""), "07.jsonl.gz empty"),
    "a truncated one": (cut, "07.jsonl.gz truncated"),
    "a damaged one": (lambda root: hour_file(root, 7).write_bytes(b"no gzip"), "07.jsonl.gz damaged"),
    "an open hour": (open_again, "23.jsonl.gz open"),
    "a member that was lost": (lambda root: change_hour(root, 7, lambda lines: lines[:12]), "have not 2 samples"),
    "a host that lacks one sample": (
        lambda root: change_hour(root, 7, lambda lines: lines[:-1]),
        r"hours 7; in hour 7 those of srv-000012",
    ),
    "lines that are no samples": (
        lambda root: write_hour(root, 7, text_of(hour_lines(7)).replace(b'"cpu":', b'"cpu":"', 3)),
        r"3 lines .* no samples: 07.jsonl.gz line 1 \(.*\), 07.jsonl.gz line 2",
    ),
    "a line twice in its hour": (
        lambda root: change_hour(root, 7, lambda lines: [*lines, lines[3]]),
        "07.jsonl.gz line 25 .the host and time of a line before it",
    ),
    "a line again in a later hour": (
        lambda root: change_hour(root, 7, lambda lines: [*lines, line(3, 2)]),
        "07.jsonl.gz line 25 .the host and time",
    ),
    "a line before its own hour": (
        lambda root: change_hour(root, 3, lambda lines: [*lines, line(3, 14)]),
        "07.jsonl.gz line 3 .the host and time",
    ),
}


@pytest.mark.parametrize("name", INCOMPLETE)
def test_an_incomplete_day_is_refused_with_the_remedy_and_nothing_is_written(name: str, root: Path) -> None:
    break_, found = INCOMPLETE[name]
    break_(root)
    before = files_in(root)

    with pytest.raises(PublicationError, match=found) as raised:
        export(root)

    assert "--allow-incomplete" in raised.value.remedy
    assert files_in(root) == before


@pytest.mark.parametrize(
    "name",
    ["23 hours", "a host that lacks one sample", "lines that are no samples", "a line twice in its hour"],
)
def test_an_incomplete_day_that_is_allowed_is_published_and_says_what_is_missing(name: str, root: Path) -> None:
    INCOMPLETE[name][0](root)
    manifest = export(root, allow_incomplete=True).manifest
    content = pq.read_table(root / "output" / str(DAY) / "data.parquet")

    assert not manifest.complete
    assert manifest.hours.missing or manifest.hours.partial or manifest.rejected
    assert len(manifest.hours.present) + len(manifest.hours.missing) == 24
    assert content.num_rows == manifest.rows == sum(source.rows for source in manifest.sources) < ROWS + 1
    assert all(source.lines == source.rows + source.rejected for source in manifest.sources)


REFUSED_DAYS = {
    "today": (TODAY, False, "is today .UTC., and not over"),
    "a future day": (TODAY + dt.timedelta(days=1), False, "has not come yet"),
    "a future day that is allowed to be incomplete": (TODAY + dt.timedelta(days=1), True, "has not come yet"),
    "a day before the window": (START - dt.timedelta(days=1), True, "window, which starts on 2026-01-01"),
    "a day without an archive": (DAY - dt.timedelta(days=1), True, "archive has no hour of 2026-01-14"),
}


@pytest.mark.parametrize("name", REFUSED_DAYS)
def test_a_day_that_may_not_be_published_is_refused_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    day, allow_incomplete, found = REFUSED_DAYS[name]
    if "without" not in name:
        write_day(tmp_path, 2, day)
    before = files_in(tmp_path)

    with pytest.raises(PublicationError, match=found) as raised:
        export(tmp_path, day=day, allow_incomplete=allow_incomplete)

    assert raised.value.remedy
    assert files_in(tmp_path) == before


def test_today_can_be_published_as_far_as_it_is_there(tmp_path: Path) -> None:
    for hour in range(3):
        write_hour(tmp_path, hour, text_of(hour_lines(hour, day=TODAY)), TODAY)
    manifest = export(tmp_path, day=TODAY, allow_incomplete=True).manifest

    assert manifest.hours.present == (0, 1, 2)
    assert {absent.state for absent in manifest.hours.missing} == {"missing"}
    assert not manifest.complete


def test_a_day_is_published_with_everything_its_manifest_says(root: Path, published: Path) -> None:
    path = published / "data.parquet"
    manifest = parse_manifest(DayManifest, (published / "manifest.json").read_bytes(), "")

    assert (manifest.complete, manifest.rows, manifest.hosts, manifest.rejected) == (True, 12 * 48, 12, 0)
    assert (manifest.first_ts, manifest.last_ts) == (
        dt.datetime(2026, 1, 15, tzinfo=dt.UTC),
        dt.datetime(2026, 1, 15, 23, 30, tzinfo=dt.UTC),
    )
    assert (manifest.created, manifest.seed, manifest.interval_s) == (NOW.replace(microsecond=0), 42, 1800)
    assert manifest.data.hash == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    assert manifest.data.bytes == path.stat().st_size
    # Host 5 reports nothing in two of 576 rows.
    nulls = {each.name: (each.nulls, each.null_ratio) for each in manifest.data.table.fields if each.nulls}
    names = ("cpu", "memory", "disk", "network", "net_in_mbps", "net_out_mbps")
    assert nulls == dict.fromkeys(names, (2, 0.003472))
    source = manifest.sources[7]
    assert (source.path, source.lines, source.rows) == ("20260115/07.jsonl.gz", 24, 24)
    assert source.hash == f"sha256:{hashlib.sha256(hour_file(root, 7).read_bytes()).hexdigest()}"


def test_the_file_has_a_row_group_an_hour_zstd_page_checksums_and_a_footer(published: Path) -> None:
    metadata = pq.read_metadata(published / "data.parquet")
    footer = json.loads(metadata.metadata[b"capsim"])

    assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [24] * 24
    assert metadata.row_group(0).column(0).compression == "ZSTD"
    assert pq.read_schema(published / "data.parquet").remove_metadata() == SCHEMA
    assert (footer["producer"], footer["day"], footer["seed"]) == ("capsim", "2026-01-15", 42)


def test_rows_are_the_lines_in_their_order(published: Path) -> None:
    rows = pq.read_table(published / "data.parquet").to_pylist()
    expected = [each for hour in range(24) for each in hour_lines(hour)]

    for row, said in zip(rows, expected, strict=True):
        assert f"{row['ts']:%Y-%m-%dT%H:%M:%SZ}" == said["ts"]
        assert (row["seq"], row["interval_s"], row["agent_version"]) == (said["meta"]["seq"], 1800, "2.4.1")
        assert {name: row[name] for name in ("host_id", "cpu", "network", "net_out_mbps")} == {
            name: said[name] for name in ("host_id", "cpu", "network", "net_out_mbps")
        }


def test_a_line_of_another_day_is_kept_where_its_file_lies_and_counted(root: Path) -> None:
    early = dt.date(2026, 1, 14)
    change_hour(root, 0, lambda lines: [*lines[:-1], line(12, 47, early)])
    manifest = export(root).manifest

    assert (manifest.complete, manifest.astray, manifest.rows) == (True, 1, ROWS)
    assert manifest.first_ts == dt.datetime(2026, 1, 14, 23, 30, tzinfo=dt.UTC)


def test_publishing_again_touches_nothing_and_says_so(root: Path, published: Path) -> None:
    before = {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in published.iterdir()}
    again = export(root)

    assert again.is_unchanged
    assert {path.name: (path.stat().st_mtime_ns, path.stat().st_ino) for path in published.iterdir()} == before


def test_the_same_archive_makes_the_same_bytes_anywhere(published: Path, tmp_path: Path) -> None:
    write_day(tmp_path / "elsewhere")
    export(tmp_path / "elsewhere")

    assert files_in(tmp_path / "elsewhere" / "output" / str(DAY)) == files_in(published)


def test_how_an_hour_is_cut_into_members_changes_only_the_digests_of_sources(root: Path, published: Path) -> None:
    before = parse_manifest(DayManifest, (published / "manifest.json").read_bytes(), "")
    hour_file(root, 7).write_bytes(packed(text_of(hour_lines(7)), members=5))
    after = export(root)

    assert not after.is_unchanged
    assert after.manifest.data == before.data
    assert after.manifest.sources[7] != before.sources[7]


def test_a_corrected_archive_replaces_the_day(root: Path, published: Path) -> None:
    change_hour(root, 7, lambda lines: [{**each, "cpu": 1.0} for each in lines])
    exported = export(root)

    assert not exported.is_unchanged
    assert pq.read_table(published / "data.parquet").slice(7 * 24, 24)["cpu"].to_pylist() == [1.0] * 24


def test_a_file_that_was_damaged_or_lost_is_made_again(root: Path, published: Path) -> None:
    whole = files_in(published)
    (published / "data.parquet").write_bytes(whole["data.parquet"][:-1])
    export(root)
    assert files_in(published) == whole

    (published / "manifest.json").unlink()
    export(root)
    assert files_in(published) == whole


def test_a_complete_day_is_not_replaced_by_what_is_left_of_its_archive(root: Path, published: Path) -> None:
    before = files_in(published)
    hour_file(root, 7).unlink()

    with pytest.raises(PublicationError, match="holds the complete day"):
        export(root, allow_incomplete=True)

    assert files_in(published) == before


def test_a_dry_run_says_what_would_be_published_and_writes_nothing(root: Path) -> None:
    before = files_in(root)
    exported = export_day(site(root), DAY, today=TODAY, dry_run=True)

    assert (exported.manifest.rows, exported.is_unchanged) == (ROWS, False)
    assert files_in(root) == before
    export(root)
    assert export_day(site(root), DAY, today=TODAY, dry_run=True).is_unchanged


def test_a_dry_run_refuses_what_the_real_one_refuses(root: Path) -> None:
    cut(root)

    with pytest.raises(PublicationError, match="truncated"):
        export_day(site(root), DAY, today=TODAY, dry_run=True)


def test_of_two_exporters_at_once_one_wins_and_the_other_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first_is_in, second_is_out = threading.Event(), threading.Event()

    def slowly(folder: Path) -> None:
        first_is_in.set()
        assert second_is_out.wait(timeout=30)
        forget_manifest(folder)

    monkeypatch.setattr(export_module, "forget_manifest", slowly)
    first = threading.Thread(target=export, args=(root,))
    first.start()
    assert first_is_in.wait(timeout=30)
    with pytest.raises(PublicationError, match="another process is publishing into"):
        export(root)
    second_is_out.set()
    first.join()

    assert names_in(root / "output" / str(DAY)) == ["data.parquet", "manifest.json"]
    assert export(root).is_unchanged


def test_the_old_manifest_is_gone_before_the_data_are_replaced(
    root: Path, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_hour(root, 7, lambda lines: [{**each, "cpu": 1.0} for each in lines])
    seen: list[list[str]] = []

    def stop(folder: Path, _manifest: object) -> None:
        seen.append(names_in(folder))
        raise KeyboardInterrupt

    monkeypatch.setattr(export_module, "write_manifest", stop)
    with pytest.raises(KeyboardInterrupt):
        export(root)

    assert seen == [["data.parquet"]]
    assert names_in(published) == ["data.parquet"]
