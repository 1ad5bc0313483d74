"""The settings: frozen models, a range on every field, and the contradictions that no single field shows.

Reading them from file, environment and command line is in `load`.
"""

import datetime as dt
import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from capsim_dagster.schemas import VARIETIES, Resource, Scenario
from capsim_dagster.settings.feed import LegacyFeed, Refinery
from capsim_dagster.settings.fleet import Metadata
from capsim_dagster.settings.panel import Panel
from capsim_dagster.settings.publication import Archive, Live, Publication
from capsim_dagster.settings.sections import Prefix, Section, require_all
from capsim_dagster.settings.telemetry import Anomalies, Bursts, Calendar, Gaps, Metric, Noise

ENV_PREFIX: Final = "CAPSIM__"
"""Start of every environment variable that overrides a setting."""
SHARE_TOLERANCE: Final = 1e-9
"""How far from 1 a sum of shares may lie: the rounding of a few decimals, no more."""
_DEFAULT_BASE_PATH: Final = {
    "local": "data",
    "sagemaker": "/opt/ml/processing/output",
    "lambda": "/tmp/capsim",  # noqa: S108 the one folder that AWS Lambda lets a function write
}


class General(Section):
    """Where capsim runs."""

    env: Literal["local", "sagemaker", "lambda"] = Field(
        default="local", description="Selects the defaults of storage.local_base_path and storage.use_s3."
    )


class ScenarioShare(Section):
    """How common a scenario is."""

    share: float = Field(ge=0, le=1, description="Share of the fleet.")
    rare_share: float = Field(default=0.2, ge=0, le=1, description="Share of its rare variant within the scenario.")


class DataGeneration(Section):
    """The fleet and its window. Everything here but `end_date` decides values, so it is part of the settings hash."""

    num_servers: int = Field(ge=len(VARIETIES), description="Hosts; at least one of each of the ten varieties.")
    start_date: dt.date = Field(ge=dt.date(1971, 1, 1), le=dt.date(2199, 12, 31), description="First day.")
    end_date: dt.date = Field(le=dt.date(2199, 12, 31), description="Last day, inclusive.")
    random_seed: int = Field(ge=0, lt=2**63)
    scenario_horizon_days: int = Field(ge=30, le=36_525, description="Breach dates fall within so many days.")
    breach_threshold: float = Field(gt=50, le=100, description="Utilization that counts as a breach [%].")
    scenario_mix: dict[Scenario, ScenarioShare]
    metrics: dict[Resource, Metric]
    calendar: Calendar
    noise: Noise
    bursts: Bursts
    anomalies: Anomalies
    gaps: Gaps
    metadata: Metadata

    @field_validator("scenario_mix", mode="before")
    @classmethod
    def _scenarios_in_any_case(cls, value: object) -> object:
        """Accept `burst` for `BURST`: environment variables reach pydantic-settings in lower case, and win."""
        if not isinstance(value, Mapping):
            return value
        merged: dict[str, Any] = {}
        for name in sorted(value, key=lambda name: not str(name).isupper()):
            shares = value[name]
            known = merged.get(str(name).upper(), {})
            merged[str(name).upper()] = {**known, **shares} if isinstance(shares, Mapping) else shares
        return merged

    @model_validator(mode="after")
    def _window_is_ordered(self) -> Self:
        if self.end_date < self.start_date:
            raise ValueError(f"end_date {self.end_date} must not be before start_date {self.start_date}")
        return self

    @model_validator(mode="after")
    def _mix_is_whole(self) -> Self:
        require_all(self.scenario_mix, Scenario, "scenario_mix")
        require_all(self.metrics, Resource, "metrics")
        low = [
            f"{name} {metric.max_clip:g}"
            for name, metric in self.metrics.items()
            if metric.max_clip < self.breach_threshold
        ]
        if low:
            threshold = f"breach_threshold {self.breach_threshold:g}"
            raise ValueError(f"max_clip of {', '.join(low)} is below {threshold}: nothing could breach")
        total = math.fsum(scenario.share for scenario in self.scenario_mix.values())
        if abs(total - 1) > SHARE_TOLERANCE:
            raise ValueError(f"the shares in scenario_mix add up to {total:.6g}; they must add up to 1")
        return self


