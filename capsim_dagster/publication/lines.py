"""The lines of hour files while a dataset is made of them: which are samples, and the columns that they make.

An hour is read at once by a fast JSON reader. Where that fails, or a single value breaks a rule, the hour is read line
by line, which tells which lines are no samples and why. What has the form of a sample here is judged by the rules of
`tier3.rules`, both ways.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model

from capsim_dagster.publication.dataset.export import Site
from capsim_dagster.publication.dataset.manifest import SourceFile
from capsim_dagster.publication.dataset.rules import Rows
from capsim_dagster.publication.hour_files import ArchiveHour, count_lines, read_hour
from capsim_dagster.publication.tier3.columns import HOUR_SCHEMA, NUMBERS, SCHEMA
from capsim_dagster.publication.tier3.rules import SAMPLE_RULES, LineRule
from capsim_dagster.publication.tier3.tally import SECONDS_PER_HOUR, DayTally

_REPEATED: Final = "the host and time of a line before it"
_TS_PATTERN: Final = r"^(19[7-9]\d|2[01]\d\d)-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
_BLOCK_BYTES: Final = 1 << 20
_LINE_END, _OPENING_BRACE, _BRACE = b"\n{}"
_META: Final = pa.struct([("interval_s", pa.int32()), ("agent", pa.string()), ("seq", pa.int64())])
_LINE_SCHEMA: Final = pa.schema(
    [("host_id", pa.string()), ("ts", pa.string()), *((name, pa.float64()) for name in NUMBERS), ("meta", _META)]
)


@dataclass(frozen=True)
class RejectedLine:
    """A line that is no sample: its number in the file, 1 and up, and what is wrong with it."""

    line: int
    reason: str


@dataclass(frozen=True)
class ParsedHour:
    """The samples of an hour file by `HOUR_SCHEMA`, in the order of its lines, and the lines that are none.

    `numbers` are the lines of the samples; None = every line is one.
    """

    rows: pa.Table
    numbers: Sequence[int] | None
    rejected: Sequence[RejectedLine]

    def refused(self, repeated: NDArray[np.bool_]) -> list[RejectedLine]:
        """Return the lines that are no sample of their own, in order; `repeated` are such rows, shape `(rows,)`."""
        numbers = self.numbers or range(1, self.rows.num_rows + 1)
        again = [RejectedLine(numbers[index], _REPEATED) for index in np.flatnonzero(repeated).tolist()]
        return sorted([*self.rejected, *again], key=lambda line: line.line)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _real_time(text: str) -> str:
    dt.datetime.fromisoformat(text)
    return text


class _Meta(_Strict):
    interval_s: int = Field(ge=-(2**31), lt=2**31)
    agent: str
    seq: int = Field(ge=-(2**63), lt=2**63)


class _Key(_Strict):
    host_id: str
    ts: Annotated[str, Field(pattern=_TS_PATTERN), AfterValidator(_real_time)]


_VALUES: Final[dict[str, Any]] = dict.fromkeys(NUMBERS, (float | None, None))
_Sample: Final = create_model("_Sample", __base__=_Key, **_VALUES, meta=(_Meta, ...))
"""The form of a line of the archive."""


def parse_lines(text: bytes, hour: int, rule: LineRule) -> ParsedHour:
    """Return the samples of the unpacked file of an hour, 0 to 23, and the lines that are none."""
    rows = _read_at_once(text, hour, rule) if _is_plain(text) else None
    return _read_by_line(text, hour, rule) if rows is None else ParsedHour(rows, None, ())


def _is_plain(text: bytes) -> bool:
    """Whether each line is one object that holds one other, at its end, as writers of the archive have it.

    The fast reader takes several values in a line for several rows, and a null outside of an object crashes it.
    """
    if not (text.startswith(b"{") and text.endswith(b"}}\n")):
        return False
    characters = np.frombuffer(text, dtype=np.uint8)
    ends = np.flatnonzero(characters == _LINE_END)
    closed = (characters[ends - 1] == _BRACE) & (characters[ends - 2] == _BRACE)
    opened = characters[ends[:-1] + 1] == _OPENING_BRACE
    return bool(closed.all() and opened.all() and np.count_nonzero(characters == _BRACE) == 2 * ends.size)


def _read_at_once(text: bytes, hour: int, rule: LineRule) -> pa.Table | None:
    """Return the rows of an hour; None = not every line is a sample."""
    try:
        lines = pj.read_json(
            pa.BufferReader(text),
            parse_options=pj.ParseOptions(explicit_schema=_LINE_SCHEMA, unexpected_field_behavior="error"),
            read_options=pj.ReadOptions(use_threads=False, block_size=min(_BLOCK_BYTES, len(text))),
        )
        rows = _columns(lines.combine_chunks(), hour)
    except pa.ArrowException:
        return None
    if rows is None:
        return None
    looked_at = Rows(rows)
    return None if any(each.breaks(looked_at, rule).any() for each in SAMPLE_RULES) else rows


def _columns(lines: pa.Table, hour: int) -> pa.Table | None:
    """Return lines as columns of the dataset; None = a time has another form, or a value is missing."""
    meta = lines["meta"].combine_chunks()
    texts = {"host_id": lines["host_id"], "ts": lines["ts"], "agent_version": pc.struct_field(meta, "agent")}
    encoded: dict[str, Any] = {name: _encoded(column) for name, column in texts.items()}
    if not pc.all(pc.match_substring_regex(encoded["ts"].dictionary, _TS_PATTERN)).as_py():
        return None
    times = encoded["ts"].dictionary.cast(SCHEMA.field("ts").type)
    found = {name: lines[name] for name in NUMBERS} | {
        "ts": times.take(encoded["ts"].indices),
        "host_id": encoded["host_id"],
        "agent_version": encoded["agent_version"],
        "interval_s": pc.struct_field(meta, "interval_s"),
        "seq": pc.struct_field(meta, "seq"),
        "archive_hour": pa.repeat(pa.scalar(hour, pa.int8()), lines.num_rows),
    }
    rows = pa.table([found[name] for name in HOUR_SCHEMA.names], schema=HOUR_SCHEMA)
    return None if any(rows[field.name].null_count for field in HOUR_SCHEMA if not field.nullable) else rows


def _encoded(column: pa.ChunkedArray | pa.Array) -> pa.DictionaryArray:
    encoded = pc.dictionary_encode(column)
    return encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded


def _read_by_line(text: bytes, hour: int, rule: LineRule) -> ParsedHour:
    formed: dict[int, _Key] = {}
    reasons: dict[int, str] = {}
    for number, line in enumerate(text.split(b"\n")[: count_lines(text)], start=1):
        try:
            formed[number] = _Sample.model_validate_json(line)
        except ValidationError as error:
            reasons[number] = _reason(error)
    table, numbers = _table(formed.values(), hour), list(formed)
    rows, is_sample = Rows(table), np.ones(table.num_rows, np.bool_)
    for each in SAMPLE_RULES:
        bad = each.breaks(rows, rule)
        for index in np.flatnonzero(bad & is_sample).tolist():
            reasons[numbers[index]] = each.reason.format(**rows.shown(index), facts=rule)
        is_sample &= ~bad
    rejected = [RejectedLine(number, reasons[number]) for number in sorted(reasons)]
    return ParsedHour(table.filter(pa.array(is_sample)), [n for n in numbers if n not in reasons], rejected)


def _reason(error: ValidationError) -> str:
    """Return in words the first thing that keeps a line from having the form of a sample."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def _table(samples: Iterable[_Key], hour: int) -> pa.Table:
    rows = [
        {
            **(sample := vars(each)),
            **vars(sample["meta"]),
            "ts": dt.datetime.fromisoformat(each.ts),
            "agent_version": sample["meta"].agent,
            "archive_hour": hour,
        }
        for each in samples
    ]
    return pa.Table.from_pylist(rows, schema=HOUR_SCHEMA)


