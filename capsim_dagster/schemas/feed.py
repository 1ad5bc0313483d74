"""What the refinery keeps: the table for forecasting, and an account of every file and line."""

import dataframely as dy

from capsim_dagster.schemas.faults import FileFault, LineFault
from capsim_dagster.schemas.terms import Resource


class ProcessedData(dy.Schema):
    """Analytical base table for forecasting: one row a host, resource and day."""

    ds = dy.Datetime(primary_key=True, description="The day, at midnight.")
    host_id = dy.String(primary_key=True, description="Key into hosts.")
    resource = dy.String(primary_key=True, description="cpu, memory, disk or network.")
    y = dy.Float64(
        nullable=True, min=0, max=100, description="Daily P95 utilization; null = gap.", metadata={"unit": "%"}
    )
    cap = dy.Float64(description="Ceiling for saturating growth, 100.0.", metadata={"unit": "%"})
    capacity = dy.Float64(
        nullable=True,
        min=0,
        description="Capacity of the resource; null = the feed has no such column.",
        metadata={"unit": "cores | GB | MB | Mbps by resource"},
    )


class FeedFiles(dy.Schema):
    """One row a feed file whose lines are in processed_data: lines = loaded + rejected."""

    path = dy.String(min_length=1, description="File, relative to the feed directory.")
    yearmonth = dy.Int32(primary_key=True, description="Month as YYYYMM.")
    resource = dy.String(primary_key=True, description="cpu, memory, disk or network.")
    bytes = dy.Int64(min=1, description="Size of the file.", metadata={"unit": "bytes"})
    sha256 = dy.String(min_length=64, max_length=64, description="SHA-256 of the file as loaded.")
    lines = dy.Int64(min=0, description="Physical data lines, without header and trailing blank lines.")
    loaded = dy.Int64(min=0, description="Lines loaded into processed_data.")
    rejected = dy.Int64(min=0, description="Lines in rejected_lines.")
    checksum = dy.String(description="Order-independent checksum over the rows loaded, in hexadecimal digits.")
    dialect = dy.String(description="How the file is written, as JSON: encoding, delimiter, decimal, dates, traits.")
    rules = dy.String(description="Hash of the settings and the inventory that it was read with.")
    run = dy.String(description="Run that loaded it.")
    loaded_at = dy.Datetime(description="When it was loaded, in UTC.")


class RejectedLines(dy.Schema):
    """One row a data line that is not in processed_data, with the reason."""

    path = dy.String(min_length=1, description="File, relative to the feed directory.")
    yearmonth = dy.Int32(description="Month of the file as YYYYMM.")
    resource = dy.String(description="cpu, memory, disk or network.")
    line = dy.Int64(min=1, description="Line of the file, the first is 1.")
    reason = dy.Enum([fault.value for fault in LineFault], description="Why it is not loaded.")
    column_name = dy.String(nullable=True, description="Column at fault, as the file names it; null = the whole line.")
    raw = dy.String(description="The line as it stands, at most 4,096 characters; bytes that are no text as \\xff.")
    run = dy.String(description="Run that rejected it.")


class RefusedFiles(dy.Schema):
    """One row a file that was refused as a whole; its month and resource keep their previous rows."""

    path = dy.String(min_length=1, description="File, relative to the feed directory.")
    yearmonth = dy.Int32(primary_key=True, description="Month as YYYYMM.")
    resource = dy.Enum([r.value for r in Resource], primary_key=True, description="cpu, memory, disk or network.")
    reason = dy.Enum([fault.value for fault in FileFault], description="Why it was refused.")
    detail = dy.String(description="What was found.")
    run = dy.String(description="Run that refused it.")
    refused_at = dy.Datetime(description="When it was refused, in UTC.")


class InjectedDefects(dy.Schema):
    """One row a defect that was put into a feed file on purpose: the list behind the score."""

    path = dy.String(min_length=1, description="File, relative to the feed directory.")
    line = dy.Int64(nullable=True, min=1, description="Line of the damaged file, the first is 1; null = the file.")
    kind = dy.String(description="Line fault, file fault or dialect trait.")
    original = dy.String(nullable=True, description="The line before, in the plain feed; null = an added line.")
