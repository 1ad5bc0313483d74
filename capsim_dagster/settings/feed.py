"""Settings of the legacy feed, of the defects that may be put into it, and of the refinery that reads it."""

import datetime as dt
import re
import string
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from capsim_dagster.schemas import FULL_UTILIZATION, DialectTrait, FileFault, LineFault, Resource
from capsim_dagster.settings.sections import FloatRange, Section, require_all, require_distinct

LAYOUT_FIELDS: Final = ("prefix", "yearmonth", "year", "month")
"""What may stand in braces in the layout of the feed."""
_SAMPLE_DAY: Final = dt.date(2001, 12, 31)
_SAMPLE: Final = {"prefix": "p", "yearmonth": "202401", "year": "2024", "month": "01"}
DEFAULT_DIRT: Final = {"line_share": 0.005, "truncated_share": 0.1, "dialect_share": 0.5}
"""The shares of `capsim run --dirty`: every kind of bad line and of dialect, and no month beyond the allowed share."""
MAX_LINE_SHARE: Final = 0.2
"""Beyond it hardly a line has sound neighbours."""

_COMPRESSED_SUFFIX: Final = ".gz"

Label = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
"""A column label; compared without regard to case and padding."""
INJECTED_TRAITS: Final = tuple(
    trait
    for trait in DialectTrait
    if trait not in {DialectTrait.OTHER_DELIMITER, DialectTrait.HEADER_ALIAS, DialectTrait.NO_FINAL_NEWLINE}
)
"""Dialects that capsim can write itself; the rest are the user's own labels and tools."""
INJECTED_FILE_FAULTS: Final = tuple(
    fault
    for fault in FileFault
    if fault
    not in {
        FileFault.UNREADABLE,
        FileFault.AMBIGUOUS,
        FileFault.UNLIKE_MASTER,
        FileFault.TOO_MANY_REJECTED,
        FileFault.TOO_LARGE,
        FileFault.CHANGED,
    }
)
"""File faults that capsim can make itself; the rest are of the system, of names, and of the lines."""
INJECTED_LINE_FAULTS: Final = tuple(fault for fault in LineFault if fault is not LineFault.TRUNCATED_LINE)
"""Line faults drawn line by line; a truncated line can only be the last one and is drawn by file."""


def _is_readable(date_format: str) -> bool:
    """Return whether a day that is written by a format can be read by it again."""
    try:
        text = _SAMPLE_DAY.strftime(date_format)
        return dt.datetime.strptime(text, date_format).date() == _SAMPLE_DAY  # noqa: DTZ007 days have no zone
    except (ValueError, re.error):
        return False


def _layout_problem(layout: str) -> str:
    """Return why a layout does not name each file of a feed, as one path and no other; empty = it does."""
    try:
        parts = [part for part in string.Formatter().parse(layout) if part[1] is not None]
    except ValueError as error:
        return str(error)
    fields = {name for _, name, _, _ in parts}
    if not fields <= set(LAYOUT_FIELDS) or any(spec or conversion for _, _, spec, conversion in parts):
        return f"fields are {{{'}, {'.join(LAYOUT_FIELDS)}}}, just so"
    if "prefix" not in fields or not ("yearmonth" in fields or {"year", "month"} <= fields):
        return "it must name {prefix}, and {yearmonth} or {year} and {month}"
    path = layout.format(**_SAMPLE)
    folders = path.split("/")
    is_plain = path.isprintable() and PurePosixPath(path).as_posix() == path
    if not is_plain or path.startswith("/") or any(folder.startswith(".") for folder in folders):
        return "it must be a path under the feed directory, without hidden files, . and .."
    return f"{_COMPRESSED_SUFFIX} may follow and is not a part of it" if path.endswith(_COMPRESSED_SUFFIX) else ""


