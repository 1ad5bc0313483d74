"""Libraries of the dependency group `forecast` read the views unchanged."""

import datetime as dt

import polars as pl
import pytest

from capsim_dagster.pipeline.platform import Platform

# What other libraries say of their own dependencies is no fault of the views.
pytestmark = pytest.mark.filterwarnings("ignore")

HORIZON = 14
LAST_DAY = dt.datetime(2023, 3, 31)  # noqa: DTZ001 the view's timestamps are naive
SERIES = 12 * 4


def require(library: str) -> None:
    """Skip the test where a library is not installed."""
    pytest.importorskip(library, reason="the dependency group forecast is not installed: uv sync --group forecast")


def view(platform: Platform, name: str) -> pl.DataFrame:
    with platform.reading() as connection:
        rows: pl.DataFrame = connection.sql(f"SELECT * FROM {name} ORDER BY unique_id, ds").pl()
    return rows


def assert_is_forecast(forecast: pl.DataFrame, model: str) -> None:
    """Each series is forecast on each of the days after its last, within what utilization can be, roughly."""
    days = pl.datetime_range(LAST_DAY + dt.timedelta(1), LAST_DAY + dt.timedelta(HORIZON), "1d", eager=True)

    assert forecast.height == SERIES * HORIZON
    assert forecast["unique_id"].n_unique() == SERIES
    assert set(forecast["ds"].cast(pl.Datetime("us"))) == set(days)
    assert forecast[model].is_finite().all()
    assert forecast[model].is_between(-50, 200).all()


def test_statsforecast_reads_forecast_input(open_platform: Platform) -> None:
    require("statsforecast")
    from statsforecast import StatsForecast
    from statsforecast.models import AutoETS, SeasonalNaive

    library = StatsForecast(models=[SeasonalNaive(7), AutoETS(season_length=7)], freq="1d")
    forecast = library.forecast(df=view(open_platform, "forecast_input"), h=HORIZON)

    assert_is_forecast(forecast, "SeasonalNaive")
    assert_is_forecast(forecast, "AutoETS")


def test_mlforecast_reads_forecast_input(open_platform: Platform) -> None:
    require("mlforecast")
    from lightgbm import LGBMRegressor
    from mlforecast import MLForecast

    library = MLForecast(
        models={"trees": LGBMRegressor(n_estimators=20, n_jobs=1, verbosity=-1)}, freq="1d", lags=[1, 7]
    )
    forecast = library.fit(view(open_platform, "forecast_input")).predict(HORIZON)

    assert_is_forecast(forecast, "trees")


def test_prophet_reads_prophet_input_with_its_gaps_and_saturates_below_the_cap(open_platform: Platform) -> None:
    require("prophet")
    from prophet import Prophet

    table = view(open_platform, "prophet_input")
    with_gaps = table.filter(pl.col("y").is_null())["unique_id"][0]
    series = table.filter(pl.col("unique_id") == with_gaps)
    model = Prophet(growth="logistic").fit(series.to_pandas())
    future = model.make_future_dataframe(HORIZON).assign(floor=0.0, cap=100.0)
    forecast = model.predict(future)

    assert series["y"].null_count() > 0
    assert len(forecast) == 90 + HORIZON
    assert forecast["trend"].between(0, 100).all()
