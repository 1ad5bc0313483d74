"""What must hold of a panel: each claim by the name that its findings and checks have, in one sentence.

The same claim about a panel that was made and about one that is loaded has the same name and sentence.
"""

from collections.abc import Mapping
from typing import Final

SHAPE: Final = "panel_has_one_row_per_server_day"
MISSING: Final = "missing_share_is_within_limit"
RANGE: Final = "values_are_within_range"
CALENDAR: Final = "calendar_effects_match_settings"
PARITY: Final = "row_parity"
_OF_ANY: Final = {
    RANGE: "Every value is a finite number within the range of its metric",
    MISSING: "No metric lacks more of its values than it may",
}
"""Of a panel that was made and of one that is loaded."""
MADE: Final[Mapping[str, str]] = {
    SHAPE: "One row for each server x day, in order",
    MISSING: _OF_ANY[MISSING],
    RANGE: _OF_ANY[RANGE],
    CALENDAR: "Weekends and holidays are quieter and quarter ends busier, as far as is set, by region and metric",
    PARITY: "Each metric that shows a resource has the content of the master",
}
"""Of a panel that capsim made; it is not saved if one does not hold that can be judged by itself."""
LOADED: Final[Mapping[str, str]] = {
    "file_is_readable": "The file is whole, and Parquet",
    "folder_holds_panels_only": "Beside it lie panels only; a stray file is not read, whatever its age",
    "columns_are_complete": "It has every column that the settings name",
    "columns_are_known": "It has no further columns; those are kept",
    "expectation_is_known": "Its footer, its name or the settings say what it must hold",
    "types_are_right_or_repaired": "Each column has its type, or could be given it without loss",
    "keys_are_unique": "Each server has each day at most once; exact copies are dropped",
    "identity_is_filled": "Each row says which server, day, business unit, region and criticality",
    "identity_is_constant": "No server changes its business unit, region or criticality",
    **_OF_ANY,
    "servers_as_expected": "Every server that it must hold is there",
    "history_is_long_enough": "It spans as many days as it must",
    "days_as_expected": "It reaches from the first to the last day that it must hold",
    "days_are_contiguous": "No server lacks more days, or more in a row, than it may",
}
"""Of a panel that is loaded, whoever made it."""


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
