"""The exceptions that capsim raises on purpose.

Each message says what was expected, what was found (a count, then at most five examples) and what to do. A
command prints it as one block; a traceback means a defect in capsim.

    CapsimError
    ├── SettingsError       a setting is unknown, contradictory or out of range
    ├── WarehouseError      the DuckDB file is missing, locked or of an older schema, or rows break the rules of a table
    ├── MasterError         the master Parquet is missing, torn or made with other settings
    ├── TruthError          the ground truth is missing, torn or made with other settings
    ├── StorageError        a folder or bucket cannot be reached, read or written
    ├── PanelError          a server-metrics panel is missing, unreadable or fails its validation
    ├── PublicationError    a day of the archive or a published dataset is not as it must be
    ├── FeedError           a feed file is missing, renamed, truncated or unreadable
    │   └── FileRefused     one file, with its fault (refinery.rules); a month collects them
    ├── PartitionError      a month lies outside the calendar
    └── GateError           a hard invariant does not hold: nothing was published
"""

from collections.abc import Iterable

from capsim_dagster.text import visible, visible_lines

MAX_EXAMPLES = 5
"""Examples shown in a message: enough to see the pattern, few enough to read."""


class CapsimError(Exception):
    """A failure that a user can act on.

    Attributes:
        found: What was found, without the remedy.
        remedy: The next thing to do.
    """

    def __init__(self, found: str, *, remedy: str) -> None:
        """Join what was found and the remedy into the message; what cannot be seen in them is spelled out."""
        self.found = visible_lines(found)
        self.remedy = visible_lines(remedy)
        super().__init__(f"{self.found}\n  -> {self.remedy}")


class SettingsError(CapsimError):
    """A setting is unknown, contradictory or out of range."""


class WarehouseError(CapsimError):
    """The DuckDB warehouse is missing, locked by another process or of an older schema, or rows break its rules."""


class MasterError(CapsimError):
    """The master Parquet file is missing, torn or made with other settings."""


class TruthError(CapsimError):
    """The ground truth is missing, torn or made with other settings."""


class StorageError(CapsimError):
    """A folder or an object store cannot be reached, read or written, or another writer was faster."""


class PanelError(CapsimError):
    """A server-metrics panel is missing, unreadable or fails its validation."""


class PublicationError(CapsimError):
    """A day of the archive or a published dataset is missing, incomplete, damaged or may not be made."""


class FeedError(CapsimError):
    """A legacy feed file is missing, renamed, truncated or holds something unreadable."""


class PartitionError(CapsimError):
    """A month lies outside the calendar."""


class GateError(CapsimError):
    """A hard invariant does not hold, so nothing was published."""


def listed(examples: Iterable[object]) -> str:
    """Join at most five examples for a message and say how many more there are.

    >>> listed(["a", "b"])
    'a, b'
    >>> listed(range(7))
    '0, 1, 2, 3, 4 and 2 more'
    """
    items = [visible(example) for example in examples]
    shown = ", ".join(items[:MAX_EXAMPLES])
    hidden = len(items) - MAX_EXAMPLES
    return f"{shown} and {hidden} more" if hidden > 0 else shown


def plural(count: int, noun: str, many: str = "") -> str:
    """Return a count with its noun.

    `many`: several of them, where that is not the noun with an s.

    >>> plural(1, "check"), plural(2_000, "check"), plural(0, "month has", "months have")
    ('1 check', '2,000 checks', '0 months have')
    """
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"
