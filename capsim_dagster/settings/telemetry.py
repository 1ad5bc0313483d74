"""Settings of the telemetry: levels by resource, calendar effects, noise, bursts, anomalies and gaps."""

import math
from typing import Final, Self

from pydantic import Field, model_validator

from capsim_dagster.settings.sections import DaysRange, FloatRange, Section, require_distinct

WORKING_DAYS: Final = 5
"""Monday to Friday."""
ANOMALY_SLOT_DAYS: Final = 64
"""A series has at most one anomaly in each stretch of so many days, which holds it whole."""
OUTAGE_SLOT_DAYS: Final = 32
"""A series has at most one outage in each stretch of so many days, which holds it whole."""
_PROFILE_TOLERANCE: Final = 1e-9


class Metric(Section):
    """One resource: the load that is common to its series; scenarios shape each series on top."""

    base_mean: float = Field(gt=0, le=100, description="Level of a typical series [%]; scenarios scale with it.")
    base_std: float = Field(ge=0, le=20, description="Day-to-day noise of a typical series [% points].")
    min_clip: float = Field(default=0.0, ge=0, le=100, description="Lowest value [%].")
    max_clip: float = Field(default=100.0, ge=0, le=100, description="Highest value [%].")
    growth_per_year: float = Field(ge=-20, le=20, description="Mean growth of every series [% points a year].")
    growth_std: float = Field(ge=0, le=10, description="How much that growth differs between hosts [% points a year].")
    seasonality_amplitude: float = Field(ge=0, le=0.5, description="Half the annual swing, as a share of the level.")
    weekly_pattern_factor: float = Field(ge=0, le=2, description="Weekend load as a multiple of working days'.")
    use_eoq_spikes: bool = Field(description="Whether quarter end shows.")
    eoq_spike_multiplier: float = Field(ge=0, le=3, description="Load in the quarter-end window.")
    eoq_months: tuple[int, ...] = Field(description="Months that end with a window.")
    month_end_multiplier: float = Field(
        ge=0, le=3, description="Load in the month-end window, where quarter end does not win."
    )
    use_holidays: bool = Field(description="Whether bank holidays show.")
    holiday_effect_multiplier: float = Field(ge=0, le=3, description="Load on a bank holiday.")

    @model_validator(mode="after")
    def _clip_is_ordered(self) -> Self:
        if self.min_clip >= self.max_clip:
            raise ValueError(f"min_clip {self.min_clip} must be below max_clip {self.max_clip}")
        return self

    @model_validator(mode="after")
    def _months_exist(self) -> Self:
        strange = [month for month in self.eoq_months if not 1 <= month <= 12]
        if strange:
            raise ValueError(f"eoq_months holds {strange}; a month is 1 to 12")
        require_distinct("eoq_months", "month", [str(month) for month in self.eoq_months])
        return self


class Calendar(Section):
    """How the calendar acts, on all resources alike."""

    weekly_profile: tuple[float, float, float, float, float, float, float] = Field(
        description="Monday to Sunday: share of the weekend effect that a day feels."
    )
    eoq_window_days: int = Field(ge=1, le=15, description="Business days of the quarter-end window.")
    month_end_window_days: int = Field(ge=1, le=10, description="Business days of the month-end window.")
    holiday_shoulder_days: int = Field(ge=0, le=5, description="Days before and after a bank holiday that feel it.")
    holiday_shoulder_share: float = Field(ge=0, le=1, description="How much of it the nearest of them feels.")
    season_jitter_days: int = Field(ge=0, le=182, description="How far a host's season is off its department's [days].")

    @model_validator(mode="after")
    def _profile_is_normal(self) -> Self:
        working, weekend = self.weekly_profile[:WORKING_DAYS], self.weekly_profile[WORKING_DAYS:]
        if abs(math.fsum(working)) > _PROFILE_TOLERANCE or abs(math.fsum(weekend) - len(weekend)) > _PROFILE_TOLERANCE:
            raise ValueError(
                f"weekly_profile {list(self.weekly_profile)}: Monday to Friday must average 0 and the weekend 1, so "
                "that weekly_pattern_factor is the ratio of weekend to working days"
            )
        return self


