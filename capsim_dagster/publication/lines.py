"""The lines of an hour file: which are samples, and the columns that they make.

An hour is read at once by a fast JSON reader. Where that fails, or a single value breaks a rule, the hour is read line
by line, which tells which lines are no samples and why.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from capsim_dagster.publication.columns import HOUR_SCHEMA, SCHEMA, TRAFFIC, UTILIZATIONS
from capsim_dagster.schemas import FULL_UTILIZATION
from capsim_dagster.schemas.terms import HOST_ID_PATTERN

_REPEATED: Final = "the host and time of a line before it"
_TS_PATTERN: Final = r"^(19[7-9]\d|2[01]\d\d)-\d\d-\d\dT\d\d:\d\d:\d\dZ$"
_VERSION_PATTERN: Final = r"^[A-Za-z0-9_.+-]{1,64}$"
_BLOCK_BYTES: Final = 1 << 20
_LINE_END, _OPENING_BRACE, _BRACE = b"\n{}"
_NUMBERS: Final = (*UTILIZATIONS, *TRAFFIC)
_META: Final = pa.struct([("interval_s", pa.int32()), ("agent", pa.string()), ("seq", pa.int64())])
_LINE_SCHEMA: Final = pa.schema(
    [("host_id", pa.string()), ("ts", pa.string()), *((name, pa.float64()) for name in _NUMBERS), ("meta", _META)]
)


@dataclass(frozen=True)
class LineRule:
    """What the samples of an archive have in common.

    Attributes:
        interval_s: Length of an interval [s].
        origin_s: Time of the interval with number 0 [s since 1970]; None = not known, so numbers are not judged.
    """

    interval_s: int
    origin_s: int | None = None


@dataclass(frozen=True)
class RejectedLine:
    """A line that is no sample.

    Attributes:
        line: Its number in the file, 1 and up.
        reason: What is wrong with it.
    """

    line: int
    reason: str


@dataclass(frozen=True)
class ParsedHour:
    """The lines of an hour file.

    Attributes:
        rows: The samples, by `HOUR_SCHEMA`, in the order of the lines.
        numbers: Line number of each row; None = every line is a row.
        rejected: The other lines.
    """

    rows: pa.Table
    numbers: Sequence[int] | None
    rejected: Sequence[RejectedLine]

    def refused(self, repeated: NDArray[np.bool_]) -> list[RejectedLine]:
        """Return the lines that are no sample of their own, in order.

        Args:
            repeated: Which rows have the host and time of one before them, shape `(rows,)`.
        """
        numbers = self.numbers or range(1, self.rows.num_rows + 1)
        again = [RejectedLine(numbers[index], _REPEATED) for index in np.flatnonzero(repeated).tolist()]
        return sorted([*self.rejected, *again], key=lambda line: line.line)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _real_time(text: str) -> str:
    dt.datetime.fromisoformat(text)
    return text


_Percent = Annotated[float | None, Field(ge=0, le=FULL_UTILIZATION)]
_Rate = Annotated[float | None, Field(ge=0)]


class Meta(_Strict):
    """What an agent says of itself."""

    interval_s: int = Field(gt=0, lt=2**31)
    agent: str = Field(pattern=_VERSION_PATTERN)
    seq: int = Field(ge=0, lt=2**63)


class Sample(_Strict):
    """A line of the archive."""

    host_id: str = Field(pattern=HOST_ID_PATTERN)
    ts: Annotated[str, Field(pattern=_TS_PATTERN), AfterValidator(_real_time)]
    cpu: _Percent = None
    memory: _Percent = None
    disk: _Percent = None
    network: _Percent = None
    net_in_mbps: _Rate = None
    net_out_mbps: _Rate = None
    meta: Meta

    @model_validator(mode="after")
    def _fields_agree(self, info: ValidationInfo) -> "Sample":
        rule = info.context
        assert isinstance(rule, LineRule)  # noqa: S101 the one caller gives it
        if {self.net_in_mbps is None, self.net_out_mbps is None} != {self.network is None}:
            raise ValueError("net_in_mbps and net_out_mbps are null just where network is")
        if self.meta.interval_s != rule.interval_s:
            raise ValueError(f"interval_s is {self.meta.interval_s}, not {rule.interval_s}")
        at = int(dt.datetime.fromisoformat(self.ts).timestamp())
        if at % rule.interval_s:
            raise ValueError(f"ts {self.ts} is no start of an interval of {rule.interval_s} s")
        if rule.origin_s is not None and self.meta.seq * rule.interval_s != at - rule.origin_s:
            raise ValueError(f"seq {self.meta.seq} is not that of {self.ts}")
        return self


def parse_lines(text: bytes, hour: int, rule: LineRule) -> ParsedHour:
    """Return the samples of an hour file, and the lines that are none.

    Args:
        text: The unpacked file.
        hour: Its hour, 0 to 23.
        rule: What its samples have in common.
    """
    rows = _read_at_once(text, hour, rule) if _is_plain(text) else None
    return _read_by_line(text, hour, rule) if rows is None else ParsedHour(rows, None, ())


def count_lines(text: bytes) -> int:
    r"""Return the number of lines; the last one needs no line end.

    >>> count_lines(b""), count_lines(b"a"), count_lines(b"a\nb\n")
    (0, 1, 2)
    """
    return text.count(b"\n") + bool(text and not text.endswith(b"\n"))


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
    return rows if rows is not None and _all_agree(rows, rule) else None


def _columns(lines: pa.Table, hour: int) -> pa.Table | None:
    """Return lines as columns of the dataset; None = a text of them is not what it must be."""
    meta = lines["meta"].combine_chunks()
    texts = {"host_id": lines["host_id"], "ts": lines["ts"], "agent_version": pc.struct_field(meta, "agent")}
    patterns = {"host_id": HOST_ID_PATTERN, "ts": _TS_PATTERN, "agent_version": _VERSION_PATTERN}
    encoded: dict[str, Any] = {name: _encoded(column) for name, column in texts.items()}
    for name, column in encoded.items():
        if column.null_count or not pc.all(pc.match_substring_regex(column.dictionary, patterns[name])).as_py():
            return None
    times = encoded["ts"].dictionary.cast(SCHEMA.field("ts").type)
    found = {name: lines[name] for name in _NUMBERS} | {
        "ts": times.take(encoded["ts"].indices),
        "host_id": encoded["host_id"],
        "agent_version": encoded["agent_version"],
        "interval_s": pc.struct_field(meta, "interval_s"),
        "seq": pc.struct_field(meta, "seq"),
        "archive_hour": pa.repeat(pa.scalar(hour, pa.int8()), lines.num_rows),
    }
    return pa.table([found[name] for name in HOUR_SCHEMA.names], schema=HOUR_SCHEMA)


def _encoded(column: pa.ChunkedArray | pa.Array) -> pa.DictionaryArray:
    encoded = pc.dictionary_encode(column)
    return encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded


def _all_agree(rows: pa.Table, rule: LineRule) -> bool:
    """Whether every row is a sample by the same rules as `Sample`."""
    required = [field.name for field in HOUR_SCHEMA if not field.nullable]
    if any(rows[name].null_count for name in required):
        return False
    no_traffic = [pc.is_null(rows[name]) for name in ("network", *TRAFFIC)]
    at = pc.divide(rows["ts"].cast(pa.int64()), pa.scalar(1_000_000, pa.int64()))
    steps = pc.divide(at, pa.scalar(rule.interval_s, pa.int64()))
    truths = [
        *(pc.less_equal(rows[name], FULL_UTILIZATION) for name in UTILIZATIONS),
        *(pc.greater_equal(rows[name], 0.0) for name in _NUMBERS),
        *(pc.is_finite(rows[name]) for name in TRAFFIC),
        *(pc.equal(no_traffic[0], other) for other in no_traffic[1:]),
        pc.equal(rows["interval_s"], pa.scalar(rule.interval_s, pa.int32())),
        pc.equal(pc.multiply(steps, pa.scalar(rule.interval_s, pa.int64())), at),
        pc.greater_equal(rows["seq"], 0),
    ]
    if rule.origin_s is not None:
        first = pc.subtract(at, pa.scalar(rule.origin_s, pa.int64()))
        truths.append(pc.equal(pc.multiply(rows["seq"], pa.scalar(rule.interval_s, pa.int64())), first))
    return all(pc.all(truth, min_count=0).as_py() for truth in truths)


def _read_by_line(text: bytes, hour: int, rule: LineRule) -> ParsedHour:
    samples: list[Sample] = []
    numbers: list[int] = []
    rejected: list[RejectedLine] = []
    for number, line in enumerate(text.split(b"\n")[: count_lines(text)], start=1):
        try:
            samples.append(Sample.model_validate_json(line, context=rule))
            numbers.append(number)
        except ValidationError as error:
            rejected.append(RejectedLine(number, reason(error)))
    return ParsedHour(_table(samples, hour), numbers, rejected)


def reason(error: ValidationError) -> str:
    """Return in words the first thing that keeps a line from being a sample."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def _table(samples: Sequence[Sample], hour: int) -> pa.Table:
    rows = [
        {
            **vars(sample),
            **vars(sample.meta),
            "ts": dt.datetime.fromisoformat(sample.ts),
            "agent_version": sample.meta.agent,
            "archive_hour": hour,
        }
        for sample in samples
    ]
    return pa.Table.from_pylist(rows, schema=HOUR_SCHEMA)
