"""The account of the refinery: what became of each file, line and variety, as the warehouse tells it.

Tables in, frozen facts out, and whether they agree with each other. How a page shows them is decided in `pipeline`.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Final

import duckdb

from capsim_dagster.audits.fingerprints import PieceKey, rows_of, view_table
from capsim_dagster.errors import MAX_EXAMPLES
from capsim_dagster.schemas import VARIETIES, FileFault, LineFault, Resource, Variety
from capsim_dagster.schemas.months import month_span
from capsim_dagster.storage import sha256, warehouse
from capsim_dagster.storage.warehouse import statement

ORIGIN_FACT: Final = "feed.origin"
"""What the warehouse calls the place that its feed came from."""
OWN_FEED: Final = "capsim"
"""The origin of capsim's own feed; another's is the path of its root."""
_SOURCES: Final = "SELECT yearmonth, resource, path, sha256 FROM feed_files WHERE coalesce($month = yearmonth, true)"
RAW_CHARACTERS: Final = 160
"""How much of a rejected line is fetched as an example, and one more that tells that there was more."""


class PieceState(StrEnum):
    """What the table holds of one month and resource."""

    LOADED = "loaded"
    """Every line of its file."""
    PARTLY = "partly"
    """Its file was loaded without the lines that were rejected."""
    REFUSED_KEPT = "refused_kept"
    """Its latest file was refused; the rows of an earlier one are still there."""
    REFUSED = "refused"
    """Its file was refused, and there are no rows."""
    HELD_BACK = "held_back"
    """Another file of its month was refused, and the month with it: there are no rows."""
    MISSING = "missing"
    """It is expected, and there is no file."""
    STRAY = "stray"
    """Rows without a file that accounts for them."""


class Claim(StrEnum):
    """What must hold of each month and resource."""

    LINES = "lines"
    """lines = loaded + rejected, in `feed_files`."""
    TABLE = "table"
    """loaded = rows in `processed_data`."""
    REJECTED = "rejected"
    """rejected = rows in `rejected_lines`."""
    CONTENT = "content"
    """The rows have the content that the file had, by checksum; judged where they are as many."""


class Source(StrEnum):
    """What became of a file since it was loaded."""

    SAME = "same"  # as it was loaded, or nobody looked
    CHANGED = "changed"
    LOST = "lost"  # and others of its month are there, or it is capsim's own
    # It is gone with all others of its month, as old months of a user's feed are: what was loaded stays good.
    ROTATED = "rotated"


@dataclass(frozen=True)
class AccountedFile:
    """A file whose lines are in the table, as `feed_files` tells it; sizes in bytes, times in UTC."""

    path: str
    bytes: int
    lines: int
    loaded: int
    rejected: int
    dialect: str
    loaded_at: dt.datetime
    sha256: str = ""
    checksum: str = "0"

    @property
    def rejected_share(self) -> float:
        """Share of its lines that were rejected, 0 to 1."""
        return self.rejected / self.lines if self.lines else 0.0


@dataclass(frozen=True)
class AccountedRefusal:
    """A file that was refused as a whole, as `refused_files` tells it; times in UTC."""

    path: str
    reason: FileFault
    detail: str
    refused_at: dt.datetime


@dataclass(frozen=True)
class Disagreement:
    """A claim that does not hold: what one table promises, and what another holds."""

    month: int
    resource: str
    claim: Claim
    promised: int
    found: int


@dataclass(frozen=True)
class Piece:
    """One month of one resource.

    Attributes:
        month: Month as YYYYMM.
        resource: The resource.
        file: The file whose lines the table holds.
        refused: The file that was refused since.
        table_rows: Rows in `processed_data`.
        rejected_rows: Rows in `rejected_lines`.
        is_held_back: Whether another file of the month was refused while this one is not loaded.
        table_checksum: Checksum over the content of those rows.
        source: What became of its file since it was loaded.
    """

    month: int
    resource: str
    file: AccountedFile | None = None
    refused: AccountedRefusal | None = None
    table_rows: int = 0
    rejected_rows: int = 0
    is_held_back: bool = False
    table_checksum: int = 0
    source: Source = Source.SAME

    @property
    def state(self) -> PieceState:
        """What the table holds of it."""
        if self.refused:
            absent = PieceState.MISSING if self.refused.reason is FileFault.MISSING else PieceState.REFUSED
            return PieceState.REFUSED_KEPT if self.table_rows else absent
        if self.file:
            return PieceState.PARTLY if self.file.rejected else PieceState.LOADED
        if self.table_rows or self.rejected_rows:
            return PieceState.STRAY
        return PieceState.HELD_BACK if self.is_held_back else PieceState.MISSING

    @property
    def disagreements(self) -> tuple[Disagreement, ...]:
        """The claims that do not hold."""
        lines, loaded, rejected = (self.file.lines, self.file.loaded, self.file.rejected) if self.file else (0, 0, 0)
        is_comparable = self.file is not None and loaded == self.table_rows
        content = int(self.file.checksum, 16) if self.file and is_comparable else self.table_checksum
        compared = (
            (Claim.LINES, lines, loaded + rejected),
            (Claim.TABLE, loaded, self.table_rows),
            (Claim.REJECTED, rejected, self.rejected_rows),
            (Claim.CONTENT, content, self.table_checksum),
        )
        return tuple(
            Disagreement(self.month, self.resource, claim, promised, found)
            for claim, promised, found in compared
            if promised != found
        )


@dataclass(frozen=True)
class Totals:
    """Sums over some pieces; `disagreements` counts pieces by the claim that does not hold of them."""

    files: int
    bytes: int
    lines: int
    loaded: int
    rejected: int
    table_rows: int
    rejected_rows: int
    disagreements: Mapping[Claim, int]


@dataclass(frozen=True)
class RejectedLine:
    """A rejected line as an example; `raw` is cut one character beyond `RAW_CHARACTERS`."""

    path: str
    line: int
    column: str | None
    raw: str


@dataclass(frozen=True)
class ReasonCount:
    """Lines rejected for one reason, the files they are in, and a few of them."""

    reason: LineFault
    lines: int
    files: int
    examples: Sequence[RejectedLine]


@dataclass(frozen=True)
class VarietyCount:
    """Hosts of one variety in the inventory, and what the table retains of them."""

    variety: Variety
    hosts: int
    retained_hosts: int
    retained_series: int


@dataclass(frozen=True)
class RefineryAccount:
    """All that the warehouse knows of a feed.

    Attributes:
        origin: Where the feed came from; None = not recorded.
        months: Months that are expected or seen, as YYYYMM, in order.
        resources: Resources that are expected or seen, in order.
        pieces: What became of each month and resource that is expected or seen.
        reasons: Rejected lines by reason, the most frequent first.
        varieties: Each of the ten varieties; empty = no inventory.
        is_compared: Whether the files were looked at: not where the folder of the feed is gone.
    """

    origin: str | None
    months: Sequence[int]
    resources: Sequence[str]
    pieces: Mapping[PieceKey, Piece]
    reasons: Sequence[ReasonCount]
    varieties: Sequence[VarietyCount]
    is_compared: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether no file was ever read and the table holds nothing."""
        return all(piece.state is PieceState.MISSING and not piece.refused for piece in self.pieces.values())

    @property
    def disagreements(self) -> tuple[Disagreement, ...]:
        """Every claim that does not hold, by month and resource."""
        return tuple(one for piece in self.pieces.values() for one in piece.disagreements)

    @property
    def refused(self) -> tuple[Piece, ...]:
        """The pieces whose latest file was refused, by month and resource."""
        return tuple(piece for piece in self.pieces.values() if piece.refused)

    def with_source(self, *sources: Source) -> tuple[Piece, ...]:
        """Return the pieces whose files became something since they were loaded, by month and resource."""
        return tuple(piece for piece in self.pieces.values() if piece.source in sources)

    def in_state(self, *states: PieceState) -> tuple[Piece, ...]:
        """Return the pieces in some states, by month and resource."""
        return tuple(piece for piece in self.pieces.values() if piece.state in states)

    def totals(self, resource: str | None = None) -> Totals:
        """Return the sums of one resource, or of all."""
        return _totals([piece for piece in self.pieces.values() if resource in (None, piece.resource)])

    def rejected_shares(self) -> dict[int, float]:
        """Return the share of rejected lines of each month with lines, over all its files."""
        by_month = groupby(self.pieces.values(), key=attrgetter("month"))
        totals = {month: _totals(list(pieces)) for month, pieces in by_month}
        return {month: sums.rejected / sums.lines for month, sums in totals.items() if sums.lines}