class Noise(Section):
    """How noise goes on from day to day and is shared."""

    autocorrelation: float = Field(ge=0, le=0.8, description="Correlation of the noise of two days in a row.")
    app_share: float = Field(ge=0, le=0.9, description="Part of its variance that hosts of one application share.")


class Bursts(Section):
    """How a host's bursts reach its resources."""

    resource_share: float = Field(gt=0, le=1, description="Chance that a burst of a host hits a resource.")


class Anomaly(Section):
    """One kind of anomaly."""

    share: float = Field(ge=0, le=1, description="Share of all anomalous days.")
    days: DaysRange = Field(description="Shortest and longest duration [days].")
    size: FloatRange = Field(description="Smallest and largest size: a share of demand, or a factor of noise.")

    @model_validator(mode="after")
    def _fits_its_slot(self) -> Self:
        if not 1 <= self.days[0] <= self.days[1] <= ANOMALY_SLOT_DAYS:
            raise ValueError(f"days {list(self.days)}: an anomaly lasts 1 to {ANOMALY_SLOT_DAYS} days")
        if self.size[0] <= 0:
            raise ValueError(f"size {list(self.size)}: must be above 0, or nothing would show")
        return self

    @property
    def mean_days(self) -> float:
        """Mean duration [days]."""
        return sum(self.days) / 2


class Anomalies(Section):
    """Labelled anomalies: how many days, of which kinds."""

    rate: float = Field(ge=0, le=0.05, description="Share of days that are anomalous.")
    spike: Anomaly
    dip: Anomaly
    level_shift: Anomaly
    variance_change: Anomaly

    @property
    def kinds(self) -> dict[str, Anomaly]:
        """The kinds by name."""
        return {
            "spike": self.spike,
            "dip": self.dip,
            "level_shift": self.level_shift,
            "variance_change": self.variance_change,
        }

    @property
    def chances(self) -> dict[str, float]:
        """Chance of an anomaly of each kind in one slot, 0 to 1."""
        return {name: ANOMALY_SLOT_DAYS * self.rate * kind.share / kind.mean_days for name, kind in self.kinds.items()}

    @model_validator(mode="after")
    def _mix_is_whole(self) -> Self:
        total = math.fsum(kind.share for kind in self.kinds.values())
        if abs(total - 1) > _PROFILE_TOLERANCE:
            raise ValueError(f"the shares of the anomalies add up to {total:.6g}; they must add up to 1")
        if self.dip.size[1] > 1 or self.level_shift.size[1] > 1:
            raise ValueError("size of dip and level_shift is a share of demand, at most 1")
        if self.variance_change.size[0] <= 1:
            raise ValueError("size of variance_change is a factor of the noise, above 1")
        chance = math.fsum(self.chances.values())
        if chance > 1:
            raise ValueError(
                f"rate {self.rate:g} is too high for anomalies this short: at most one fits in {ANOMALY_SLOT_DAYS} "
                f"days; use at most {self.rate / chance:.4f} or longer ones"
            )
        return self


class Gaps(Section):
    """Missing values: days on which the agent reported nothing."""

    missing_rate: float = Field(ge=0, le=0.05, description="Share of values that are missing.")
    outage_share: float = Field(ge=0, le=1, description="Part of them in outages of several days; the rest are single.")
    agent_down_share: float = Field(ge=0, le=1, description="Part of the outages' days that hit all resources at once.")
    outage_days: DaysRange = Field(description="Shortest and longest outage [days].")

    @property
    def agent_down_rate(self) -> float:
        """Share of values that are missing as the agent is down."""
        return self.missing_rate * self.outage_share * self.agent_down_share

    @property
    def outage_rate(self) -> float:
        """Share of values that are missing in outages of their resource alone."""
        return self.missing_rate * self.outage_share - self.agent_down_rate

    @property
    def single_rate(self) -> float:
        """Share of values that are missing on single days."""
        return self.missing_rate - self.missing_rate * self.outage_share

    @model_validator(mode="after")
    def _outage_fits_its_slot(self) -> Self:
        if not 2 <= self.outage_days[0] <= self.outage_days[1] <= OUTAGE_SLOT_DAYS:
            raise ValueError(f"outage_days {list(self.outage_days)}: an outage lasts 2 to {OUTAGE_SLOT_DAYS} days")
        return self
