"""Refusal of a whole feed file: the fault, what was found, and what to do about it."""

from typing import Final

from capsim_dagster.errors import FeedError
from capsim_dagster.schemas import FileFault

REMEDIES: Final[dict[FileFault, str]] = {
    FileFault.MISSING: "fetch the file, or take its resource out of refinery.resources",
    FileFault.UNREADABLE: "let this user read the file, or fetch it again",
    FileFault.EMPTY: "fetch the file again",
    FileFault.UNREADABLE_GZIP: "fetch the file again: a part of it is missing",
    FileFault.NOT_CSV: "save it as text (CSV), not as a spreadsheet or archive",
    FileFault.NO_USABLE_HEADER: "mend the header, delete what stands before it, or name its labels in legacy_feed",
    FileFault.AMBIGUOUS: "keep one of them and move the other out of the feed",
    FileFault.DUPLICATE_FILE: "put the right file in place of the copy",
    FileFault.ANOTHER_MONTH: "put the file under the name of its own month",
    FileFault.UNLIKE_MASTER: "write the feed again by materializing monthly_csv for this month; where "
    "it is dirty on purpose, let conflicting_duplicates and unterminated_last_line of refinery reject",
    FileFault.TOO_MANY_REJECTED: "mend the file, or load its sound lines: --allow-partial, or a higher "
    "refinery.max_rejected_share or max_rejected_lines",
    FileFault.TOO_LARGE: "look what the file is; if it is right, set refinery.max_text_mb higher, or unpack it",
    FileFault.CHANGED: "wait until nobody writes it, and run it again",
}
"""What to do about each fault."""


class FileRefused(FeedError):  # noqa: N818 what happened to the file; the month's error is a FeedError
    """A feed file cannot be used as a whole.

    Attributes:
        fault: What is wrong with it.
    """

    def __init__(self, fault: FileFault, found: str) -> None:
        """Join what was found and the remedy for such a fault."""
        super().__init__(found, remedy=REMEDIES[fault])
        self.fault = fault