def refinery_account(
    connection: duckdb.DuckDBPyConnection, resources: Sequence[Resource], feed: Path | None = None
) -> RefineryAccount:
    """Return what became of every file and line, and whether rows and files are still what was loaded.

    Args:
        connection: An open warehouse.
        resources: Resources that each month must have.
        feed: Root of the feed that the table holds: each file there is read; None = files are not looked at.
    """
    sources = source_states(connection, feed) if feed is not None and feed.is_dir() else {}
    seen = {
        (piece.month, piece.resource): replace(piece, source=sources.get((piece.month, piece.resource), Source.SAME))
        for piece in _pieces(connection)
    }
    expected = _expected_months(connection, seen.values())
    due = {(month, resource.value) for month in expected for resource in resources}
    dragged = {piece.month for piece in seen.values() if piece.refused}
    pieces = {
        key: seen.get(key) or Piece(*key, is_held_back=key[0] in dragged)
        for key in sorted(due | seen.keys(), key=_order)
    }
    return RefineryAccount(
        origin=warehouse.fact(connection, ORIGIN_FACT),
        months=sorted({month for month, _ in pieces}),
        resources=sorted({resource for _, resource in pieces}, key=_rank),
        pieces=pieces,
        reasons=_reasons(connection),
        varieties=_varieties(connection),
        is_compared=feed is None or feed.is_dir(),
    )


