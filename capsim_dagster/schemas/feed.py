"""What the refinery keeps: the table for forecasting, and an account of every file and line."""

from dataclasses import replace
from typing import Final

from capsim_dagster.schemas.column import ANY_TEXT, Column, Type, percentage
from capsim_dagster.schemas.faults import FileFault, LineFault
from capsim_dagster.schemas.fleet import CAPACITY, HOST_KEY, RESOURCE_KEY

ORIGIN_FACT: Final = "feed.origin"
"""What the warehouse calls the place that its feed came from."""
OWN_FEED: Final = "capsim"
"""The origin of capsim's own feed; another's is the path of its root."""
_PATH: Final = Column("path", Type.TEXT, "File, relative to the feed directory.", pattern=ANY_TEXT)
_MONTH: Final = Column("yearmonth", Type.INT32, "Month as YYYYMM.", is_key=True)

FEED: Final = (
    Column("date", Type.DATE, "The day."),
    Column("host_id", Type.TEXT, "Key into hosts."),
    percentage("p95_util", "Daily P95 utilization; empty = gap.", "%"),
    Column("capacity", Type.INT64, "Capacity of the resource."),
)
"""The columns of a legacy feed file by the master's names; labels are settings, and the last may be absent."""

PROCESSED_DATA: Final = (
    Column("ds", Type.TIMESTAMP, "The day, at midnight.", is_key=True),
    HOST_KEY,
    RESOURCE_KEY,
    percentage("y", "Daily P95 utilization; null = gap.", "%"),
    Column("cap", Type.DOUBLE, "Ceiling for saturating growth, 100.0.", "%"),
    replace(CAPACITY, description="Capacity of the resource; null = the feed has no such column.", nullable=True),
)
"""Analytical base table for forecasting: one row a host, resource and day."""

FEED_FILES: Final = (
    _PATH,
    _MONTH,
    RESOURCE_KEY,
    Column("bytes", Type.INT64, "Size of the file.", "bytes", minimum=1),
    Column("sha256", Type.TEXT, "SHA-256 of the file as loaded.", pattern=r"^.{64}$"),
    Column("lines", Type.INT64, "Physical data lines, without header and trailing blank lines.", minimum=0),
    Column("loaded", Type.INT64, "Lines loaded into processed_data.", minimum=0),
    Column("rejected", Type.INT64, "Lines in rejected_lines.", minimum=0),
    Column("checksum", Type.TEXT, "Order-independent checksum over the rows loaded, in hexadecimal digits."),
    Column("dialect", Type.TEXT, "How the file is written, as JSON: encoding, delimiter, decimal, dates, traits."),
    Column("rules", Type.TEXT, "Hash of the settings and the inventory that it was read with."),
    Column("run", Type.TEXT, "Run that loaded it."),
    Column("loaded_at", Type.TIMESTAMP, "When it was loaded, in UTC."),
)
"""One row a feed file whose lines are in processed_data: lines = loaded + rejected."""

REJECTED_LINES: Final = (
    _PATH,
    Column("yearmonth", Type.INT32, "Month of the file as YYYYMM."),
    replace(RESOURCE_KEY, is_key=False),
    Column("line", Type.INT64, "Line of the file, the first is 1.", minimum=1),
    Column("reason", Type.TEXT, "Why it is not loaded.", values=tuple(LineFault)),
    Column("column_name", Type.TEXT, "Column at fault, as the file names it; null = the whole line.", nullable=True),
    Column("raw", Type.TEXT, "The line as it stands, at most 4,096 characters; bytes that are no text as \\xff."),
    Column("run", Type.TEXT, "Run that rejected it."),
)
"""One row a data line that is not in processed_data, with the reason."""

REFUSED_FILES: Final = (
    _PATH,
    _MONTH,
    RESOURCE_KEY,
    Column("reason", Type.TEXT, "Why it was refused.", values=tuple(FileFault)),
    Column("detail", Type.TEXT, "What was found."),
    Column("run", Type.TEXT, "Run that refused it."),
    Column("refused_at", Type.TIMESTAMP, "When it was refused, in UTC."),
)
"""One row a file that was refused as a whole; its month and resource keep their previous rows."""

INJECTED_DEFECTS: Final = (
    _PATH,
    Column("line", Type.INT64, "Line of the damaged file, the first is 1; null = the file.", nullable=True, minimum=1),
    Column("kind", Type.TEXT, "Line fault, file fault or dialect trait."),
    Column("original", Type.TEXT, "The line before, in the plain feed; null = an added line.", nullable=True),
)
"""One row a defect that was put into a feed file on purpose: the list behind the score."""
