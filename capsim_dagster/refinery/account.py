"""The account of the refinery: what became of each file, line and variety, as the warehouse tells it.

Tables in, frozen facts out, and whether they agree with each other. How a page shows them is decided in `page`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any, Final

import duckdb

from capsim_dagster.audits.fingerprints import NOTHING, Fingerprint, PieceKey, rows_of, table_fingerprints
from capsim_dagster.errors import MAX_EXAMPLES
from capsim_dagster.legacy_feed.contract import FeedPiece
from capsim_dagster.refinery.accounts import LoadedFile, RefusedFile
from capsim_dagster.schemas import VARIETIES, FileFault, LineFault, Resource, Variety
from capsim_dagster.schemas.feed import ORIGIN_FACT, OWN_FEED
from capsim_dagster.schemas.months import month_span
from capsim_dagster.storage import sha256, warehouse
from capsim_dagster.storage.warehouse import statement

_N_REFUSAL: Final = 4
"""Facts of a refused file; they end a row of `account_pieces`."""
_NOT_RECORDED: Final = (0, *[None] * 14)
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
class Disagreement:
    """A claim that does not hold: what one table promises, and what another holds."""

    month: int
    resource: str
    claim: Claim
    promised: int
    found: int


@dataclass(frozen=True)
class Piece:
    """One month of one resource: the file whose lines the table holds, the one that was refused since, and their rows.

    `rejected_rows` are those in `rejected_lines`; `table_checksum` is over the content of the rows in `processed_data`;
    `is_held_back` says whether another file of the month was refused while this one is not loaded.
    """

    month: int
    resource: str
    file: LoadedFile | None = None
    refused: RefusedFile | None = None
    table_rows: int = 0
    rejected_rows: int = 0
    is_held_back: bool = False
    table_checksum: int = 0
    source: Source = Source.SAME

    @property
    def state(self) -> PieceState:
        """What the table holds of it."""
        if self.refused:
            absent = PieceState.MISSING if self.refused.fault is FileFault.MISSING else PieceState.REFUSED
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
    is_compared = feed is None or feed.is_dir()
    seen = pieces_of(connection, table_fingerprints(connection), feed if is_compared else None)
    expected = _expected_months(connection, seen.values())
    due = {(month, resource.value) for month in expected for resource in resources}
    dragged = {piece.month for piece in seen.values() if piece.refused}
    pieces = {
        key: seen.get(key) or Piece(*key, is_held_back=key[0] in dragged)
        for key in sorted(due | seen.keys(), key=lambda key: (key[0], rank(key[1])))
    }
    return RefineryAccount(
        origin=warehouse.fact(connection, ORIGIN_FACT),
        months=sorted({month for month, _ in pieces}),
        resources=sorted({resource for _, resource in pieces}, key=rank),
        pieces=pieces,
        reasons=_reasons(connection),
        varieties=_varieties(connection),
        is_compared=is_compared,
    )


def pieces_of(
    connection: duckdb.DuckDBPyConnection,
    found: Mapping[PieceKey, Fingerprint],
    feed: Path | None,
    month: int | None = None,
) -> dict[PieceKey, Piece]:
    """Return each month and resource that a file, a refusal, a rejected line or the table knows of.

    Args:
        connection: An open warehouse.
        found: Fingerprints of the table, or of its month.
        feed: Root of the feed that the table holds: each file there is read; None = files are not looked at.
        month: The month to look at, as YYYYMM; None = all.
    """
    rows = rows_of(connection, statement(__package__, "account_pieces"), {"month": month})
    recorded = {(month, resource): facts for month, resource, *facts in rows}
    pieces = {
        key: _piece(key, found.get(key, NOTHING), recorded.get(key, _NOT_RECORDED))
        for key in sorted(recorded.keys() | found.keys())
    }
    return pieces if feed is None else _with_sources(connection, pieces, feed)


def _piece(key: PieceKey, held: Fingerprint, recorded: Sequence[Any]) -> Piece:
    rejected_rows, loaded, refused = recorded[0], recorded[1:-_N_REFUSAL], recorded[-_N_REFUSAL:]
    name = FeedPiece(*key)  # type: ignore[arg-type] # resources that nobody knows are shown as well
    return Piece(
        *key,
        file=LoadedFile(name, *loaded) if loaded[0] is not None else None,
        refused=RefusedFile(name, refused[0], FileFault(refused[1]), *refused[2:]) if refused[0] is not None else None,
        table_rows=held.rows,
        rejected_rows=rejected_rows,
        table_checksum=held.checksum,
    )


def _with_sources(
    connection: duckdb.DuckDBPyConnection, pieces: Mapping[PieceKey, Piece], feed: Path
) -> dict[PieceKey, Piece]:
    """Return pieces with what became of each loaded file since."""
    is_own = warehouse.fact(connection, ORIGIN_FACT) in (None, OWN_FEED)
    there = {month for (month, _), piece in pieces.items() if piece.file and (feed / piece.file.path).is_file()}
    return {
        key: replace(piece, source=_source(feed, piece.file, is_expected=is_own or key[0] in there))
        for key, piece in pieces.items()
    }


def _source(feed: Path, file: LoadedFile | None, *, is_expected: bool) -> Source:
    if file is None:
        return Source.SAME
    if not (feed / file.path).is_file():
        return Source.LOST if is_expected else Source.ROTATED
    return Source.SAME if sha256(feed / file.path) == file.sha256 else Source.CHANGED


def _expected_months(connection: duckdb.DuckDBPyConnection, seen: Iterable[Piece]) -> list[int]:
    """Return the months of the calendar, else each month from the first to the last that a file claims."""
    calendar = rows_of(connection, "SELECT DISTINCT yearmonth FROM time_periods ORDER BY yearmonth")
    if calendar:
        return [month for (month,) in calendar]
    return month_span(piece.month for piece in seen if piece.file or piece.refused)


def rank(resource: str) -> tuple[int, str]:
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