def _cuts_fields(delimiter: str) -> bool:
    """Return whether a character can stand between fields: it is in no number, and one byte that is no line end."""
    return delimiter == "\t" or (
        delimiter.isascii() and delimiter.isprintable() and not delimiter.isalnum() and delimiter not in '"+-._'
    )


class FeedColumns(Section):
    """File name and column labels of one resource in the legacy feed."""

    file_prefix: str = Field(pattern=r"^[A-Za-z0-9_ -][A-Za-z0-9._ -]*$", description="What the layout calls {prefix}.")
    value_column: Label = Field(description="Label of the utilization.")
    capacity_column: Label | None = Field(description="Label of the capacity; null = the feed has none.")
    range: FloatRange = Field(
        default=(0.0, FULL_UTILIZATION), description="Allowed utilization, both ends included [%]."
    )

    @field_validator("range")
    @classmethod
    def _range_is_of_percentages(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[0] < 0 or bounds[1] > FULL_UTILIZATION:
            raise ValueError(f"found [{bounds[0]:g}, {bounds[1]:g}]; utilization lies between 0 and 100 percent")
        return bounds


class Defects(Section):
    """Dirt that is put into capsim's own feed; all shares 0 = a clean feed."""

    seed: int = Field(default=4, ge=0, lt=2**63, description="Seed of the draws.")
    line_share: float = Field(default=0, ge=0, le=MAX_LINE_SHARE, description="Share of data lines with a fault.")
    truncated_share: float = Field(default=0, ge=0, le=1, description="Share of files whose last line is cut off.")
    dialect_share: float = Field(default=0, ge=0, le=1, description="Share of files written in another dialect.")
    file_share: float = Field(default=0, ge=0, le=1, description="Share of files that are damaged as a whole.")
    line_faults: dict[LineFault, Annotated[float, Field(ge=0)]] = Field(
        default=dict.fromkeys(INJECTED_LINE_FAULTS, 1.0), description="Relative weight by kind; absent = never."
    )
    dialects: dict[DialectTrait, Annotated[float, Field(ge=0)]] = Field(
        default=dict.fromkeys(INJECTED_TRAITS, 1.0), description="Relative weight by trait; absent = never."
    )
    file_faults: dict[FileFault, Annotated[float, Field(ge=0)]] = Field(
        default=dict.fromkeys(INJECTED_FILE_FAULTS, 1.0), description="Relative weight by kind; absent = never."
    )

    @property
    def is_clean(self) -> bool:
        """Whether nothing is damaged at all."""
        return not (self.line_share or self.truncated_share or self.dialect_share or self.file_share)

    @model_validator(mode="after")
    def _kinds_can_be_made(self) -> Self:
        for name, chosen, possible in (
            ("line_faults", self.line_faults, INJECTED_LINE_FAULTS),
            ("dialects", self.dialects, INJECTED_TRAITS),
            ("file_faults", self.file_faults, INJECTED_FILE_FAULTS),
        ):
            strange = [kind.value for kind in chosen if kind not in possible]
            if strange:
                known = ", ".join(kind.value for kind in possible)
                raise ValueError(f"{name}: {', '.join(strange)} cannot be injected; possible are {known}")
        return self

    @model_validator(mode="after")
    def _shares_have_kinds(self) -> Self:
        for share, weights, name in (
            (self.line_share, self.line_faults.values(), "line_faults"),
            (self.dialect_share, self.dialects.values(), "dialects"),
            (self.file_share, self.file_faults.values(), "file_faults"),
        ):
            if share and not sum(weights):
                raise ValueError(f"{name} has no kind with a weight above 0, but a share of {share:g} is to have one")
        return self


class LegacyFeed(Section):
    """The legacy CSV contract: how files are named, and what their lines hold."""

    layout: str = Field(
        default="{year}/{month}/{prefix}_{yearmonth}.csv",
        description="Path of a file under the feed directory; .gz may follow. {prefix}, {year}, {month}, {yearmonth}.",
    )
    date_columns: tuple[Label, ...] = Field(min_length=1, description="Labels of the day; capsim writes the first.")
    host_columns: tuple[Label, ...] = Field(min_length=1, description="Labels of the host; capsim writes the first.")
    date_formats: tuple[str, ...] = Field(
        min_length=1, description="strptime formats; each file has one. capsim writes the first."
    )
    null_values: tuple[str, ...] = Field(description="Spellings of no value, in any case; they are gaps.")
    delimiters: tuple[Annotated[str, Field(min_length=1, max_length=1)], ...] = Field(
        min_length=1, description="Candidates; capsim writes the first."
    )
    decimal_signs: tuple[Literal[".", ","], ...] = Field(min_length=1, description="Candidates.")
    resources: dict[Resource, FeedColumns]
    defects: Defects = Defects()

    @field_validator("layout")
    @classmethod
    def _layout_names_each_file(cls, layout: str) -> str:
        problem = _layout_problem(layout)
        if problem:
            raise ValueError(f"found {layout!r}: {problem}; e.g. {{year}}/{{month}}/{{prefix}}_{{yearmonth}}.csv")
        return layout

    @field_validator("date_formats")
    @classmethod
    def _formats_name_the_day(cls, formats: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [text for text in formats if not _is_readable(text)]
        if wrong:
            raise ValueError(f"found {', '.join(map(repr, wrong))}; a format names year, month and day, e.g. %Y-%m-%d")
        return formats

    @field_validator("delimiters")
    @classmethod
    def _delimiters_cut_fields(cls, delimiters: tuple[str, ...]) -> tuple[str, ...]:
        wrong = [text for text in delimiters if not _cuts_fields(text)]
        if wrong:
            raise ValueError(
                f"found {', '.join(map(repr, wrong))}; a delimiter is a tab, a blank or an ASCII sign other than "
                "the quote and + - . _"
            )
        return delimiters

    @model_validator(mode="after")
    def _files_are_distinct(self) -> Self:
        require_all(self.resources, Resource, "resources")
        require_distinct("resources", "file_prefix", [columns.file_prefix for columns in self.resources.values()])
        for resource, columns in self.resources.items():
            labels = [*self.date_columns, *self.host_columns, columns.value_column]
            labels += [columns.capacity_column] if columns.capacity_column else []
            require_distinct(f"the header of {resource}", "label", [label.strip().casefold() for label in labels])
        return self


class Refinery(Section):
    """How a feed is read into `processed_data`."""

    feed_dir: Path | None = Field(default=None, description="Root of a feed that capsim did not write; null = its own.")
    inventory: Path | None = Field(default=None, description="CSV of the hosts that may occur; null = any host.")
    resources: tuple[Resource, ...] = Field(
        default=tuple(Resource), min_length=1, description="Resources that each month must have."
    )
    max_rejected_share: float = Field(
        default=0.01, ge=0, le=1, description="Share of a month's lines that may be rejected before it is refused."
    )
    max_rejected_lines: int = Field(
        default=100_000, ge=0, description="Lines of a file that may be rejected before it is refused, read no further."
    )
    max_text_mb: float = Field(
        default=2_048, gt=0, description="Text of a file, unpacked, beyond which it is refused, read no further [MiB]."
    )
    allow_partial: bool = Field(default=False, description="Load what is sound of a month that is refused otherwise.")
    conflicting_duplicates: Literal["reject", "first", "last"] = Field(
        default="reject", description="Which of several different lines of one host and day is loaded."
    )
    unterminated_last_line: Literal["reject", "accept"] = Field(
        default="reject", description="What becomes of a last line without an end: it may be cut off."
    )

    @field_validator("resources")
    @classmethod
    def _resources_are_distinct(cls, resources: tuple[Resource, ...]) -> tuple[Resource, ...]:
        require_distinct("resources", "resource", [resource.value for resource in resources])
        return resources
