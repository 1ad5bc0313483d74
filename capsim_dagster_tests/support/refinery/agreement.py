"""A file read the fast way and the exact one, and whether they agree."""

import csv
import datetime as dt
import re
from pathlib import Path
from typing import Final

from capsim_dagster.refinery.dialect import Dialect, read_header
from capsim_dagster.refinery.rules import FileRefused, ReadRules
from capsim_dagster.schemas import FileFault
from capsim_dagster_tests.support.refinery.exact_reading import ExactReading, data_lines, physical_lines, read_exactly
from capsim_dagster_tests.support.refinery.readings import JANUARY, Reading, Said, read_path, written

HOSTILE_FIELDS: Final = [
    "", " ", "NULL", "null", "x", "0", "-1", "-0.5", "100.5", "101", "nan", "inf", "1e400", "1_0", " 5", "1,5", "1.5",
    "2024-01-01", "2024-01-32", "2024-02-01", "2024-1-1", "01/01/2024", "\ufeff2024-01-01", "\ufeffsrv-1", " srv-1",
    "NA", "srv-9", "a\u200bb", "a\0b", "\0", "a\r", "a\rb", '"', 'a"b', '"a""b"', '"a|b"', ' "1" ', '"1"2',
    '"2024-01-01"', '"1|2"', '"|"', '""', '""""', chr(0xDC80), "a|b", "|",
]  # fmt: skip
"""A bar stands for the delimiter."""


def read_both(folder: Path, text: bytes, packed: bytes, rules: ReadRules) -> tuple[Reading, ExactReading] | None:
    """Read a file both ways; None = it was refused, and rightly so."""
    try:
        reading = read_path(written(folder, packed), rules)
    except FileRefused as refused:
        if is_refused_rightly(refused.fault, text, rules):
            return None
        raise
    return reading, read_exactly(text, rules, reading.dialect)


def is_refused_rightly(fault: FileFault, text: bytes, rules: ReadRules) -> bool:
    """Return whether a file that had a usable header must be refused."""
    header = next(line for line, _ in physical_lines(text) if line.strip())
    if b"\r" in header.strip():
        return fault in {FileFault.NO_USABLE_HEADER, FileFault.NOT_CSV}
    if not data_lines(text):
        return fault == FileFault.EMPTY
    understood = read_header(header, rules.feed, JANUARY.resource)
    dialects = [Dialect(understood, ".", text, "utf-8", frozenset()) for text in rules.feed.date_formats]
    readings = [read_exactly(text, rules, dialect) for dialect in dialects]
    return fault == FileFault.ANOTHER_MONTH and any(is_mostly_of_another_month(reading) for reading in readings)


def is_mostly_of_another_month(reading: ExactReading) -> bool:
    outside = [reason for reason, _ in reading.faults.values() if reason == "outside_month"]
    return len(outside) * 2 > len(reading.raw)


def assert_line_says(line: str, reading: Reading, rules: ReadRules, said: Said) -> None:
    """Make sure, with the reader of the standard library, that a row is what the text of its line says."""
    dialect, (day, host, util, capacity) = reading.dialect, said
    delimiter = dialect.header.delimiter
    spaced = re.sub(rf"(?!{delimiter})\s", " ", line)
    fields = [field.strip() for field in next(csv.reader([spaced], delimiter=delimiter, skipinitialspace=True))]
    texts = [fields[index] for index in dialect.header.columns]
    assert dt.datetime.strptime(texts[0], dialect.date_format).strftime("%Y%m %d") == f"202401 {day:02d}"  # noqa: DTZ007
    assert texts[1] == host
    if util is None:
        assert texts[2].casefold() in rules.null_values
    else:
        assert float(texts[2].replace(dialect.decimal, ".")) == util
    assert float(texts[3].replace(dialect.decimal, ".")) == capacity


def assert_readings_agree(text: bytes, reading: Reading, exact: ExactReading, rules: ReadRules) -> None:
    # As text, which tells 0 from -0.
    assert repr(reading.rows) == repr(exact.rows)
    assert reading.faults == exact.faults
    assert reading.lines == len(exact.raw) == len(reading.rows) + len(reading.faults)
    assert sorted([*reading.rows, *reading.faults]) == list(exact.raw) == list(data_lines(text))
    assert not is_mostly_of_another_month(exact)
    for number, said in reading.rows.items():
        assert_line_says(exact.raw[number].decode(), reading, rules, said)
    for number, shown in reading.raw.items():
        assert shown == exact.raw[number].decode("utf-8", "backslashreplace")
