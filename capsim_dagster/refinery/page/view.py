"""What the audit page says: its verdict, and the rows of its tables, from the account of the refinery.

Only what needs a decision is decided here; how numbers and foreign text are written is in `words`.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import Final

from capsim_dagster.errors import listed, plural
from capsim_dagster.refinery.account import (
    Claim,
    Disagreement,
    Piece,
    PieceState,
    RefineryAccount,
    Source,
    Totals,
    VarietyCount,
)
from capsim_dagster.refinery.accounts import LoadedFile
from capsim_dagster.refinery.page.words import TRAITS, dialect_traits, file_remedy, words
from capsim_dagster.schemas import DialectTrait
from capsim_dagster.schemas.months import month_name
from capsim_dagster.text import round_share, share

MAX_CONCERNS: Final = 100
"""Concerns of one kind that are listed; the map shows them all."""
MAX_WORST_FILES: Final = 10
"""Files in the list of those with the highest share of rejected lines."""
MAX_TRAIT_EXAMPLES: Final = 2
"""Files named for each trait of dialect."""
SHADES: Final = (0.001, 0.01, 0.05)
"""Upper bounds of the shades of rejected shares, inclusive; the last shade has none."""
LOAD_IT: Final = "Put the file into the feed and load it: capsim refine (capsim's own feed: capsim run)."
"""What to do where a file is missing."""

LOAD_AGAIN: Final = "Restore the file, or load the month as it is now: capsim refine (capsim's own feed: capsim run)."
"""What to do where a file is not what was loaded."""
_SOURCES: Final = {
    Source.CHANGED: "its file has changed since it was loaded",
    Source.LOST: "its file is gone since it was loaded",
}


class Level(StrEnum):
    """How good the news is."""

    GOOD = "good"
    ATTENTION = "attention"
    BROKEN = "broken"
    EMPTY = "empty"


@dataclass(frozen=True)
class Verdict:
    """Whether to trust the table, in one sentence, with what else is to be known."""

    level: Level
    sentence: str
    details: Sequence[str] = ()


@dataclass(frozen=True)
class Concern:
    """Something to look after: where it is, what it is, what to do, and whether tables contradict each other."""

    month: int
    resources: Sequence[str]
    what: str
    remedy: str
    is_broken: bool = False


@dataclass(frozen=True)
class TraitCount:
    """Files with one trait of dialect, and a few of them."""

    name: str
    meaning: str
    files: int
    examples: Sequence[str]


@dataclass(frozen=True)
class PageView:
    """All that the page shows: an account as it was at a moment, by the limit of rejected lines that is set."""

    account: RefineryAccount
    max_rejected_share: float
    made_at: dt.datetime

    @cached_property
    def verdict(self) -> Verdict:
        """Whether the table is to be trusted: nothing there, contradictions, gaps, or all accounted for."""
        return _verdict(self.account, self.max_rejected_share)

    @property
    def totals(self) -> Totals:
        """Sums over all pieces."""
        return self.account.totals()

    @property
    def balance(self) -> list[tuple[str, Totals]]:
        """Sums by resource, and over all of them."""
        by_resource = [(resource, self.account.totals(resource)) for resource in self.account.resources]
        return [*by_resource, ("all", self.totals)]

    @property
    def concerns(self) -> Mapping[str, Sequence[Concern]]:
        """What to look after by kind: contradictions, refused and missing files, months beyond the limit."""
        account, limit = self.account, self.max_rejected_share
        return {
            "The account does not balance": [_contradiction(one) for one in account.disagreements],
            "Refused files": [_refusals(account, key, pieces) for key, pieces in _by_month(account.refused).items()],
            "Missing files": [
                Concern(key, _resources(pieces), "no file of it was ever read", LOAD_IT)
                for key, pieces in _by_month(_never_seen(account)).items()
            ],
            "Files that are not what was loaded": [
                Concern(key, _resources(pieces), _SOURCES[source], LOAD_AGAIN)
                for source in (Source.CHANGED, Source.LOST)
                for key, pieces in _by_month(account.with_source(source)).items()
            ],
            "Loaded beyond the limit of rejected lines": [
                Concern(
                    beyond,
                    account.resources,
                    f"{share(part)} of its lines were rejected; the limit that is set is {round_share(limit)}",
                    "It was accepted on purpose (--allow-partial) or under another limit: look at its reasons below.",
                )
                for beyond, part in _beyond_limit(account, limit)
            ],
        }

    @property
    def years(self) -> Mapping[int, Mapping[str, Sequence[Piece | None]]]:
        """The rows of the map by year, the latest first, and resource: a piece or None for each of twelve months."""
        account = self.account
        return {
            year: {
                each: [account.pieces.get((year * 100 + nth, each)) for nth in range(1, 13)]
                for each in account.resources
            }
            for year in sorted({month // 100 for month in account.months}, reverse=True)
        }

    @property
    def states(self) -> Mapping[str, int]:
        """How many pieces are in each state."""
        pieces = self.account.pieces.values()
        return {state.value: sum(piece.state is state for piece in pieces) for state in PieceState}

    @property
    def traits(self) -> Sequence[TraitCount]:
        """Each trait of dialect that some file has, the most frequent first."""
        paths: dict[str, list[str]] = defaultdict(list)
        for file in _files(self.account):
            for trait in dialect_traits(file.dialect):
                paths[trait].append(file.path)
        known = {trait.value: TRAITS[trait] for trait in DialectTrait}
        counts = [
            TraitCount(
                name, known.get(name, "has a trait that this version does not know"), len(p), p[:MAX_TRAIT_EXAMPLES]
            )
            for name, p in paths.items()
        ]
        return sorted(counts, key=lambda count: (-count.files, count.name))

    @property
    def plain_files(self) -> int:
        """Files without any trait."""
        return sum(not dialect_traits(file.dialect) for file in _files(self.account))

    @property
    def worst(self) -> Sequence[Piece]:
        """Pieces with the highest share of rejected lines."""
        dirty = [(piece.file.rejected_share, piece) for piece in self.account.pieces.values() if piece.file]
        ranked = sorted((entry for entry in dirty if entry[0]), key=lambda entry: -entry[0])
        return [piece for _, piece in ranked[:MAX_WORST_FILES]]


def _verdict(account: RefineryAccount, max_rejected_share: float) -> Verdict:
    """Return whether the table is to be trusted."""
    if account.is_empty:
        return Verdict(Level.EMPTY, "Nothing is loaded: no feed file has been read into processed_data.")
    totals, broken = account.totals(), account.disagreements
    lines = lines_in_words(totals)
    gaps = _gaps_in_words(account, max_rejected_share)
    details = [*gaps, *_sources_in_words(account), *_lost_in_words(account)]
    if broken:
        places = list(dict.fromkeys(f"{month_name(one.month)} {one.resource}" for one in broken))
        return Verdict(
            Level.BROKEN,
            f"The account does not balance in {plural(len(places), 'place')}: {listed(places)}. "
            "Do not use the table before this is settled.",
            [f"{_promises_in_words(totals)}.", *details],
        )
    concerned = _months_of_concern(account, max_rejected_share)
    if concerned:
        verb = "needs" if len(concerned) == 1 else "need"
        return Verdict(
            Level.ATTENTION,
            f"{len(concerned):,} of {plural(len(account.months), 'month')} {verb} attention.",
            [f"{lines}.", *details],
        )
    return Verdict(Level.GOOD, f"{lines}.", details)


def lines_in_words(totals: Totals) -> str:
    """Return how many of the lines read are in the table."""
    sentence = f"{totals.loaded:,} of {totals.lines:,} lines are in the table"
    if not totals.rejected:
        return sentence
    return f"{sentence}; {totals.rejected:,} ({share(totals.rejected / totals.lines)}) are set aside with a reason"


def _promises_in_words(totals: Totals) -> str:
    """Return what the account of the files says beside what the table holds, where the two may differ."""
    promised = f"{totals.loaded:,} of {totals.lines:,} lines are said to be loaded"
    return f"{promised}; the table holds {totals.table_rows:,} rows"


def shade(part: float) -> int:
    """Return the shade of a rejected share, 1 (lightest) to 4.

    >>> shade(0.0005), shade(0.01), shade(0.5)
    (1, 2, 4)
    """
    return 1 + sum(part > bound for bound in SHADES)


def is_whole(variety: VarietyCount, resources: Sequence[str]) -> bool:
    """Return whether every series of a variety has rows."""
    return variety.hosts > 0 and variety.retained_series == variety.hosts * len(resources)


def _files(account: RefineryAccount) -> list[LoadedFile]:
    return [piece.file for piece in account.pieces.values() if piece.file]


def _contradiction(one: Disagreement) -> Concern:
    promised, found = f"{one.promised:,}", f"{one.found:,}"
    what = {
        Claim.LINES: f"its file has {promised} lines, but {found} are loaded or rejected",
        Claim.TABLE: f"{promised} lines are said to be loaded, but the table holds {found} rows",
        Claim.REJECTED: f"{promised} lines are said to be rejected, but rejected_lines holds {found}",
        Claim.CONTENT: "the table holds other values than its file had when it was loaded",
    }[one.claim]
    remedy = "Something else wrote to the warehouse: load the month again from its file."
    return Concern(one.month, [one.resource], what, remedy, is_broken=True)


def _refusals(account: RefineryAccount, key: int, pieces: Sequence[Piece]) -> Concern:
    """Return what the refused files of a month are about, and what they did to the rest of it."""
    reasons = sorted({piece.refused.fault for piece in pieces if piece.refused})
    kept = [piece.resource for piece in pieces if piece.table_rows]
    held = [piece.resource for piece in account.in_state(PieceState.HELD_BACK) if piece.month == key]
    sentences = [listed(words(reason) for reason in reasons)]
    sentences.append(f"earlier rows are kept for {listed(kept)}" if kept else "there are no rows")
    sentences += [f"{listed(held)} held back with it"] if held else []
    remedy = file_remedy(reasons[0]) if len(reasons) == 1 else "See Refused files below for each of them."
    return Concern(key, _resources(pieces), "; ".join(sentences), remedy)


def _by_month(pieces: Iterable[Piece]) -> dict[int, list[Piece]]:
    return {key: list(group) for key, group in groupby(pieces, key=attrgetter("month"))}


def _resources(pieces: Iterable[Piece]) -> list[str]:
    return [piece.resource for piece in pieces]


def _never_seen(account: RefineryAccount) -> list[Piece]:
    return [piece for piece in account.in_state(PieceState.MISSING) if not piece.refused]


def _beyond_limit(account: RefineryAccount, limit: float) -> list[tuple[int, float]]:
    return [(key, part) for key, part in account.rejected_shares().items() if part > limit]


def _months_of_concern(account: RefineryAccount, limit: float) -> set[int]:
    uncovered = [*account.refused, *account.in_state(PieceState.MISSING, PieceState.HELD_BACK)]
    uncovered += account.with_source(Source.CHANGED, Source.LOST)
    return {piece.month for piece in uncovered} | {key for key, _ in _beyond_limit(account, limit)}


def _gaps_in_words(account: RefineryAccount, limit: float) -> list[str]:
    kept, held = account.in_state(PieceState.REFUSED_KEPT), account.in_state(PieceState.HELD_BACK)
    missing, beyond = _never_seen(account), _beyond_limit(account, limit)
    sentences = (
        (account.refused, f"refused; for {len(kept):,} of them earlier rows are still in the table."),
        (held, "held back because another one of the month was refused."),
        (missing, "missing."),
    )
    gaps = [f"{plural(len(pieces), 'file')} {sentence}" for pieces, sentence in sentences if pieces]
    if beyond:
        gaps.append(f"{plural(len(beyond), 'month')} loaded beyond the limit of {round_share(limit)} rejected lines.")
    return gaps


def _sources_in_words(account: RefineryAccount) -> list[str]:
    """Return what became of the files since they were loaded."""
    sentences = [
        (Source.CHANGED, "changed since what is in the table was loaded."),
        (Source.LOST, "gone since what is in the table was loaded."),
        (Source.ROTATED, "no longer in the feed, each with its whole month: what was loaded stays good."),
    ]
    found = [(account.with_source(source), sentence) for source, sentence in sentences]
    words = [f"{plural(len(pieces), 'file')} {sentence}" for pieces, sentence in found if pieces]
    if not account.is_compared and not account.is_empty:
        words.append("The feed is no longer where it was loaded from: its files were not compared with the table.")
    return words


def _lost_in_words(account: RefineryAccount) -> list[str]:
    whole = sum(is_whole(variety, account.resources) for variety in account.varieties)
    if whole == len(account.varieties):
        return []
    return [f"{whole} of {len(account.varieties)} behavioural varieties have rows of every series."]