@dataclass
class Reading:
    """Hours of a day while they are read, with the lines of whole hours that became no rows, and counts of the rows."""

    site: Site
    day: dt.date
    hours: list[ArchiveHour] = field(default_factory=list)
    rejected: dict[int, list[RejectedLine]] = field(default_factory=dict)
    tally: DayTally = field(init=False)

    def __post_init__(self) -> None:
        """Start with no rows."""
        self.tally = DayTally(self.day)

    def read(self, hour: int) -> pa.Table | None:
        """Return the rows of an hour, one a sample; None = it is not whole.

        Raises:
            PublicationError: If its file is there and cannot be read.
        """
        found, text = read_hour(self.site.archive_root, self.day, hour)
        self.hours.append(found)
        if not found.is_whole:
            return None
        parsed = parse_lines(text, hour, self.site.rule)
        repeated = self.tally.repeats(parsed.rows, hour)
        rows = parsed.rows.filter(pa.array(~repeated)) if repeated.any() else parsed.rows
        self.rejected[hour] = parsed.refused(repeated)
        self.tally.add(rows, hour)
        return rows

    @property
    def samples_per_hour(self) -> int:
        """Rows of a host in an hour file."""
        return SECONDS_PER_HOUR // self.site.rule.interval_s

    @property
    def partial(self) -> Sequence[int]:
        """The whole hours that lack samples of some host."""
        return [hour for hour in self.rejected if self.tally.hosts_lacking(hour, self.samples_per_hour)]

    @property
    def sources(self) -> tuple[SourceFile, ...]:
        """What a manifest says of the files of the whole hours."""
        return tuple(
            SourceFile(
                path="/".join(hour.path.parts[-2:]),
                hour=hour.hour,
                bytes=hour.bytes,
                hash=f"sha256:{hour.sha256}",
                lines=hour.lines,
                rows=self.tally.rows_by_hour[hour.hour],
                rejected=len(self.rejected[hour.hour]),
            )
            for hour in self.hours
            if hour.is_whole
        )
