"""The enumerations and names that tables, settings and reports share."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Scenario(StrEnum):
    """The behaviour of a host; with a `Variant` it makes one of ten varieties."""

    STEADY_GROWTH = "STEADY_GROWTH"
    LOW_IDLE = "LOW_IDLE"
    SEASONAL = "SEASONAL"
    BURST = "BURST"
    CAPACITY_BREACH = "CAPACITY_BREACH"


class Variant(StrEnum):
    """The common or the rare form of a scenario."""

    NORMAL = "NORMAL"
    BREACH = "BREACH"
    STABLE = "STABLE"
    VARIABLE = "VARIABLE"
    BALANCED = "BALANCED"
    EXTREME = "EXTREME"
    MODERATE = "MODERATE"
    IMMINENT = "IMMINENT"
    SEVERE = "SEVERE"


class EventKind(StrEnum):
    """What happens to a series on some days, as the truth labels it."""

    BURST = "burst"
    SPIKE = "spike"
    DIP = "dip"
    LEVEL_SHIFT = "level_shift"
    VARIANCE_CHANGE = "variance_change"
    MISSING = "missing"
    OUTAGE = "outage"
    AGENT_DOWN = "agent_down"


ANOMALY_KINDS: Final = (EventKind.SPIKE, EventKind.DIP, EventKind.LEVEL_SHIFT, EventKind.VARIANCE_CHANGE)
"""Events that count as anomalous days; a burst is how its host behaves."""
GAP_KINDS: Final = (EventKind.MISSING, EventKind.OUTAGE, EventKind.AGENT_DOWN)
"""Events that leave days without a value."""


@dataclass(frozen=True, order=True)
class Variety:
    """One of the ten behavioural varieties: a scenario in its common or its rare variant."""

    scenario: Scenario
    variant: Variant

    def __str__(self) -> str:
        """Return `SCENARIO/VARIANT`, as shown in reports."""
        return f"{self.scenario}/{self.variant}"


VARIANTS: Final[dict[Scenario, tuple[Variant, Variant]]] = {
    Scenario.STEADY_GROWTH: (Variant.NORMAL, Variant.BREACH),
    Scenario.LOW_IDLE: (Variant.STABLE, Variant.VARIABLE),
    Scenario.SEASONAL: (Variant.BALANCED, Variant.EXTREME),
    Scenario.BURST: (Variant.MODERATE, Variant.EXTREME),
    Scenario.CAPACITY_BREACH: (Variant.IMMINENT, Variant.SEVERE),
}
"""The common and the rare variant of each scenario."""

VARIETIES: Final[tuple[Variety, ...]] = tuple(
    Variety(scenario, variant) for scenario, variants in VARIANTS.items() for variant in variants
)
"""The ten varieties; hosts 1 to 10 hold them in this order."""

FULL_UTILIZATION: Final = 100.0
"""Highest possible utilization [%], and the ceiling of saturating growth."""

HOST_ID_DIGITS: Final = 6
"""Zero-padding of the host number; longer numbers simply get longer, so ids never collide."""

HOST_ID_PATTERN: Final = r"^srv-\d{6,}$"
"""What a host id looks like."""


def host_id(number: int) -> str:
    """Return the stable id of the host with this number (1 and up).

    >>> host_id(7), host_id(1_234_567)
    ('srv-000007', 'srv-1234567')
    """
    return f"srv-{number:0{HOST_ID_DIGITS}d}"


def is_readable_host(host: str) -> bool:
    """Return whether a reader can see every character of a host's name: the same rule for feeds and for panels."""
    return host.isprintable()
