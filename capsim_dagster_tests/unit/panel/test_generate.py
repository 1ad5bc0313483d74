"""Saving a panel: file, summary and sample, the same bytes every time, and nothing but what passed its gates."""

import csv
import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from capsim_dagster.errors import GateError, StorageError
from capsim_dagster.panel import build, generate
from capsim_dagster.panel.build import PanelPiece
from capsim_dagster.panel.contract import FOOTER_KEY
from capsim_dagster.panel.generate import GeneratedPanel
from capsim_dagster.storage import Folder, sha256
from capsim_dagster_tests.support.panel.generated import RAW, generation_of, panel_of, save, table_of

STEM = "raw_server_metrics_20230101_to_20230331"
METRICS = ["cpu_p95", "mem_p95", "disk_p95", "net_in_p95", "net_out_p95"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("panels")


@pytest.fixture(scope="module")
def made(folder: Path) -> GeneratedPanel:
    return save(generation_of(), panel_of(), folder)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / RAW).iterdir())


def test_panel_summary_and_sample_lie_beside_each_other_named_by_the_window(folder: Path, made: GeneratedPanel) -> None:
    assert names(folder) == [f"{STEM}.parquet", f"{STEM}_sample.csv", f"{STEM}_summary.json"]
    path = folder / RAW / f"{STEM}.parquet"
    assert (made.url, made.rows) == (str(path), 12 * 90)
    assert (made.bytes, made.sha256) == (path.stat().st_size, sha256(path))


def test_every_reader_sees_the_same_rows_with_the_right_types(made: GeneratedPanel) -> None:
    expected = table_of(generation_of(), panel_of())

    by_pandas = pd.read_parquet(made.url)
    with duckdb.connect() as connection:
        types = [kind for _, kind, *_ in connection.execute(f"DESCRIBE FROM '{made.url}'").fetchall()]
        rows = connection.execute(f"FROM '{made.url}'").fetchall()

    assert pl.read_parquet(made.url).equals(expected, null_equal=True)
    assert types == ["VARCHAR", "TIMESTAMP", *["VARCHAR"] * 3, *["DOUBLE"] * len(METRICS)]
    assert rows == expected.rows()
    assert by_pandas.dtypes["timestamp"] == np.dtype("datetime64[us]")
    assert (by_pandas.dtypes[METRICS] == np.dtype("float64")).all()
    assert all(isinstance(value, str) for value in by_pandas["server_id"])
    assert np.array_equal(by_pandas["cpu_p95"].to_numpy(), expected["cpu_p95"].to_numpy(), equal_nan=True)


def test_footer_says_which_servers_days_and_settings(made: GeneratedPanel) -> None:
    footer = json.loads(pq.read_metadata(made.url).metadata[FOOTER_KEY.encode()])

    assert (footer["servers"], footer["start"], footer["end"], footer["seed"]) == (12, "2023-01-01", "2023-03-31", 42)
    other = save(generation_of(), panel_of(inbound_share=[0.2, 0.7]), Path(made.url).parents[3] / "other")
    assert other.facts["settings_hash"] == footer["settings_hash"]
    assert other.facts["panel_hash"] != footer["panel_hash"]


def test_summary_holds_what_duckdb_finds_in_the_file(folder: Path, made: GeneratedPanel) -> None:
    summary = json.loads((folder / RAW / f"{STEM}_summary.json").read_text(encoding="utf-8"))

    assert (summary["rows"], summary["servers"]) == (1080, 12)
    assert (summary["start"], summary["end"], summary["sha256"]) == ("2023-01-01", "2023-03-31", made.sha256)
    for name in METRICS:
        query = f"""
            SELECT count({name}), avg({name}), stddev_pop({name}), min({name}), max({name}),
                   quantile_disc({name}, 0.95), 100.0 * count_if({name} IS NULL) / count(*)
            FROM '{made.url}'
        """
        with duckdb.connect() as connection:
            ((count, mean, std, low, high, p95, missing),) = connection.execute(query).fetchall()
        found = summary["metrics"][name]
        assert found["values"] == count
        assert [found["mean"], found["std"], found["low"], found["high"], found["missing_percent"]] == pytest.approx(
            [mean, std, low, high, missing], abs=1e-3
        )
        scale = 100 if name in ("cpu_p95", "mem_p95", "disk_p95") else 25_000
        assert found["p95"] == pytest.approx(p95, abs=scale / 10_000)
    assert all(check["passed"] for check in summary["checks"].values())