class Storage(Section):
    """Where outputs go: the data directory, and an S3-compatible bucket if there is one.

    Credentials have no key here: they come from the environment or a profile.
    """

    local_base_path: Path | None = Field(default=None, description="Data directory; null = by general.env.")
    use_s3: bool | None = Field(
        default=None, description="Whether outputs go to the bucket; null = where one is named, unless env is local."
    )
    bucket_name: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")
    raw_prefix: Prefix = Field(
        default="panel/raw", description="Where generated panels lie, in bucket or data directory."
    )
    staged_prefix: Prefix = Field(default="panel/staged", description="Where validated panels lie, likewise.")
    endpoint_url: str | None = Field(default=None, description="Of a store that is not AWS; null = the usual chain.")
    region: str | None = Field(default=None, min_length=1, description="Region of the bucket; null = the usual chain.")
    lock_timeout_seconds: float = Field(default=60, ge=0, le=3600, description="How long to wait for the warehouse.")

    @field_validator("endpoint_url")
    @classmethod
    def _endpoint_is_an_address(cls, url: str | None) -> str | None:
        """Refuse what is no address, and credentials in one, which would be shown in messages."""
        if url is not None and not re.fullmatch(r"https?://[^\s/@?#]+/?", url):
            # The value itself is not repeated: it may hold a password.
            raise ValueError("expected http:// or https:// with a host and a port, and no credentials in it")
        return url

    @model_validator(mode="after")
    def _bucket_is_named(self) -> Self:
        if self.use_s3 and self.bucket_name is None:
            raise ValueError("use_s3 is true, but bucket_name says not which bucket")
        if self.raw_prefix == self.staged_prefix:
            raise ValueError(f"raw_prefix and staged_prefix are both {self.raw_prefix!r}; validated panels lie apart")
        return self


class Automation(Section):
    """What Dagster asks for by itself, and how months are cut into runs."""

    monthly_cron: str = Field(description="When the monthly schedule ticks, in UTC.")
    max_months_per_tick: int = Field(ge=1, le=120, description="Missing months that one tick asks for at most.")
    max_months_per_run: int | None = Field(
        default=None, ge=1, le=120, description="Months in a row that one run does at most; null = any number."
    )
    months_after_window: bool = Field(
        default=False, description="Whether each month after the window is offered, and asked for, once it is over."
    )
    daily_cron: str = Field(description="When the schedule of the daily dataset ticks, in UTC.")
    hourly_cron: str = Field(description="When the schedule of the hourly dataset ticks, in UTC.")
    max_days_per_run: int = Field(
        ge=1, le=10_000, description="Days of archive and datasets that one run makes at most."
    )
    keep_runs_days: int | None = Field(
        default=90, ge=1, le=36_500, description="For how many days the history of a run is kept; null = for ever."
    )
    max_wait_seconds: float = Field(
        default=3600, ge=0, le=86_400, description="How long a run in a terminal waits for another one, at each step."
    )
    late_hours_days: int = Field(
        ge=1, le=31, description="Days, the one of the tick included, in whose archive late hours are looked for."
    )


class Settings(BaseSettings):
    """The whole of the settings."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        nested_model_default_partial_update=True,
    )

    general: General = General()
    data_generation: DataGeneration
    storage: Storage = Storage()
    legacy_feed: LegacyFeed
    refinery: Refinery = Refinery()
    automation: Automation
    panel: Panel
    archive: Archive
    publication: Publication
    live: Live

    @property
    def uses_s3(self) -> bool:
        """Whether outputs go to a bucket too: as configured, else where one is named and the machine is not local."""
        if self.storage.use_s3 is None:
            return self.general.env != "local" and self.storage.bucket_name is not None
        return self.storage.use_s3

    @property
    def data_dir(self) -> Path:
        """Data directory: the one configured, else the usual one of `general.env`."""
        return self.storage.local_base_path or Path(_DEFAULT_BASE_PATH[self.general.env])


def settings_hash(generation: DataGeneration, *version: str) -> str:
    """Return 16 hex digits over every setting that decides a value: all of `data_generation` but the window's end.

    `version`: further facts that decide values, such as the version of the simulation model.
    """
    facts = generation.model_dump(mode="json", exclude={"end_date"})
    canonical = json.dumps([facts, *version], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
