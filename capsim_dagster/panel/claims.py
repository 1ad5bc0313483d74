"""What must hold of any panel, made or loaded: names of claims, whose sentences are in `audits.claims`."""

from collections.abc import Mapping
from typing import Final

SHAPE: Final = "panel_has_one_row_per_server_day"
MISSING: Final = "missing_share_is_within_limit"
RANGE: Final = "values_are_within_range"
CALENDAR: Final = "calendar_effects_match_settings"
PARITY: Final = "row_parity"


def lacks(missing: Mapping[str, tuple[int, int]], limit: float) -> list[str]:
    """Return which metrics lack more values than they may; one without any value does whatever the limit.

    Args:
        missing: Missing values and rows of each.
        limit: Share of its values that a metric may lack, 0 to 1.
    """
    return [
        f"{name} has no value at all"
        if count == rows
        else f"{name} lacks {count / rows:.2%} of its {rows:,} values, at most {limit:.2%} may be missing"
        for name, (count, rows) in missing.items()
        if count == rows or count > limit * rows
    ]
