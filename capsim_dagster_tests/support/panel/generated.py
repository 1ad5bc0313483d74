"""Small panels of capsim's own, for the tests of their generation."""

import datetime as dt
from functools import cache
from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow as pa

from capsim_dagster.panel.build import PanelBatches, panel_pieces
from capsim_dagster.panel.generate import GeneratedPanel, generate_panel
from capsim_dagster.settings import DataGeneration, Metric, Panel
from capsim_dagster.simulated.grid import Advance
from capsim_dagster.simulation.fleet import fleet_of
from capsim_dagster.storage import Folder, Store
from capsim_dagster_tests.conftest import small_settings
from capsim_dagster_tests.support.shipped_settings import shipped_settings

RAW: Final = "panel/raw"
KEY: Final = ["server_id", "timestamp"]


def generation_of(**changes: object) -> DataGeneration:
    """Return twelve hosts over the first quarter of 2023, with changes."""
    return small_settings(Path("unused"), **changes).data_generation


def panel_of(**changes: Any) -> Panel:  # noqa: ANN401 any JSON value
    """Return the panel's settings as shipped, with changes."""
    return Panel.model_validate({**_shipped_panel(), **changes})


@cache
def _shipped_panel() -> dict[str, Any]:
    return shipped_settings().panel.model_dump(mode="json")


def own_metric(generation: DataGeneration, **changes: Any) -> Metric:  # noqa: ANN401 any JSON value
    """Return the numbers of cpu, with changes."""
    return Metric.model_validate({**generation.metrics["cpu"].model_dump(mode="json"), **changes})  # type: ignore[index]


def table_of(generation: DataGeneration, panel: Panel, *, end: dt.date | None = None) -> pl.DataFrame:
    """Return all rows of a panel, in the order of the file."""
    end = end or generation.end_date
    batches = PanelBatches(generation, panel, end=end)
    pieces = panel_pieces(generation, panel, fleet_of(generation), end=end)
    found = pl.from_arrow(pa.Table.from_batches([batches.batch(piece) for piece in pieces], batches.schema))
    assert isinstance(found, pl.DataFrame)
    return found.with_columns(pl.col(pl.Categorical).cast(pl.String))


def save(
    generation: DataGeneration, panel: Panel, place: Path | Store, advance: Advance = lambda _rows: None
) -> GeneratedPanel:
    """Save a panel into a folder or store."""
    store = Folder(place) if isinstance(place, Path) else place
    return generate_panel(generation, panel, store, prefix=RAW, end=generation.end_date, advance=advance)
