"""The verifier of hours: each claim has an hour that breaks it, and a good one passes all of them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from capsim_dagster.audits.report import Findings, Severity
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster.publication.tier2.verify import hour_folders, verify_hour
from capsim_dagster_tests.support.publication.days import change_hour, hour_lines, text_of, write_hour
from capsim_dagster_tests.support.publication.sealing import JsonEdit, seal, seal_data
from capsim_dagster_tests.support.publication.tier2.hours import HOUR, export

Rows = list[dict[str, Any]]
Edit = Callable[[Rows], object]


def failed(result: Findings, severity: Severity = Severity.ERROR) -> set[str]:
    return {each.claim for each in result.against if each.severity is severity}


def write_table(folder: Path, table: pa.Table) -> None:
    """Write other rows with the same footer, and a manifest that has their size and digest."""
    footer = pq.read_metadata(folder / "data.parquet").metadata[b"capsim"]
    with pq.ParquetWriter(folder / "data.parquet", table.schema, store_schema=False) as writer:
        writer.add_key_value_metadata({"capsim": footer.decode()})
        writer.write_table(table)
    seal_data(folder, HourManifest)


def change_rows(folder: Path, edit: Edit) -> None:
    table = pq.read_table(folder / "data.parquet")
    rows = table.to_pylist()
    edit(rows)
    write_table(folder, pa.Table.from_pylist(rows, schema=table.schema.remove_metadata()))


def test_an_untouched_hour_passes_every_claim(hour: Path) -> None:
    result = verify_hour(hour)

    assert result.passed
    assert (result.against, result.rows) == ([], 48)
    assert len(result.findings) == len({each.claim for each in result.findings}) == 21


def test_an_hour_of_another_interval_without_a_gap_and_with_nothing_but_gaps_passes(archive: Path) -> None:
    write_hour(archive, 7, text_of(hour_lines(7)))
    nothing = dict.fromkeys(("cpu", "memory", "disk", "network", "net_in_mbps", "net_out_mbps"))
    change_hour(archive, 8, lambda lines: [{**each, **nothing} for each in lines])

    assert verify_hour(export(archive, 7).folder).against == []
    gaps = export(archive, 8)
    assert (gaps.manifest.samples, gaps.manifest.gaps) == (0, 96)
    assert verify_hour(gaps.folder).against == []


def test_a_verifier_needs_nothing_but_the_folder(hour: Path, tmp_path: Path) -> None:
    shutil.copytree(hour, tmp_path / "download")
    shutil.rmtree(tmp_path / "archive")

    assert verify_hour(tmp_path / "download").against == []


@pytest.mark.parametrize("name", ["data.parquet", "manifest.json"])
def test_a_missing_file_is_an_error_and_so_is_an_empty_one(name: str, hour: Path) -> None:
    (hour / name).write_bytes(b"")
    assert "files_are_there" in failed(verify_hour(hour))
    (hour / name).unlink()
    result = verify_hour(hour)

    assert failed(result) == {"files_are_there"}
    assert result.errors[0].message == f"{name} is missing"
    assert failed(result, Severity.INFO) == {"rows_were_judged"}


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert not verify_hour(tmp_path / "none").passed


def test_new_data_beside_the_old_manifest_say_what_that_may_mean(archive: Path, hour: Path) -> None:
    old = (hour / "manifest.json").read_bytes()
    change_hour(archive, HOUR, lambda lines: [{**each, "cpu": 1.0} for each in lines])
    export(archive)
    (hour / "manifest.json").write_bytes(old)
    result = verify_hour(hour)

    assert "data_has_its_sha256" in failed(result)
    assert "the hour is being replaced at this moment" in result.errors[0].message


@pytest.mark.parametrize("place", ["2026-01-15/02", "2026-01-16/01"])
def test_an_hour_in_the_folder_of_another_is_an_error(place: str, hour: Path, tmp_path: Path) -> None:
    shutil.copytree(hour, tmp_path / "moved" / place)

    assert failed(verify_hour(tmp_path / "moved" / place)) == {"manifest_is_of_this_dataset"}


SOURCE, COUNTS, ITSELF = "sources", "counts_are_those_of_the_manifest", "manifest_agrees_with_itself"
EDITED: dict[str, tuple[JsonEdit, str]] = {
    "name": (lambda m: m.update(name="capsim-tier2_hourly-2026-01-15-02"), ITSELF),
    "rows": (lambda m: m.update(rows=47), ITSELF),
    "hosts": (lambda m: m.update(hosts=13), COUNTS),
    "samples": (lambda m: m.update(samples=91), ITSELF),
    "samples and gaps": (lambda m: m.update(samples=91, gaps=5), COUNTS),
    "lines of the source": (lambda m: m[SOURCE][0].update(lines=25, rejected=1), ITSELF),
    "rows of the source": (lambda m: m[SOURCE][0].update(lines=25, rows=25), ITSELF),
    "hour of the source": (lambda m: m[SOURCE][0].update(hour=2), ITSELF),
    "path of the source": (lambda m: m[SOURCE][0].update(path="20260115/02.jsonl.gz"), ITSELF),
    "astray": (lambda m: m.update(astray=25), ITSELF),
    "interval": (lambda m: m.update(interval_s=900), ITSELF),
    "nulls": (lambda m: m["resources"][0]["schema"]["fields"][3].update(nulls=1), "columns_are_described_as_they_are"),
    "a unit": (
        lambda m: m["resources"][0]["schema"]["fields"][3].update(unit="%"),
        "columns_are_described_as_they_are",
    ),
    "hour": (lambda m: m.update(hour=2), "timestamps_are_the_start_of_the_hour"),
    "day": (lambda m: m.update(day="2026-01-16"), "manifest_is_of_this_dataset"),
    "dataset": (lambda m: m.update(dataset="tier3_daily"), "manifest_is_of_this_dataset"),
    "path": (lambda m: m["resources"][0].update(path="other.parquet"), "manifest_is_of_this_dataset"),
    "seed": (lambda m: m.update(seed=1), "footer_agrees_with_the_manifest"),
    "settings": (lambda m: m.update(settings_hash="f" * 16), "footer_agrees_with_the_manifest"),
    "producer": (lambda m: m["producer"].update(name="other"), "footer_agrees_with_the_manifest"),
    "size": (lambda m: m["resources"][0].update(bytes=1), "data_has_its_size"),
    "digest": (lambda m: m["resources"][0].update(hash="sha256:" + "0" * 64), "data_has_its_sha256"),
}


@pytest.mark.parametrize("name", EDITED)
def test_a_manifest_that_was_edited_and_sealed_again_contradicts_itself_or_the_data(name: str, hour: Path) -> None:
    edit, claim = EDITED[name]
    seal(hour, HourManifest, edit)

    assert claim in failed(verify_hour(hour))


def test_a_manifest_that_was_edited_and_not_sealed_is_an_error(hour: Path) -> None:
    path = hour / "manifest.json"
    path.write_text(path.read_text().replace('"created": "2026', '"created": "2025'))

    assert failed(verify_hour(hour)) == {"manifest_is_as_it_was_written"}


@pytest.mark.parametrize("text", ["", "[]", '{"dataset": "tier2_hourly"}', "{}\n"])
def test_a_manifest_that_does_not_follow_its_schema_is_an_error(text: str, hour: Path) -> None:
    (hour / "manifest.json").write_text(text)

    assert "manifest_follows_its_schema" in failed(verify_hour(hour))


def test_the_manifest_of_a_day_is_none_of_an_hour(hours: Path, published: Path) -> None:
    shutil.copy(published / "manifest.json", hours / "07" / "manifest.json")

    assert "manifest_follows_its_schema" in failed(verify_hour(hours / "07"))


def change(place: int, **values: object) -> Edit:
    return lambda rows: rows[place].update(values)


def swap(rows: Rows) -> None:
    rows[0], rows[1] = rows[1], rows[0]


BEFORE_1970 = pa.scalar(0, pa.timestamp("us", tz="UTC")).as_py()
# Row 0 is the cpu of host 1 with two samples, row 16 that of host 5 with one.
CHANGED: dict[str, tuple[Edit, str]] = {
    "a host twice": (lambda rows: rows.append(rows[0]), "keys_are_unique"),
    "a resource that is not there": (lambda rows: rows.pop(5), "each_host_has_one_row_a_resource"),
    "a resource that nobody knows": (change(3, resource="gpu"), "each_host_has_one_row_a_resource"),
    "rows in another order": (swap, "rows_are_sorted"),
    "another time": (change(0, ts=BEFORE_1970), "timestamps_are_the_start_of_the_hour"),
    "above 100": (change(0, max=100.01), "percent_is_within_bounds"),
    "below 0": (change(0, p50=-0.01), "percent_is_within_bounds"),
    "not a number": (change(0, mean=float("nan")), "percent_is_within_bounds"),
    "more samples than intervals": (change(0, samples=3), "samples_are_at_most_the_intervals"),
    "fewer than none": (change(0, samples=-1), "samples_are_at_most_the_intervals"),
    "a sample less": (change(0, samples=1), "counts_are_those_of_the_manifest"),
    "no sample but values": (change(0, samples=0), "values_are_null_just_where_no_sample_is"),
    "samples but no P95": (change(0, p95=None), "values_are_null_just_where_no_sample_is"),
    "P50 above P95": (lambda rows: rows[0].update(p50=rows[0]["max"], p95=rows[0]["p50"]), "percentiles_are_in_order"),
    "P95 above the highest": (lambda rows: rows[0].update(p95=100.0), "percentiles_are_in_order"),
    "P95 of two that is not the higher": (
        lambda rows: rows[0].update(p95=rows[0]["p50"]),
        "percentiles_are_in_order",
    ),
    "a median of one that is not it": (change(16, p50=0.0), "percentiles_are_in_order"),
    "a mean below what is possible": (
        lambda rows: rows[0].update(mean=rows[0]["mean"] - 0.01),
        "mean_is_what_the_percentiles_allow",
    ),
    "a mean above what is possible": (
        lambda rows: rows[0].update(mean=rows[0]["mean"] + 0.01),
        "mean_is_what_the_percentiles_allow",
    ),
}


@pytest.mark.parametrize("name", CHANGED)
def test_rows_that_break_a_rule_are_an_error_that_names_it(name: str, hour: Path) -> None:
    edit, claim = CHANGED[name]
    change_rows(hour, edit)

    assert claim in failed(verify_hour(hour))


def test_a_finding_names_host_resource_and_values(hour: Path) -> None:
    change_rows(hour, change(0, max=100.01))
    found = {each.claim: each for each in verify_hour(hour).errors}["percent_is_within_bounds"]

    assert found.count == 1
    assert found.examples[0].startswith("srv-000001 cpu mean=")
    assert found.examples[0].endswith("max=100.01")


def test_other_columns_are_an_error_and_the_rows_are_not_judged(hour: Path) -> None:
    table = pq.read_table(hour / "data.parquet")
    write_table(hour, table.drop_columns(["p95"]).append_column("p96", table["p95"]))
    result = verify_hour(hour)

    assert "columns_are_those_of_the_dataset" in failed(result)
    assert failed(result, Severity.INFO) == {"rows_were_judged"}
    write_table(hour, table.cast(table.schema.set(7, pa.field("samples", pa.int64(), nullable=False))))
    assert "columns_are_those_of_the_dataset" in failed(verify_hour(hour))


def test_data_that_are_no_parquet_are_an_error_even_where_the_manifest_bears_them_out(hour: Path) -> None:
    (hour / "data.parquet").write_bytes(b"PAR1 no more of it PAR1")
    seal_data(hour, HourManifest)

    assert "data_are_readable" in failed(verify_hour(hour))


def test_the_folders_of_hours_are_those_of_a_day_in_order(tmp_path: Path) -> None:
    for name in ("07", "00", "23", "24", "7", "x"):
        (tmp_path / name).mkdir()
    (tmp_path / "11").write_text("no folder")

    assert [path.name for path in hour_folders(tmp_path)] == ["00", "07", "23"]
    assert hour_folders(tmp_path / "none") == []
