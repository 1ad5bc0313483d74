"""The ten behavioural varieties: from which ranges the parameters of a host's series are drawn.

Numbers only, for a metric of `TYPICAL_MEAN`; drawing them is in `parameters`, the formulas are in `components`. All
rates are per day or per year, so that nothing knows how long the window is.
"""

from dataclasses import dataclass
from typing import Final

from capsim_dagster.schemas import Scenario, Variant, Variety

Range = tuple[float, float]
"""Lowest (inclusive) and highest (exclusive) value of a uniform draw."""

ZERO: Final[Range] = (0.0, 0.0)
"""The component is absent."""
TYPICAL_MEAN: Final = 40.0
"""The `base_mean` for which the ranges are stated [%]; those of another metric scale with it."""
SIDE_RISE: Final[Range] = (0.45, 0.7)
"""How far the resources that are not limiting rise, as a share of their way to the threshold."""
LIMITING_NOISE: Final[Range] = (0.06, 0.12)
"""Noise of the limiting resource: little, as it is what fills up steadily, and so that its crossing has a date."""


@dataclass(frozen=True)
class Behaviour:
    """How the series of one variety look, for a metric of `TYPICAL_MEAN`.

    Attributes:
        level: Utilization on the first day [%].
        noise: Day-to-day noise, as a multiple of the metric's `base_std`.
        drift: Growth [% points a year].
        annual_amplitude: Half the swing of the annual season [% points].
        burst_rate: Chance that a burst starts on a day, 0 to 0.125.
        burst_height: Height of a burst [% points].
        breach_share: When the threshold is reached, as a share of the scenario horizon; absent = never on purpose.
    """

    level: Range
    noise: Range
    drift: Range = ZERO
    annual_amplitude: Range = ZERO
    burst_rate: Range = ZERO
    burst_height: Range = ZERO
    breach_share: Range | None = None


BEHAVIOURS: Final[dict[Variety, Behaviour]] = {
    Variety(Scenario.STEADY_GROWTH, Variant.NORMAL): Behaviour(level=(18, 42), noise=(0.7, 1.3), drift=(4.5, 8)),
    Variety(Scenario.STEADY_GROWTH, Variant.BREACH): Behaviour(level=(41, 61), noise=(0.7, 1.3), drift=(13, 17)),
    Variety(Scenario.LOW_IDLE, Variant.STABLE): Behaviour(level=(2, 23), noise=(0.08, 0.2)),
    Variety(Scenario.LOW_IDLE, Variant.VARIABLE): Behaviour(level=(4, 25), noise=(0.9, 1.3)),
    Variety(Scenario.SEASONAL, Variant.BALANCED): Behaviour(
        level=(28, 52), noise=(0.7, 1.3), annual_amplitude=(9.5, 14)
    ),
    Variety(Scenario.SEASONAL, Variant.EXTREME): Behaviour(level=(35, 58), noise=(0.9, 1.6), annual_amplitude=(22, 27)),
    Variety(Scenario.BURST, Variant.MODERATE): Behaviour(
        level=(8, 30), noise=(0.5, 0.9), burst_rate=(0.02, 0.03), burst_height=(18, 28)
    ),
    Variety(Scenario.BURST, Variant.EXTREME): Behaviour(
        level=(8, 30), noise=(0.6, 1.1), burst_rate=(0.045, 0.06), burst_height=(42, 60)
    ),
    Variety(Scenario.CAPACITY_BREACH, Variant.IMMINENT): Behaviour(
        level=(18, 40), noise=(0.3, 0.6), breach_share=(0.75, 0.98)
    ),
    Variety(Scenario.CAPACITY_BREACH, Variant.SEVERE): Behaviour(
        level=(20, 46), noise=(0.3, 0.6), breach_share=(0.35, 0.65)
    ),
}
"""Parameter ranges of each variety, in the order of `schemas.VARIETIES`."""
