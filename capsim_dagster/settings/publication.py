"""Settings of the archive of samples and of the datasets that are published from it."""

from typing import Final, Self

from pydantic import Field, model_validator

from capsim_dagster.settings.sections import Prefix, Section

_MINUTES_PER_HOUR: Final = 60


class Workload(Section):
    """How the load of a server type goes through the day."""

    peak_hour: float = Field(ge=0, lt=24, description="Hour at which it is highest, UTC.")
    swing: float = Field(ge=0, le=0.9, description="How far the night lies below the peak, as a share of it.")


class Archive(Section):
    """The samples within a day, as agents report them."""

    interval_minutes: int = Field(ge=1, le=30, description="Minutes between two samples; divides an hour.")
    agent_version: str = Field(min_length=1, max_length=32, pattern=r"^[\w.+-]+$", description="Version of the agent.")
    workloads: dict[str, Workload] = Field(description="By server type.")
    other_workload: Workload = Field(description="Of server types that are not named.")
    peak_jitter_hours: float = Field(ge=0, le=6, description="How far a host's peak may be off its workload's.")

    @model_validator(mode="after")
    def _interval_divides_an_hour(self) -> Self:
        if _MINUTES_PER_HOUR % self.interval_minutes:
            raise ValueError(
                f"interval_minutes {self.interval_minutes} does not divide an hour; use 1, 2, 3, 4, 5, 6, 10, 12, 15, "
                "20 or 30"
            )
        return self

    @property
    def samples_per_hour(self) -> int:
        """Samples of a host in an hour."""
        return _MINUTES_PER_HOUR // self.interval_minutes


class Retention(Section):
    """For how long files are kept by `capsim retention`; none = for ever."""

    archive_days: int | None = Field(ge=2, description="Days of the archive that are kept, today's included.")
    tier2_days: int | None = Field(ge=2, description="Days of hourly datasets that are kept.")
    tier3_days: int | None = Field(ge=2, description="Days of daily datasets that are kept, on disk.")


class Publication(Section):
    """The published datasets."""

    tier2_prefix: Prefix = Field(description="Where hourly datasets lie in the bucket.")
    tier3_prefix: Prefix = Field(description="Where daily datasets lie in the bucket.")
    max_null_share: float = Field(ge=0, le=1, description="Share of a column's values that may be missing.")
    retention: Retention = Field(description="For how long files on disk are kept.")

    def prefix_of(self, dataset: str) -> str:
        """Return where a dataset lies in the bucket: tier2_hourly or tier3_daily."""
        return {"tier2_hourly": self.tier2_prefix, "tier3_daily": self.tier3_prefix}[dataset]


class Live(Section):
    """The fleet as it is now, served by `capsim tier1 serve`."""

    port: int = Field(ge=0, le=65_535, description="Port that it is served at; 0 = any that is free.")
    max_backlog: int = Field(ge=1, le=1_000, description="Intervals that a client may lag behind before it is dropped.")
    max_connections: int = Field(
        ge=4,
        le=10_000,
        description="Connections that the server holds at a time; the limit of open files may be lower.",
    )
    hot_percent: float = Field(gt=0, le=100, description="Utilization from which the live page lists a host.")
