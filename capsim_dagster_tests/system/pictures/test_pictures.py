"""Pictures drawn from what is on disk: of the right hosts, with the right numbers, and clear about what is missing."""

import base64
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pytest

from capsim_dagster.errors import MasterError, SettingsError, TruthError
from capsim_dagster.pictures import fleet, profiles
from capsim_dagster.pictures import of_disk as pictures
from capsim_dagster.pictures import series as plots
from capsim_dagster.pictures.canvas import WIDTH_PX, PictureFormat
from capsim_dagster.pictures.fleet import RegionMeans
from capsim_dagster.pictures.series import SeriesView
from capsim_dagster.pipeline import stages
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas import VARIETIES, EventKind, Resource, host_id
from capsim_dagster_tests.conftest import small_settings
from capsim_dagster_tests.support.pictures.views import ids, png_size, texts

MAX_EMBEDDED_BYTES = 200_000


@dataclass
class Drawn:
    """Pictures, and what was handed over to be drawn, by name of the picture."""

    pictures: dict[str, bytes] = field(default_factory=dict)
    handed: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


DRAWERS: Final = {
    "weekly_profile": (fleet, "weekly_profile_picture"),
    "quarter_end_effect": (fleet, "quarter_end_picture"),
    "utilization_by_region": (fleet, "regions_picture"),
    "varieties": (plots, "varieties_picture"),
}


def drawn_by(make: Callable[[Platform], dict[str, bytes]], platform: Platform, *, whole: bool = True) -> Drawn:
    """Return pictures with what was handed over for them; nothing is drawn unless the whole is asked for."""
    drawn = Drawn()

    def keeping(name: str, draw: Callable[..., bytes]) -> Callable[..., bytes]:
        def kept(handed: object, *notes: str, **options: int) -> bytes:
            drawn.handed[name], drawn.notes[name] = handed, notes[-1]
            return draw(handed, *notes, **options) if whole else b""

        return kept

    with pytest.MonkeyPatch.context() as patched:
        for name, (module, drawer) in DRAWERS.items():
            patched.setattr(module, drawer, keeping(name, getattr(module, drawer)))
        drawn.pictures = make(platform)
    return drawn


@pytest.fixture(scope="module")
def built(_built_data: Path) -> Platform:
    """Return a platform with everything built, that no test here changes."""
    return Platform(small_settings(_built_data))


@pytest.fixture(scope="module")
def of_master(built: Platform) -> Drawn:
    return drawn_by(pictures.master_pictures, built)


@pytest.fixture(scope="module")
def of_truth(built: Platform) -> Drawn:
    return drawn_by(pictures.truth_pictures, built)


@pytest.fixture
def kept_views(monkeypatch: pytest.MonkeyPatch) -> list[SeriesView]:
    """Keep the views of single series in place of drawing them."""
    kept: list[SeriesView] = []

    def keep(view: SeriesView, _kind: PictureFormat) -> bytes:
        kept.append(view)
        return b""

    monkeypatch.setattr(plots, "series_picture", keep)
    return kept


def rows_of(path: Path, view: SeriesView) -> pl.DataFrame:
    rows = pl.read_parquet(path)
    return rows.filter(pl.col("host_id") == view.host_id, pl.col("resource") == view.resource.value).sort("date")


def test_master_pictures_are_small_enough_to_embed_and_name_the_hosts_they_are_of(of_master: Drawn) -> None:
    drawn = of_master.pictures

    assert list(drawn) == ["weekly_profile", "quarter_end_effect", "utilization_by_region", "varieties"]
    assert max(len(base64.b64encode(picture)) for picture in drawn.values()) < MAX_EMBEDDED_BYTES
    assert png_size(drawn["varieties"])[0] == WIDTH_PX
    for name in ("weekly_profile", "quarter_end_effect"):
        assert any("all 12 hosts · 2023-01-01 to 2023-03-31" in text for text in texts(drawn[name]))
        assert {resource.value for resource in Resource} <= ids(drawn[name])
    assert any("all 12 hosts · 2023-01-01 to 2023-03-31" in text for text in texts(drawn["utilization_by_region"]))


def test_pictures_of_a_fleet_larger_than_the_sample_say_so(built: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "FLEET_SAMPLE_HOSTS", 11)

    notes = drawn_by(pictures.master_pictures, built, whole=False).notes

    for name in ("weekly_profile", "quarter_end_effect", "utilization_by_region"):
        assert "the first 11 of 12 hosts" in notes[name]


def test_weekly_profile_that_is_drawn_equals_the_one_worked_out_from_single_values(
    of_master: Drawn, built: Platform
) -> None:
    profile = of_master.handed["weekly_profile"]["by resource"]
    for resource in Resource:
        found = profile.filter(pl.col("group") == resource.value)
        assert dict(found.select("weekday", "ratio").iter_rows()) == pytest.approx(week_by_hand(built, resource))


