"""Watching a user's feed: which months have new, changed or removed files since they were last asked for.

Each look compares the folder with a snapshot of the looks before, which the caller keeps: first by path, size and time
of change, and only where those differ by content. Whether a month is then loaded is the caller's business.
"""

import errno
import hashlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, NamedTuple, TypeVar

import duckdb
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from capsim_dagster.errors import FeedError, StorageError, WarehouseError, listed
from capsim_dagster.legacy_feed.contract import FeedContract
from capsim_dagster.pipeline.entrance import feed_origin
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.pipeline.refine import feed_months
from capsim_dagster.pipeline.remote import refresh_feed
from capsim_dagster.refinery.accounts import loaded_files
from capsim_dagster.schemas.feed import ORIGIN_FACT
from capsim_dagster.storage import sha256
from capsim_dagster.storage.warehouse import fact, open_for_reading

MAX_BYTES_A_LOOK: Final = 2 << 30
"""Content that one look reads, unless a single month has more: 20 s at 100 MB/s, and Dagster gives a tick 60 s."""

_Fact = TypeVar("_Fact")
Content = Mapping[str, str]
"""SHA-256 of the files of a month, by path under the feed."""


class Stamp(NamedTuple):
    """What tells cheaply that a file may have changed: size [bytes] and time of change [ns since 1970]."""

    size: int
    mtime_ns: int


class FileMark(NamedTuple):
    """A file at rest: its stamp and the SHA-256 of its content, in hexadecimal digits."""

    size: int
    mtime_ns: int
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @property
    def stamp(self) -> Stamp:
        """Size and time of change."""
        return Stamp(self.size, self.mtime_ns)


