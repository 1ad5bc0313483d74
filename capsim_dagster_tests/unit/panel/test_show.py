"""A first look at a panel, whoever made it."""

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from capsim_dagster.errors import PanelError
from capsim_dagster.panel.show import look_at_panel
from capsim_dagster_tests.support.panel.generated import generation_of, panel_of, save


def written(frame: pl.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "it's a panel.parquet"
    frame.write_parquet(path)
    return path


def test_a_panel_of_capsim_shows_columns_servers_days_and_what_is_missing(tmp_path: Path) -> None:
    made = save(generation_of(), panel_of(), tmp_path)

    view = look_at_panel(Path(made.url), points=9, head=3)

    assert (view.rows, view.servers) == (1080, 12)
    assert (view.first, view.last) == (dt.datetime(2023, 1, 1), dt.datetime(2023, 3, 31))  # noqa: DTZ001
    assert [row["server_id"] for row in view.head] == ["SRV-0001"] * 3
    cpu = next(column for column in view.columns if column.name == "cpu_p95")
    whole = pl.read_parquet(made.url)["cpu_p95"]
    assert cpu.missing_percent == pytest.approx(100 * whole.null_count() / 1080)
    assert (cpu.low, cpu.high) == (whole.min(), whole.max())
    assert cpu.mean == pytest.approx(whole.mean())
    assert len(cpu.sparkline) == len(cpu.course) == 9


def test_the_course_is_the_mean_of_equal_stretches_of_time(tmp_path: Path) -> None:
    days = pl.date_range(dt.date(2024, 1, 1), dt.date(2024, 1, 5), eager=True)
    frame = pl.DataFrame({"date": days, "cpu_p95": [1.0, 3.0, None, float("nan"), 9.0]})

    (_, cpu) = look_at_panel(written(frame, tmp_path), points=2).columns

    # The span is four days: the first two days make the first half, the third begins the second.
    assert cpu.course == [2.0, 9.0]
    assert cpu.sparkline == "▁█"
    assert cpu.missing_percent == pytest.approx(40.0)


def test_a_panel_with_text_days_no_servers_and_no_rows_is_shown_as_it_is(tmp_path: Path) -> None:
    frame = pl.DataFrame({"timestamp": ["2024-01-01", "yesterday"], "cpu_p95": ["1.5", "N/A"], 'od"d': [1, 2]})

    view = look_at_panel(written(frame, tmp_path))
    empty = look_at_panel(written(frame.clear(), tmp_path))

    assert (view.rows, view.servers, view.first) == (2, None, "2024-01-01")
    assert [(column.name, column.sparkline) for column in view.columns] == [
        ("timestamp", ""),
        ("cpu_p95", ""),
        ('od"d', ""),
    ]
    assert (empty.rows, empty.first, list(empty.head)) == (0, None, [])
    # Of no value none is missing, of text as of numbers.
    assert [column.missing_percent for column in empty.columns] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("content", [b"", b"PAR1 torn", b"server_id,timestamp\n"])
def test_what_is_no_parquet_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "panel.parquet"
    path.write_bytes(content)

    with pytest.raises(PanelError, match="is not a readable Parquet file"):
        look_at_panel(path)
