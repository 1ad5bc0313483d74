"""The ten behavioural varieties: from which ranges the parameters of a host's series are drawn.

Numbers only; the formulas that use them are in `components`, the drawing in `telemetry`. All rates are per day or
per year, so that nothing knows how long the window is.
"""

from dataclasses import dataclass
from typing import Final

from capsim_dagster.schemas import Scenario, Variant, Variety

Range = tuple[float, float]
"""Lowest (inclusive) and highest (exclusive) value of a uniform draw."""

ZERO: Final[Range] = (0.0, 0.0)
"""The component is absent."""


@dataclass(frozen=True)
class Behaviour:
    """How the series of one variety look, before a resource's factors.

    Attributes:
        level: Utilization on the first day [%].
        drift: Growth [% points a year].
        annual_amplitude: Half the swing of the annual season [% points].
        weekly_amplitude: Scale of the weekly profile [% points].
        noise_std: Standard deviation of the daily noise [% points].
        noise_envelope: How much more noise there is at the annual peak than on average, 0 to 1.
        burst_rate: Chance that a burst starts on a day, 0 to 1.
        burst_height: Height of a burst [% points].
        breach_share: When the threshold is reached, as a share of the scenario horizon; absent = never on purpose.
    """

    level: Range
    noise_std: Range
    drift: Range = ZERO
    annual_amplitude: Range = ZERO
    weekly_amplitude: Range = ZERO
    noise_envelope: Range = ZERO
    burst_rate: Range = ZERO
    burst_height: Range = ZERO
    breach_share: Range | None = None


BEHAVIOURS: Final[dict[Variety, Behaviour]] = {
    Variety(Scenario.STEADY_GROWTH, Variant.NORMAL): Behaviour(
        level=(22, 42), drift=(4, 9), annual_amplitude=(2, 4), weekly_amplitude=(2, 5), noise_std=(1.5, 3)
    ),
    Variety(Scenario.STEADY_GROWTH, Variant.BREACH): Behaviour(
        level=(46, 58), drift=(12, 16), annual_amplitude=(2, 4), weekly_amplitude=(2, 5), noise_std=(1.5, 3)
    ),
    Variety(Scenario.LOW_IDLE, Variant.STABLE): Behaviour(
        level=(4, 12), weekly_amplitude=(0, 0.3), noise_std=(0.2, 0.6)
    ),
    Variety(Scenario.LOW_IDLE, Variant.VARIABLE): Behaviour(
        level=(9, 19), weekly_amplitude=(0.3, 1), noise_std=(1.6, 2.6)
    ),
    Variety(Scenario.SEASONAL, Variant.BALANCED): Behaviour(
        level=(34, 50),
        annual_amplitude=(11, 16),
        weekly_amplitude=(2, 4),
        noise_std=(1.5, 3),
        noise_envelope=(0.2, 0.4),
    ),
    Variety(Scenario.SEASONAL, Variant.EXTREME): Behaviour(
        level=(42, 52), annual_amplitude=(24, 32), weekly_amplitude=(2, 4), noise_std=(2, 4), noise_envelope=(0.4, 0.7)
    ),
    Variety(Scenario.BURST, Variant.MODERATE): Behaviour(
        level=(10, 22), weekly_amplitude=(0.5, 1.5), noise_std=(1, 2), burst_rate=(0.02, 0.03), burst_height=(20, 30)
    ),
    Variety(Scenario.BURST, Variant.EXTREME): Behaviour(
        level=(12, 24),
        weekly_amplitude=(0.5, 1.5),
        noise_std=(1.5, 2.5),
        burst_rate=(0.04, 0.06),
        burst_height=(45, 60),
    ),
    Variety(Scenario.CAPACITY_BREACH, Variant.IMMINENT): Behaviour(
        level=(22, 36), weekly_amplitude=(0.2, 0.4), noise_std=(0.3, 0.6), breach_share=(0.75, 0.98)
    ),
    Variety(Scenario.CAPACITY_BREACH, Variant.SEVERE): Behaviour(
        level=(28, 42), weekly_amplitude=(0.2, 0.4), noise_std=(0.3, 0.6), breach_share=(0.35, 0.65)
    ),
}
"""Parameter ranges of each variety, in the order of `schemas.VARIETIES`."""