@pytest.mark.parametrize("count", [0, 1, 100, 1_081])
def test_sample_holds_as_many_of_the_first_rows_as_are_asked_for(tmp_path: Path, count: int) -> None:
    made = save(generation_of(), panel_of(samples_count=count), tmp_path)

    if not count:
        assert made.sample_url == ""
        assert names(tmp_path) == [f"{STEM}.parquet", f"{STEM}_summary.json"]
        return
    with Path(made.sample_url).open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    first = pl.read_parquet(made.url).head(count)
    assert [row["server_id"] for row in rows] == first["server_id"].to_list()
    assert [float(row["cpu_p95"]) if row["cpu_p95"] else None for row in rows] == first["cpu_p95"].to_list()


def test_the_same_settings_make_the_same_bytes(tmp_path: Path, made: GeneratedPanel) -> None:
    again = save(generation_of(), panel_of(), tmp_path)

    assert again.sha256 == made.sha256
    beside = [Path(url).read_bytes() for url in (again.summary_url, again.sample_url)]
    assert beside == [Path(url).read_bytes() for url in (made.summary_url, made.sample_url)]


@pytest.mark.parametrize(
    ("quality", "sentence"),
    [
        ({"max_missing_share": 0.0, "pattern_tolerance": 1}, "cpu_p95 lacks"),
        ({"max_missing_share": 0.001, "pattern_tolerance": 1}, "at most 0.10% may be missing"),
    ],
)
def test_a_panel_that_fails_a_gate_is_not_saved_and_the_one_before_stays(
    tmp_path: Path, quality: dict[str, float], sentence: str
) -> None:
    before = save(generation_of(), panel_of(), tmp_path)
    generation = generation_of(random_seed=7)

    with pytest.raises(GateError, match="what was there before is untouched") as refused:
        save(generation, panel_of(quality=quality), tmp_path)

    assert sentence in str(refused.value)
    assert sha256(Path(before.url)) == before.sha256
    assert len(names(tmp_path)) == 3


def broken(pieces: Iterator[PanelPiece], how: str) -> Iterator[PanelPiece]:
    """Yield pieces with a fault in the first one."""
    for index, piece in enumerate(pieces):
        values = {name: array.copy() for name, array in piece.values.items()}
        if index == 0:
            values["cpu_p95"][0, 0] = {"above": 150.0, "below": -5.0}.get(how, values["cpu_p95"][0, 0])
            if how == "busy weekends":
                values["cpu_p95"][:, 5::7] *= 3
        if not (index == 0 and how == "lost"):
            yield PanelPiece(piece.hosts, piece.block, values)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("above", "to 150, allowed 0 to 100"),
        ("below", "cpu_p95 spans -5 to"),
        ("lost", "rows instead of"),
        ("busy weekends", "cpu_p95 on weekend"),
    ],
)
def test_each_gate_refuses_what_breaks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, sentence: str
) -> None:
    whole = build.panel_pieces

    def pieces(*arguments: Any, **options: Any) -> Iterator[PanelPiece]:  # noqa: ANN401
        return broken(whole(*arguments, **options), how)

    monkeypatch.setattr(generate, "panel_pieces", pieces)

    with pytest.raises(GateError) as refused:
        save(generation_of(num_servers=60, end_date="2023-12-31"), panel_of(), tmp_path)

    assert sentence in str(refused.value)
    assert names(tmp_path) == []


def test_a_crash_while_writing_leaves_the_panel_of_before_and_no_temporary_file(tmp_path: Path) -> None:
    before = save(generation_of(), panel_of(), tmp_path)

    def crash(_rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate.generate_panel(
            generation_of(random_seed=7),
            panel_of(),
            Folder(tmp_path),
            prefix=RAW,
            end=dt.date(2023, 3, 31),
            advance=crash,
        )

    assert sha256(Path(before.url)) == before.sha256
    assert [path.name for path in (tmp_path / RAW).iterdir() if path.name.startswith(".")] == []


def test_a_folder_that_cannot_be_made_is_a_clear_error_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")

    with pytest.raises(StorageError, match="cannot be"):
        save(generation_of(), panel_of(), tmp_path / "taken")
