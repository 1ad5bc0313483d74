"""Settings of the server-metrics panel: which columns it has, how they are judged, and what a panel must hold."""

from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from capsim_dagster.schemas.resources import CAPACITY_UNITS, Resource
from capsim_dagster.settings.sections import FloatRange, Section, require_distinct
from capsim_dagster.settings.telemetry import Metric

IDENTITY: Final = ("server_id", "timestamp", "business_unit", "region", "criticality")
"""Columns that every panel has, before its metrics."""


class Flag(StrEnum):
    """An optional column that says what kind of day it is for the server."""

    IS_WEEKEND = "is_weekend"
    IS_HOLIDAY = "is_holiday"
    IS_EOQ_WINDOW = "is_eoq_window"


def _share_range(bounds: tuple[float, float]) -> tuple[float, float]:
    if bounds[0] < 0 or bounds[1] > 1:
        raise ValueError(f"found [{bounds[0]:g}, {bounds[1]:g}]; shares lie within 0 to 1")
    return bounds


class PanelMetric(Section):
    """One metric column: a view of a resource's series, or a series of its own on top of it."""

    resource: Resource = Field(description="Whose series it shows; for one of its own, whose capacity it is of.")
    unit: Literal["percent", "absolute"] = Field(
        default="percent",
        description=f"Percent of capacity, or in the unit of the capacity: {', '.join(CAPACITY_UNITS.values())}.",
    )
    direction: Literal["in", "out"] | None = Field(
        default=None, description="The host's inbound or outbound part; in and out add up to the whole."
    )
    own: Metric | None = Field(
        default=None, description="Numbers of a series of its own, drawn as a resource is; null = the resource's."
    )

    @model_validator(mode="after")
    def _only_network_has_directions(self) -> Self:
        if self.direction and self.resource is not Resource.NETWORK:
            raise ValueError(f"direction {self.direction} of {self.resource}: only network goes in and out")
        return self


class PanelQuality(Section):
    """Gates that a generated panel passes before it is saved."""

    max_missing_share: float = Field(ge=0, le=1, description="Share of a metric's values that may be missing.")
    pattern_tolerance: float = Field(
        ge=0, le=1, description="How far weekends, holidays and quarter ends may be off their setting, as a share."
    )


class PanelValidation(Section):
    """What a panel that is loaded must hold; null = what capsim's own panel says of itself, nothing for others."""

    expected_servers: int | None = Field(default=None, ge=1, description="Servers that it must hold.")
    min_server_share: float = Field(ge=0, le=1, description="Share of the expected servers below which it fails.")
    min_history_days: int = Field(ge=1, description="Days from its first to its last that it must span.")
    max_gap_days: int = Field(ge=0, description="Longest stretch of days in a row that may lack in a server's rows.")
    max_missing_day_share: float = Field(ge=0, le=1, description="Share of a panel's server days that may lack.")
    max_missing_share: float = Field(ge=0, le=1, description="Share of a metric's values that may be missing.")
    null_values: tuple[str, ...] = Field(description="Texts in a metric that mean no value, in any case.")


class Panel(Section):
    """The wide panel: a row a server a day, a column a metric."""

    server_prefix: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$", max_length=32, description="Start of server ids.")
    server_digits: int = Field(ge=1, le=12, description="Zero-padding of server numbers; longer ones get longer.")
    metrics: dict[str, PanelMetric] = Field(min_length=1, description="Columns, in order.")
    flags: tuple[Flag, ...] = Field(default=(), description="Optional columns about the day.")
    inbound_share: Annotated[FloatRange, AfterValidator(_share_range)] = Field(
        description="Lowest and highest inbound part of a host's network traffic."
    )
    samples_count: int = Field(ge=0, le=100_000, description="Rows of the sample CSV; 0 = none.")
    quality: PanelQuality
    validation: PanelValidation

    @model_validator(mode="after")
    def _columns_are_distinct(self) -> Self:
        strange = [name for name in self.metrics if not (name.isidentifier() and name.islower())]
        if strange:
            raise ValueError(f"metrics: {strange} are no column names; use lower case, digits and underscores")
        require_distinct("panel", "column", [*IDENTITY, *self.metrics, *(flag.value for flag in Flag)])
        require_distinct("flags", "flag", [flag.value for flag in self.flags])
        return self
