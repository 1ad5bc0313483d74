"""Pictures drawn from what is on disk: of the right hosts, with the right numbers, and clear about what is missing."""

import base64
import shutil
from pathlib import Path

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


@pytest.fixture
def platform(open_platform: Platform) -> Platform:
    return open_platform


@pytest.fixture
def truthful(platform: Platform) -> Platform:
    stages.ground_truth(platform)
    return platform


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[SeriesView]:
    """Keep the views that are handed over to be drawn."""
    kept: list[SeriesView] = []

    def keep(views: list[SeriesView], title: str, subtitle: str) -> bytes:
        kept.extend(views)
        return f"{title}{subtitle}".encode()

    monkeypatch.setattr(plots, "varieties_picture", keep)
    return kept


def rows_of(path: Path, view: SeriesView) -> pl.DataFrame:
    rows = pl.read_parquet(path)
    return rows.filter(pl.col("host_id") == view.host_id, pl.col("resource") == view.resource.value).sort("date")


def numbers_handed_to(drawer: str, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> dict[str, pl.DataFrame]:
    """Return the numbers that the master's pictures hand over to be drawn."""
    handed: dict[str, pl.DataFrame] = {}

    def keep(panels: dict[str, pl.DataFrame], _note: str, **_options: int) -> bytes:
        handed.update(panels)
        return b""

    monkeypatch.setattr(fleet, drawer, keep)
    pictures.master_pictures(platform)
    return handed


def test_master_pictures_are_small_enough_to_embed_and_name_the_hosts_they_are_of(platform: Platform) -> None:
    drawn = pictures.master_pictures(platform)

    assert list(drawn) == ["weekly_profile", "quarter_end_effect", "utilization_by_region", "varieties"]
    assert max(len(base64.b64encode(picture)) for picture in drawn.values()) < MAX_EMBEDDED_BYTES
    assert png_size(drawn["varieties"])[0] == WIDTH_PX
    for name in ("weekly_profile", "quarter_end_effect"):
        assert any("all 12 hosts · 2023-01-01 to 2023-03-31" in text for text in texts(drawn[name]))
        assert {resource.value for resource in Resource} <= ids(drawn[name])
    assert any("all 12 hosts · 2023-01-01 to 2023-03-31" in text for text in texts(drawn["utilization_by_region"]))


@pytest.mark.slow
def test_pictures_of_a_fleet_larger_than_the_sample_say_so(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "FLEET_SAMPLE_HOSTS", 11)

    drawn = pictures.master_pictures(platform)

    assert any("the first 11 of 12 hosts" in text for text in texts(drawn["weekly_profile"]))


def test_weekly_profile_that_is_drawn_equals_the_one_worked_out_from_single_values(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed = numbers_handed_to("weekly_profile_picture", platform, monkeypatch)

    for resource in Resource:
        found = handed["by resource"].filter(pl.col("group") == resource.value)
        assert dict(found.select("weekday", "ratio").iter_rows()) == pytest.approx(week_by_hand(platform, resource))


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


def test_quarter_end_effect_that_is_drawn_shows_the_spike_of_the_settings(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed = numbers_handed_to("quarter_end_picture", platform, monkeypatch)

    effect = handed["by resource"].filter(pl.col("group") == "network")
    assert effect["business_day"].to_list() == list(range(-profiles.BUSINESS_DAYS_BEFORE, 0))  # the window ends there
    inside = effect.filter(pl.col("business_day") >= -platform.generation.calendar.eoq_window_days)["ratio"].mean()
    # Twelve hosts over five days: their noise and a burst or two move the mean by some percent.
    assert inside == pytest.approx(platform.generation.metrics[Resource.NETWORK].eoq_spike_multiplier, abs=0.1)


def test_utilization_by_region_that_is_drawn_equals_the_mean_of_all_values_of_the_region(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[RegionMeans] = []
    monkeypatch.setattr(fleet, "regions_picture", lambda found, _note: kept.append(found))

    pictures.master_pictures(platform)

    (found,) = kept
    assert found.period == "day"
    with platform.reading() as connection:
        connection.execute(f"CREATE TEMP VIEW master AS FROM '{platform.layout.master}'")
        wanted = connection.execute(
            "SELECT resource::VARCHAR, region, date, avg(p95_util) FROM master JOIN hosts USING (host_id) GROUP BY ALL "
            "ORDER BY ALL"
        ).fetchall()
    rows = found.means.rows()
    assert [row[:3] for row in rows] == [row[:3] for row in wanted]
    means, values = [row[3] for row in rows], [np.nan if row[3] is None else row[3] for row in wanted]
    np.testing.assert_allclose(means, values, rtol=1e-6)


def test_example_hosts_hold_one_of_each_variety_and_their_very_values(
    platform: Platform, drawn: list[SeriesView]
) -> None:
    pictures.master_pictures(platform)

    assert [view.variety for view in drawn] == list(VARIETIES)
    assert [view.host_id for view in drawn] == [host_id(number) for number in range(1, 11)]
    for view in drawn:
        rows = rows_of(platform.layout.master, view)
        assert view.days.tolist() == rows["date"].to_list()
        np.testing.assert_array_equal(view.observed, rows["p95_util"].to_numpy())
        assert view.expected is None
        assert view.kinds == []


def test_truth_pictures_show_expectation_events_and_breach_date_of_the_limiting_resource(
    truthful: Platform, drawn: list[SeriesView]
) -> None:
    pictures.truth_pictures(truthful)

    truth = truthful.layout.truth
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


def test_truth_pictures_are_small_enough_to_embed(truthful: Platform) -> None:
    drawn = pictures.truth_pictures(truthful)

    assert list(drawn) == ["varieties"]
    assert 20_000 < len(drawn["varieties"]) < MAX_EMBEDDED_BYTES * 3 / 4


@pytest.mark.parametrize("host", ["srv-000012", "12", "000012", " 12 "])
def test_series_picture_finds_a_host_by_id_or_number(truthful: Platform, host: str) -> None:
    picture = pictures.series_picture(truthful, host, Resource.DISK)

    assert (picture.host_id, picture.resource) == ("srv-000012", Resource.DISK)
    assert any(text.startswith("srv-000012 · ") and text.endswith(" · disk") for text in texts(picture.content))
    assert "threshold 95 %" in texts(picture.content)


def test_series_picture_is_by_default_of_the_resource_that_runs_full_else_cpu(truthful: Platform) -> None:
    series = pl.read_parquet(truthful.layout.truth / "series.parquet")
    limiting = series.filter(pl.col("host_id") == "srv-000009")["limiting_resource"][0]

    breaching, steady = pictures.series_picture(truthful, "9"), pictures.series_picture(truthful, "1")

    assert breaching.resource == limiting
    assert "breach of 95 % on 202" in breaching.caption
    assert steady.resource == Resource.CPU
    assert "no breach" in steady.caption


def test_series_picture_shows_the_same_values_wherever_the_host_stands(
    truthful: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[SeriesView] = []

    def keep(view: SeriesView, _kind: PictureFormat) -> bytes:
        kept.append(view)
        return b""

    monkeypatch.setattr(plots, "series_picture", keep)

    for number in range(1, 13):
        pictures.series_picture(truthful, str(number), Resource.MEMORY)

    for view in kept:
        np.testing.assert_array_equal(view.observed, rows_of(truthful.layout.master, view)["p95_util"].to_numpy())


@pytest.mark.parametrize("host", ["13", "0", "srv-13", "web01", "", "-1", "1" * 40])
def test_an_unknown_host_is_refused_with_the_range_of_known_ones(truthful: Platform, host: str) -> None:
    with pytest.raises(SettingsError, match="12 hosts, srv-000001 to srv-000012"):
        pictures.series_picture(truthful, host)


def test_nothing_is_drawn_without_master_or_truth(truthful: Platform) -> None:
    shutil.rmtree(truthful.layout.truth)
    with pytest.raises(TruthError, match="no ground truth"):
        pictures.series_picture(truthful, "1")
    with pytest.raises(TruthError, match="no ground truth"):
        pictures.truth_pictures(truthful)
    truthful.layout.master.unlink()
    for draw in (pictures.master_pictures, pictures.truth_pictures, lambda p: pictures.series_picture(p, "1")):
        with pytest.raises(MasterError, match="no master file"):
            draw(truthful)


def test_a_truth_that_ends_before_the_master_is_refused(truthful: Platform) -> None:
    longer = Platform(small_settings(truthful.layout.root, end_date="2023-04-30"))
    stages.time_calendar(longer)
    stages.master_parquet(longer)

    with pytest.raises(TruthError, match="ends on 2023-03-31, the master on 2023-04-30"):
        pictures.truth_pictures(longer)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2023-02-04", "2023-02-04"),
        ("2023-02-01", "2023-02-20"),
        ("2023-03-30", "2023-04-02"),
        ("2023-03-15", "2023-05-05"),
    ],
)
def test_any_window_can_be_drawn(tmp_path: Path, start: str, end: str) -> None:
    platform = Platform(small_settings(tmp_path / "data", start_date=start, end_date=end))
    stages.host_inventory(platform)
    stages.time_calendar(platform)
    stages.master_parquet(platform)
    stages.ground_truth(platform)

    drawn = pictures.master_pictures(platform)

    assert ("this window holds no week" in texts(drawn["weekly_profile"])) == (
        start != "2023-03-15" and start != "2023-02-01"
    )
    assert ("no quarter ends in this window" in texts(drawn["quarter_end_effect"])) == (start != "2023-03-15")
    assert pictures.truth_pictures(platform)["varieties"].startswith(b"\x89PNG")