def source_states(
    connection: duckdb.DuckDBPyConnection, feed: Path, month: int | None = None
) -> dict[PieceKey, Source]:
    """Return what became of each loaded file since.

    Args:
        connection: An open warehouse.
        feed: Root of the feed that the table holds.
        month: The month to look at, as YYYYMM; None = all.
    """
    is_own = warehouse.fact(connection, ORIGIN_FACT) in (None, OWN_FEED)
    files = sorted(rows_of(connection, _SOURCES, {"month": month}))
    there = {month for month, _, path, _ in files if (feed / path).is_file()}
    return {
        (month, resource): _source(feed / path, digest, is_expected=is_own or month in there)
        for month, resource, path, digest in files
    }


def _source(path: Path, digest: str, *, is_expected: bool) -> Source:
    if not path.is_file():
        return Source.LOST if is_expected else Source.ROTATED
    return Source.SAME if sha256(path) == digest else Source.CHANGED


def _pieces(connection: duckdb.DuckDBPyConnection) -> Iterator[Piece]:
    view_table(connection)
    pieces = statement(
        __package__,
        "account_pieces",
        fingerprints=statement("capsim_dagster.audits", "fingerprint", relation="table_rows"),
    )
    for month, resource, table_rows, rejected_rows, checksum, *facts in rows_of(connection, pieces):
        file = AccountedFile(*facts[:9]) if facts[0] is not None else None
        refused = AccountedRefusal(facts[9], FileFault(facts[10]), *facts[11:]) if facts[9] is not None else None
        yield Piece(month, resource, file, refused, table_rows, rejected_rows, table_checksum=int(checksum))


def _expected_months(connection: duckdb.DuckDBPyConnection, seen: Iterable[Piece]) -> list[int]:
    """Return the months of the calendar, else each month from the first to the last that a file claims."""
    calendar = rows_of(connection, "SELECT DISTINCT yearmonth FROM time_periods ORDER BY yearmonth")
    if calendar:
        return [month for (month,) in calendar]
    return month_span(piece.month for piece in seen if piece.file or piece.refused)


def _order(key: PieceKey) -> tuple[int, tuple[int, str]]:
    return key[0], _rank(key[1])


def _rank(resource: str) -> tuple[int, str]:
    """Order resources as everywhere, those that nobody knows at the end."""
    known = [r.value for r in Resource]
    return (known.index(resource) if resource in known else len(known)), resource


def _totals(pieces: Sequence[Piece]) -> Totals:
    files = [piece.file for piece in pieces if piece.file]
    broken = [one.claim for piece in pieces for one in piece.disagreements]
    return Totals(
        files=len(files),
        bytes=sum(file.bytes for file in files),
        lines=sum(file.lines for file in files),
        loaded=sum(file.loaded for file in files),
        rejected=sum(file.rejected for file in files),
        table_rows=sum(piece.table_rows for piece in pieces),
        rejected_rows=sum(piece.rejected_rows for piece in pieces),
        disagreements={claim: broken.count(claim) for claim in Claim},
    )


def _reasons(connection: duckdb.DuckDBPyConnection) -> list[ReasonCount]:
    limits = {"examples": MAX_EXAMPLES, "characters": RAW_CHARACTERS + 1}
    found = rows_of(connection, statement(__package__, "account_examples"), limits)
    examples = {
        reason: [RejectedLine(*facts) for _, *facts in rows] for reason, rows in groupby(found, key=itemgetter(0))
    }
    return [
        ReasonCount(LineFault(reason), lines, files, examples[reason])
        for reason, lines, files in rows_of(connection, statement(__package__, "account_reasons"))
    ]


def _varieties(connection: duckdb.DuckDBPyConnection) -> list[VarietyCount]:
    found = {
        (scenario, variant): counts
        for scenario, variant, *counts in rows_of(connection, statement(__package__, "account_varieties"))
    }
    if not found:
        return []
    return [VarietyCount(v, *found.get((v.scenario.value, v.variant.value), (0, 0, 0))) for v in VARIETIES]