@dataclass(frozen=True)
class Snapshot:
    """What the looks so far have seen; files by path under the feed.

    Attributes:
        feed: Which feed it is; see `feed_name`.
        since: When this watch began, as ISO 8601: tells its requests from those of an earlier watch.
        changes: How many looks found changed months: tells a file's return from its first coming.
        files: The files that their months were last asked for with.
        moving: The files that differ from those, as the last look saw them; None = gone.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    feed: str
    since: str
    changes: Annotated[int, Field(ge=0)] = 0
    files: Mapping[str, FileMark] = field(default_factory=dict)
    moving: Mapping[str, Stamp | None] = field(default_factory=dict)
    version: Literal[1] = 1

    def as_json(self) -> str:
        """Return the snapshot as JSON."""
        return _JSON.dump_json(self).decode()


_JSON: Final = TypeAdapter(Snapshot)


@dataclass(frozen=True)
class Look:
    """What one look at a feed found.

    Attributes:
        snapshot: What the next look compares with.
        changed: Months to ask for, as YYYYMM, with the content of their files; none = all of them are gone.
        first_seen: Those of them that this watch never asked for before.
        waiting: Months whose files differ but may not be judged yet, with the reason in words.
        outside: Months whose files differ but that may not be asked for.
    """

    snapshot: Snapshot
    changed: Mapping[int, Content]
    first_seen: frozenset[int]
    waiting: Mapping[int, str]
    outside: tuple[int, ...]

    def key(self, months: Collection[int]) -> str:
        """Return 16 hex digits that name the request for some of the changed months.

        A second look that begins with the same snapshot and finds the same content gives the same; the same content
        that comes a second time, after the month had been asked for with another, does not.
        """
        content = [[month, sorted(self.changed[month].items())] for month in sorted(months)]
        facts = [self.snapshot.feed, self.snapshot.since, self.snapshot.changes, content]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def feed_name(platform: Platform) -> str:
    """Return what makes a feed the one it is: the pattern of its paths, and the prefixes of the resources in use."""
    refined = platform.refined
    prefixes = [refined.settings.resources[resource].file_prefix for resource in platform.settings.refinery.resources]
    return f"{refined.root}/{refined.settings.layout} with {', '.join(prefixes)}"


def read_snapshot(text: str) -> Snapshot | None:
    """Return a snapshot from its JSON; None = it is damaged, or of another version."""
    try:
        return _JSON.validate_json(text)
    except ValidationError:
        return None


def look(platform: Platform, before: Snapshot, *, may_ask: Callable[[int], bool]) -> Look:
    """Look at the feed and return which months, as YYYYMM, to ask for.

    A file counts once two looks in a row saw it with the same size and time, or saw that it is gone; until then its
    month waits, so that no half-copied file is loaded. Another time alone is no change.

    Raises:
        FeedError: If the folder is missing, or holds no file of the layout.
        OSError: If a folder cannot be read.
    """
    months = _months(platform, before)
    differing = [month for month in months if month.moving]
    askable = [month for month in differing if may_ask(month.number)]
    waiting = {month.number: reason for month in askable if (reason := month.unrest)}
    read: dict[int, Mapping[str, FileMark]] = {}
    for month, is_due in _within_budget([month for month in askable if month.number not in waiting]):
        try:
            if is_due:
                read[month.number] = month.read()
        except OSError as error:
            waiting[month.number] = f"{error.filename}: {error.strerror}"
        if month.number not in read:
            waiting.setdefault(month.number, "much is new; it is its turn at one of the next looks")
    changed = {
        month.number: _content(read[month.number])
        for month in askable
        if month.number in read and _content(read[month.number]) != _content(month.asked)
    }
    snapshot = replace(
        before,
        changes=before.changes + bool(changed),
        files={path: mark for month in months for path, mark in read.get(month.number, month.asked).items()},
        moving={path: s for month in differing if month.number not in read for path, s in month.moving.items()},
    )
    return Look(
        snapshot=snapshot,
        changed=changed,
        first_seen=frozenset(month.number for month in months if month.number in changed and not month.asked),
        waiting=waiting,
        outside=tuple(month.number for month in differing if month not in askable),
    )


def loaded_months(platform: Platform, months: Mapping[int, Content]) -> set[int]:
    """Return those months of which the table holds just these files.

    None where the table cannot be read, as while a run writes it: to ask for a month that is loaded costs little, and
    the run says what is wrong.
    """
    try:
        with open_for_reading(platform.layout.warehouse, lock_timeout_s=0) as connection:
            if fact(connection, ORIGIN_FACT) != feed_origin(platform):
                return set()
            held = {month: loaded_files(connection, month).values() for month in months}
    except (WarehouseError, duckdb.Error):
        return set()
    return {month for month, files in held.items() if {file.path: file.sha256 for file in files} == months[month]}


@dataclass(frozen=True)
class _Month:
    """A month of the feed, as YYYYMM: the files that it was asked for with, and those that are there now.

    `seen` are those that differed at the last look, as it saw them; None = gone.
    """

    number: int
    root: Path
    asked: Mapping[str, FileMark]
    present: Mapping[str, Stamp]
    seen: Mapping[str, Stamp | None]

    @property
    def moving(self) -> dict[str, Stamp | None]:
        """The files that differ; None = gone."""
        stamps = {path: mark.stamp for path, mark in self.asked.items()}
        paths = sorted({*stamps, *self.present})
        return {path: self.present.get(path) for path in paths if self.present.get(path) != stamps.get(path)}

    @property
    def unread_bytes(self) -> int:
        """Size of the files whose content is not known."""
        return sum(stamp.size for stamp in self.moving.values() if stamp)

    @property
    def unrest(self) -> str:
        """Which files are not as the last look saw them, in words; empty = all have come to rest."""
        restless = [path for path, stamp in self.moving.items() if path not in self.seen or self.seen[path] != stamp]
        # A file that came and went between two requests differs from no request, but the month is on the move.
        restless += [path for path, stamp in self.seen.items() if stamp and path not in {*self.present, *self.moving}]
        return f"{listed(restless)}: new, changed or gone since the last look" if restless else ""

    def read(self) -> dict[str, FileMark]:
        """Return the files that are there, with their content; fail on one that is written at this moment."""
        known = {path: mark for path, mark in self.asked.items() if self.present.get(path) == mark.stamp}
        return known | {path: self._mark(path, stamp) for path, stamp in self.moving.items() if stamp}

    def _mark(self, path: str, stamp: Stamp) -> FileMark:
        digest = sha256(self.root / path)
        if _stamp(self.root / path) != stamp:
            raise OSError(errno.EBUSY, "it is written at this moment", path)
        return FileMark(*stamp, digest)


def _months(platform: Platform, before: Snapshot) -> list[_Month]:
    """Return the months of which there are files, or were when they were asked for."""
    contract = platform.refined
    present = _present_files(platform)
    asked, seen = _by_month(contract, before.files), _by_month(contract, before.moving)
    for month, marks in asked.items():
        for path in marks.keys() - present.get(month, {}).keys():
            _require_gone(contract.root / path)
    return [
        _Month(number, contract.root, asked.get(number, {}), present.get(number, {}), seen.get(number, {}))
        for number in sorted({*asked, *present})
    ]


def _by_month(contract: FeedContract, files: Mapping[str, _Fact]) -> dict[int, dict[str, _Fact]]:
    """Return what is said of files by their month; what is no file of the feed any more is left out."""
    months: dict[int, dict[str, _Fact]] = {}
    for path, fact_of_it in files.items():
        piece = contract.piece(contract.root / path)
        if piece is not None:
            months.setdefault(piece.month, {})[path] = fact_of_it
    return months


def _present_files(platform: Platform) -> dict[int, dict[str, Stamp]]:
    """Return the files of the resources in use, by month and path under the feed.

    Raises:
        FeedError: If the folder is missing, holds no file of the layout, or lies in a bucket that cannot be read.
    """
    try:
        refresh_feed(platform)
    except StorageError as error:
        raise FeedError(error.found, remedy=error.remedy) from None
    contract = platform.refined
    claims = list(contract.files(_refuse if contract.root.is_dir() else _let_pass))
    if not claims:
        feed_months(platform)  # raises, and says what was expected and found
        raise FeedError(f"{contract.root} was empty a moment ago", remedy="nothing: the next look will see")
    present: dict[int, dict[str, Stamp]] = {}
    for path, piece in claims:
        if piece.resource in platform.settings.refinery.resources:
            with suppress(FileNotFoundError):
                present.setdefault(piece.month, {})[contract.relative(path)] = _stamp(path)
    return present


def _refuse(error: OSError) -> None:
    """Raise for a folder that cannot be listed: files that cannot be seen are not gone."""
    raise error


def _let_pass(_error: OSError) -> None:
    """Leave a missing root to what says so."""


def _require_gone(path: Path) -> None:
    """Fail on a file that was not listed and is not gone, but merely out of reach."""
    with suppress(FileNotFoundError, NotADirectoryError):
        path.lstat()


def _within_budget(months: Sequence[_Month]) -> Iterator[tuple[_Month, bool]]:
    """Yield months with whether their content is read in this look; the first always is."""
    for month, total in zip(months, accumulate(month.unread_bytes for month in months), strict=True):
        yield month, total <= max(MAX_BYTES_A_LOOK, month.unread_bytes)


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return Stamp(status.st_size, status.st_mtime_ns)


def _content(marks: Mapping[str, FileMark]) -> Content:
    return {path: mark.sha256 for path, mark in marks.items()}
