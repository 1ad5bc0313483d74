"""The verifier: each claim has a dataset that breaks it, and a good one passes all of them."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from capsim_dagster.audits.report import Findings, Severity
from capsim_dagster.publication.dataset.manifest import digest_of, parse_manifest
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster.publication.tier3.verify import verify_dataset
from capsim_dagster_tests.support.publication.days import DAY, HOSTS, ROWS, SLOTS, change_hour, export, hour_file, line
from capsim_dagster_tests.support.publication.sealing import JsonEdit, seal, seal_data

Rows = list[dict[str, Any]]
Edit = Callable[[Rows], object]


def failed(result: Findings, severity: Severity = Severity.ERROR) -> set[str]:
    return {each.claim for each in result.against if each.severity is severity}


def manifest_of(folder: Path) -> DayManifest:
    return parse_manifest(DayManifest, (folder / "manifest.json").read_bytes(), "")


def write_table(folder: Path, table: pa.Table) -> None:
    """Write other rows, with a manifest that has their size and digest."""
    pq.write_table(table, folder / "data.parquet", row_group_size=24, store_schema=False, write_page_checksum=True)
    seal_data(folder, DayManifest)


def change_rows(folder: Path, edit: Edit) -> None:
    table = pq.read_table(folder / "data.parquet")
    rows = table.to_pylist()
    edit(rows)
    write_table(folder, pa.Table.from_pylist(rows, schema=table.schema))


def test_an_untouched_dataset_passes_every_claim(published: Path) -> None:
    result = verify_dataset(published, max_null_share=0.01)

    assert result.passed
    assert (result.against, result.rows) == ([], ROWS)
    assert len(result.findings) == 25
    assert len({each.claim for each in result.findings}) == 25


@pytest.mark.parametrize(
    ("name", "message"),
    [("data.parquet", "data.parquet is missing"), ("manifest.json", "manifest.json is missing")],
)
def test_a_missing_file_is_an_error_and_so_is_an_empty_one(name: str, message: str, published: Path) -> None:
    (published / name).write_bytes(b"")
    assert "files_are_there" in failed(verify_dataset(published))
    (published / name).unlink()
    result = verify_dataset(published)

    assert failed(result) == {"files_are_there"}
    assert result.errors[0].message == message
    assert failed(result, Severity.INFO) == {"rows_were_judged"}


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert not verify_dataset(tmp_path / "none").passed


def test_new_data_beside_the_old_manifest_say_what_that_may_mean(root: Path, published: Path) -> None:
    old = (published / "manifest.json").read_bytes()
    change_hour(root, 7, lambda lines: [{**each, "cpu": 1.0} for each in lines])
    export(root)
    (published / "manifest.json").write_bytes(old)
    result = verify_dataset(published)

    assert "data_has_its_sha256" in failed(result)
    assert "the day is being replaced at this moment" in result.errors[0].message


EDITED: dict[str, tuple[JsonEdit, str]] = {
    "rows": (lambda m: m.update(rows=ROWS - 1), "manifest_agrees_with_itself"),
    "complete": (lambda m: m.update(complete=False), "manifest_agrees_with_itself"),
    "hours": (lambda m: m["hours"]["present"].pop(), "manifest_agrees_with_itself"),
    "lines of a source": (lambda m: m["sources"][3].update(lines=23), "manifest_agrees_with_itself"),
    "rows between sources": (
        lambda m: (m["sources"][3].update(lines=25, rows=25), m["sources"][4].update(lines=23, rows=23)),
        "hours_are_those_of_the_manifest",
    ),
    "hosts": (lambda m: m.update(hosts=13), "counts_are_those_of_the_manifest"),
    "first time": (lambda m: m.update(first_ts="2026-01-15T00:30:00Z"), "counts_are_those_of_the_manifest"),
    "last time": (lambda m: m.update(last_ts=None), "counts_are_those_of_the_manifest"),
    "rows astray": (lambda m: m.update(astray=1), "counts_are_those_of_the_manifest"),
    "nulls": (lambda m: m["resources"][0]["schema"]["fields"][2].update(nulls=3), "columns_are_described_as_they_are"),
    "a unit": (
        lambda m: m["resources"][0]["schema"]["fields"][2].update(unit="%"),
        "columns_are_described_as_they_are",
    ),
    "the key": (lambda m: m["resources"][0]["schema"].update(primaryKey=["ts"]), "columns_are_described_as_they_are"),
    "interval": (lambda m: m.update(interval_s=900), "interval_is_that_of_the_day"),
    "day": (lambda m: m.update(day="2026-01-16"), "manifest_is_of_this_dataset"),
    "dataset": (lambda m: m.update(dataset="tier2_hourly"), "manifest_is_of_this_dataset"),
    "path": (lambda m: m["resources"][0].update(path="other.parquet"), "manifest_is_of_this_dataset"),
    "seed": (lambda m: m.update(seed=1), "footer_agrees_with_the_manifest"),
    "settings": (lambda m: m.update(settings_hash="f" * 16), "footer_agrees_with_the_manifest"),
    "version": (lambda m: m["producer"].update(version="9"), "footer_agrees_with_the_manifest"),
    "size": (lambda m: m["resources"][0].update(bytes=1), "data_has_its_size"),
    "digest": (lambda m: m["resources"][0].update(hash="sha256:" + "0" * 64), "data_has_its_sha256"),
}


def test_a_manifest_that_was_edited_and_sealed_again_contradicts_the_data(published: Path) -> None:
    whole = (published / "manifest.json").read_bytes()
    for name, (edit, claim) in EDITED.items():
        seal(published, DayManifest, edit)
        result = verify_dataset(published)

        assert claim in failed(result), name
        assert "manifest_is_as_it_was_written" not in failed(result), name
        (published / "manifest.json").write_bytes(whole)


def test_a_manifest_that_was_edited_and_not_sealed_shows_it(published: Path) -> None:
    whole = json.loads((published / "manifest.json").read_text())
    others = {"created": "2026-01-16T00:05:08Z", "name": "other", "seed": 1, "rows": 1}
    for key in ("created", "hash", "supersedes", "name", "seed", "rows"):
        content = {**whole, key: others.get(key, "sha256:" + "1" * 64)}
        (published / "manifest.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")

        assert "manifest_is_as_it_was_written" in failed(verify_dataset(published)), key


@pytest.mark.parametrize("text", ['{"a": 1}', "[]", "null", "", "{", '{"rows": 1e999}', "[" * 100_000, "\x00"])
def test_a_manifest_that_is_none_is_an_error(text: str, published: Path) -> None:
    (published / "manifest.json").write_text(text)

    assert "manifest_follows_its_schema" in failed(verify_dataset(published))


def test_a_manifest_in_another_form_is_an_error(published: Path) -> None:
    path = published / "manifest.json"
    path.write_text(path.read_text() + "\n")

    assert failed(verify_dataset(published)) == {"manifest_is_as_it_was_written"}


def at(rows: Rows, index: int, **values: object) -> None:
    rows[index].update(values)


def later(rows: Rows, index: int, **step: int) -> None:
    rows[index]["ts"] += dt.timedelta(**step)


BROKEN: dict[str, tuple[Edit, str, int]] = {
    "more than all": (lambda rows: at(rows, 50, cpu=100.5), "percent_is_within_bounds", 1),
    "less than nothing": (lambda rows: at(rows, 50, disk=-1.0), "percent_is_within_bounds", 1),
    "not a number": (lambda rows: at(rows, 50, memory=float("nan")), "percent_is_within_bounds", 1),
    "traffic below zero": (lambda rows: at(rows, 50, net_in_mbps=-1.0), "traffic_is_not_negative", 1),
    "traffic without end": (lambda rows: at(rows, 50, net_out_mbps=float("inf")), "traffic_is_not_negative", 1),
    "no traffic": (lambda rows: at(rows, 50, net_in_mbps=None), "traffic_is_null_where_network_is", 1),
    "no network": (lambda rows: at(rows, 50, network=None), "traffic_is_null_where_network_is", 2),
    "a row twice": (lambda rows: at(rows, 51, **rows[50]), "keys_are_unique", 1),
    "a row lost": (lambda rows: rows.pop(50), "each_host_has_every_interval", 1),
    "another number": (lambda rows: at(rows, 50, seq=7), "seq_follows_the_time", 1),
    "a time off the grid": (lambda rows: later(rows, 50, minutes=1), "seq_follows_the_time", 1),
    "another interval": (lambda rows: at(rows, 50, interval_s=60), "interval_is_that_of_the_day", 1),
    "another host": (lambda rows: at(rows, 576 // 2, host_id="web"), "sampled_rows_are_samples", 1),
    "another version": (lambda rows: at(rows, 50, agent_version="2 4"), "sampled_rows_are_samples", 1),
    "another hour": (lambda rows: at(rows, 50, archive_hour=3), "hours_are_those_of_the_manifest", 2),
    "many gaps": (
        lambda rows: [row.update(cpu=None) for row in rows[100:130]],
        "null_ratios_are_within_bounds",
        1,
    ),
}


def test_rows_that_break_a_rule_are_counted_and_shown_whatever_the_manifest_says(published: Path) -> None:
    whole = {path: path.read_bytes() for path in published.iterdir()}
    for name, (edit, claim, count) in BROKEN.items():
        change_rows(published, edit)
        result = verify_dataset(published)
        found = next(each for each in result.findings if each.claim == claim)

        assert claim in failed(result), name
        assert found.count == count, name
        assert 1 <= len(found.examples) <= 5, name
        for path, content in whole.items():
            path.write_bytes(content)


def test_a_row_of_another_hour_is_a_warning_alone(root: Path, published: Path) -> None:
    change_hour(root, 0, lambda lines: [*lines[:-1], line(12, 47, dt.date(2026, 1, 14))])
    export(root)
    result = verify_dataset(published)

    assert result.passed
    assert failed(result, Severity.WARNING) == {"timestamps_are_of_the_hour"}
    assert result.against[0].examples == ("srv-000012 2026-01-14T23:30:00Z archive_hour=0",)


def test_an_incomplete_day_passes_with_a_warning_that_says_what_is_missing(root: Path) -> None:
    hour_file(root, 7).unlink()
    export(root, allow_incomplete=True)
    result = verify_dataset(root / "output" / str(DAY))

    assert result.passed
    assert failed(result, Severity.WARNING) == {"the_day_is_complete"}
    assert result.against[0].message == "hour 7 is missing"


def test_a_dataset_under_the_name_of_another_day_is_an_error(published: Path) -> None:
    other = published.rename(published.with_name("2026-01-14"))
    assert failed(verify_dataset(other)) == {"manifest_is_of_this_dataset"}

    assert verify_dataset(other.rename(other.with_name("download"))).passed


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda table: table.drop_columns(["disk"]), "disk is missing"),
        (lambda table: table.append_column("gpu", table["cpu"]), "gpu is not one of the dataset's"),
        (
            lambda table: table.set_column(2, pa.field("cpu", pa.float32()), table["cpu"].cast(pa.float32())),
            "cpu is float, not double",
        ),
        (lambda table: table.select([1, 0, *range(2, 12)]), "they are in another order"),
    ],
)
def test_other_columns_are_an_error_and_named(
    change: Callable[[pa.Table], pa.Table], found: str, published: Path
) -> None:
    write_table(published, change(pq.read_table(published / "data.parquet")))
    result = verify_dataset(published)

    assert "columns_are_those_of_the_dataset" in failed(result)
    assert found in next(each for each in result.errors if each.claim == "columns_are_those_of_the_dataset").examples


def test_a_page_that_is_not_what_its_checksum_says_is_an_error_although_the_manifest_agrees(published: Path) -> None:
    path = published / "data.parquet"
    column = pq.read_metadata(path).row_group(5).column(2)
    content = bytearray(path.read_bytes())
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 1
    path.write_bytes(content)
    seal(published, DayManifest, lambda said: said["resources"][0].update(hash=digest_of(bytes(content))))

    assert failed(verify_dataset(published)) == {"data_are_readable"}


def test_data_that_are_no_parquet_are_an_error_although_the_manifest_agrees(published: Path) -> None:
    (published / "data.parquet").write_bytes(b"no parquet")
    seal(published, DayManifest, lambda said: said["resources"][0].update(bytes=10, hash=digest_of(b"no parquet")))

    assert failed(verify_dataset(published)) == {"data_are_readable"}


def master() -> pl.DataFrame:
    """Return the P95 by hand: of 48 sorted samples the one at place 46."""
    days = {host: [line(host, slot) for slot in range(SLOTS)] for host in range(1, HOSTS + 1)}

    def p95(host: int, resource: str) -> float:
        values = sorted(each[resource] for each in days[host] if each[resource] is not None)
        place = 46 if len(values) == 48 else 44
        found: float = values[place - 1]
        return found

    names = ("cpu", "memory", "disk", "network")
    return pl.DataFrame(
        {
            "host_id": [f"srv-{host:06d}" for host in days],
            **{name: [p95(host, name) for host in days] for name in names},
        }
    )


def parity(folder: Path, p95: pl.DataFrame) -> list[str]:
    result = verify_dataset(folder, p95=p95)
    return list(next(each for each in result.findings if each.claim == "p95_is_that_of_the_master").examples)


def test_the_p95_of_the_samples_is_compared_with_the_master_to_a_hundredth(published: Path) -> None:
    exact = master()
    nearly, off = (exact.with_columns(pl.col("cpu") + by) for by in (0.01, 0.02))

    assert parity(published, exact) == parity(published, nearly) == []
    assert len(parity(published, off)) == 5
    assert parity(published, off)[0].startswith("srv-000001 cpu: ")


def test_a_gap_of_the_master_and_a_host_on_one_side_alone_are_no_parity(published: Path) -> None:
    gap = master().with_columns(pl.when(pl.col("host_id") != "srv-000003").then("disk").alias("disk"))
    fewer = master().head(HOSTS - 1)

    assert parity(published, gap) == [parity(published, gap)[0]]
    assert parity(published, gap)[0].endswith("by the samples, a gap by the master")
    assert parity(published, fewer) == ["hosts in the samples alone, 1: srv-000012"]


def test_a_verification_is_json_with_verdict_and_findings(published: Path) -> None:
    said = json.loads(verify_dataset(published).as_json())

    assert (said["passed"], said["rows"], said["where"]) == (True, ROWS, str(published))
    assert said["findings"][0] == {
        "name": "files_are_there",
        "severity": "error",
        "passed": True,
        "count": 0,
        "message": "",
        "examples": [],
        "threshold": {},
    }