def week_by_hand(platform: Platform, resource: Resource) -> dict[int, float]:
    """Work out the weekly profile value by value, without a frame."""
    with platform.reading() as connection:
        region_of = dict(connection.execute("SELECT host_id, region FROM hosts").fetchall())
        flags = "is_bank_holiday OR is_holiday_shoulder OR is_quarter_end_window OR is_month_end_window"
        ordinary = set(connection.execute(f"SELECT region, date FROM region_calendar WHERE NOT ({flags})").fetchall())
    weeks: dict[tuple[object, ...], dict[int, list[float]]] = {}
    rows = pl.read_parquet(platform.layout.master).filter(
        pl.col("resource") == resource.value, pl.col("p95_util").is_not_null()
    )
    for host, day, value in rows.select("host_id", "date", "p95_util").iter_rows():
        if (region_of[host], day) in ordinary:
            week = weeks.setdefault((region_of[host], *day.isocalendar()[:2]), {})
            week.setdefault(day.isoweekday(), []).append(value)
    total, count = dict.fromkeys(range(1, 8), 0.0), dict.fromkeys(range(1, 8), 0)
    for week in weeks.values():
        if {1, 2, 3, 4, 5} <= set(week):
            base = np.mean(np.concatenate([week[day] for day in range(1, 6)]))
            for day, values in week.items():
                total[day] += sum(values) / base
                count[day] += len(values)
    return {day: total[day] / count[day] for day in total}


def test_quarter_end_effect_that_is_drawn_shows_the_spike_of_the_settings(of_master: Drawn, built: Platform) -> None:
    effect = of_master.handed["quarter_end_effect"]["by resource"].filter(pl.col("group") == "network")

    assert effect["business_day"].to_list() == list(range(-profiles.BUSINESS_DAYS_BEFORE, 0))  # the window ends there
    inside = effect.filter(pl.col("business_day") >= -built.generation.calendar.eoq_window_days)["ratio"].mean()
    # Twelve hosts over five days: their noise and a burst or two move the mean by some percent.
    assert inside == pytest.approx(built.generation.metrics[Resource.NETWORK].eoq_spike_multiplier, abs=0.1)


def test_utilization_by_region_that_is_drawn_equals_the_mean_of_all_values_of_the_region(
    of_master: Drawn, built: Platform
) -> None:
    found: RegionMeans = of_master.handed["utilization_by_region"]

    assert found.period == "day"
    with built.reading() as connection:
        connection.execute(f"CREATE TEMP VIEW master AS FROM '{built.layout.master}'")
        wanted = connection.execute(
            "SELECT resource::VARCHAR, region, date, avg(p95_util) FROM master JOIN hosts USING (host_id) GROUP BY ALL "
            "ORDER BY ALL"
        ).fetchall()
    rows = found.means.rows()
    assert [row[:3] for row in rows] == [row[:3] for row in wanted]
    means, values = [row[3] for row in rows], [np.nan if row[3] is None else row[3] for row in wanted]
    np.testing.assert_allclose(means, values, rtol=1e-6)


def test_example_hosts_hold_one_of_each_variety_and_their_very_values(of_master: Drawn, built: Platform) -> None:
    drawn: list[SeriesView] = of_master.handed["varieties"]

    assert [view.variety for view in drawn] == list(VARIETIES)
    assert [view.host_id for view in drawn] == [host_id(number) for number in range(1, 11)]
    for view in drawn:
        rows = rows_of(built.layout.master, view)
        assert view.days.tolist() == rows["date"].to_list()
        np.testing.assert_array_equal(view.observed, rows["p95_util"].to_numpy())
        assert view.expected is None
        assert view.kinds == []


def test_truth_pictures_show_expectation_events_and_breach_date_of_the_limiting_resource(
    of_truth: Drawn, built: Platform
) -> None:
    drawn: list[SeriesView] = of_truth.handed["varieties"]

    truth = built.layout.truth
    events, series = pl.read_parquet(truth / "events.parquet"), pl.read_parquet(truth / "series.parquet")
    for view in drawn:
        assert view.expected is not None
        np.testing.assert_array_equal(view.expected, rows_of(truth / "expected.parquet", view)["expected_util"])
        own = events.filter(pl.col("host_id") == view.host_id, pl.col("resource") == view.resource.value)
        assert {kind: len(view.spans_of(kind)) for kind in view.kinds} == {
            EventKind(kind): count for kind, count in own.group_by("kind").len().iter_rows()
        }
        known = series.filter(pl.col("host_id") == view.host_id, pl.col("resource") == view.resource.value)
        assert view.breach_date == known["breach_date"][0]
        assert view.resource == (known["limiting_resource"][0] or Resource.CPU)
    assert [view.breach_date is not None for view in drawn] == [False] * 8 + [True] * 2


def test_truth_pictures_are_small_enough_to_embed(of_truth: Drawn) -> None:
    assert list(of_truth.pictures) == ["varieties"]
    assert 20_000 < len(of_truth.pictures["varieties"]) < MAX_EMBEDDED_BYTES * 3 / 4


def test_series_picture_names_its_host_its_resource_and_the_threshold(built: Platform) -> None:
    picture = pictures.series_picture(built, "12", Resource.DISK)

    assert (picture.host_id, picture.resource) == ("srv-000012", Resource.DISK)
    assert any(text.startswith("srv-000012 · ") and text.endswith(" · disk") for text in texts(picture.content))
    assert "threshold 95 %" in texts(picture.content)


def test_series_picture_finds_a_host_by_id_or_number(built: Platform, kept_views: list[SeriesView]) -> None:
    for host in ("srv-000012", "12", "000012", " 12 "):
        assert pictures.series_picture(built, host, Resource.DISK).host_id == "srv-000012", host
    assert [view.host_id for view in kept_views] == ["srv-000012"] * 4


@pytest.mark.usefixtures("kept_views")
def test_series_picture_is_by_default_of_the_resource_that_runs_full_else_cpu(built: Platform) -> None:
    series = pl.read_parquet(built.layout.truth / "series.parquet")
    limiting = series.filter(pl.col("host_id") == "srv-000009")["limiting_resource"][0]

    breaching, steady = pictures.series_picture(built, "9"), pictures.series_picture(built, "1")

    assert breaching.resource == limiting
    assert "breach of 95 % on 202" in breaching.caption
    assert steady.resource == Resource.CPU
    assert "no breach" in steady.caption


def test_series_picture_shows_the_same_values_wherever_the_host_stands(
    built: Platform, kept_views: list[SeriesView]
) -> None:
    for number in (1, 2, 7, 11, 12):
        pictures.series_picture(built, str(number), Resource.MEMORY)

    assert len(kept_views) == 5
    for view in kept_views:
        np.testing.assert_array_equal(view.observed, rows_of(built.layout.master, view)["p95_util"].to_numpy())


def test_an_unknown_host_is_refused_with_the_range_of_known_ones(built: Platform) -> None:
    for host in ("13", "0", "srv-13", "web01", "", "-1", "1" * 40):
        with pytest.raises(SettingsError, match="12 hosts, srv-000001 to srv-000012"):
            pictures.series_picture(built, host)


def test_nothing_is_drawn_without_master_or_truth(open_platform: Platform) -> None:
    shutil.rmtree(open_platform.layout.truth)
    with pytest.raises(TruthError, match="no ground truth"):
        pictures.series_picture(open_platform, "1")
    with pytest.raises(TruthError, match="no ground truth"):
        pictures.truth_pictures(open_platform)
    open_platform.layout.master.unlink()
    for draw in (pictures.master_pictures, pictures.truth_pictures, lambda p: pictures.series_picture(p, "1")):
        with pytest.raises(MasterError, match="no master file"):
            draw(open_platform)


def test_a_truth_that_ends_before_the_master_is_refused(open_platform: Platform) -> None:
    longer = Platform(small_settings(open_platform.layout.root, end_date="2023-04-30"))
    stages.time_calendar(longer)
    stages.master_parquet(longer)

    with pytest.raises(TruthError, match="ends on 2023-03-31, the master on 2023-04-30"):
        pictures.truth_pictures(longer)


def of_window(data_dir: Path, start: str, end: str) -> Platform:
    platform = Platform(small_settings(data_dir, start_date=start, end_date=end))
    stages.host_inventory(platform)
    stages.time_calendar(platform)
    stages.master_parquet(platform)
    stages.ground_truth(platform)
    return platform


@pytest.mark.usefixtures("_opened_once")
def test_any_window_can_be_drawn(tmp_path: Path) -> None:
    one_day = of_window(tmp_path / "day", "2023-02-04", "2023-02-04")
    assert pictures.truth_pictures(one_day)["varieties"].startswith(b"\x89PNG")

    for start, end, has_week, has_quarter_end in (
        ("2023-02-01", "2023-02-20", True, False),
        ("2023-03-30", "2023-04-02", False, False),
        ("2023-03-15", "2023-05-05", True, True),
    ):
        handed = drawn_by(pictures.master_pictures, of_window(tmp_path / start, start, end), whole=False).handed
        found = [not handed[name]["by resource"].is_empty() for name in ("weekly_profile", "quarter_end_effect")]
        assert found == [has_week, has_quarter_end], start
