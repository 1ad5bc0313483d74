"""The legacy CSV contract: which file holds which month of which resource, and with which header.

Layout, labels and prefixes are settings; everything else that reads or writes the feed asks here.
"""

import os
import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

from capsim_dagster.schemas import Column, Resource
from capsim_dagster.schemas.feed import FEED
from capsim_dagster.schemas.months import month_name
from capsim_dagster.settings import LegacyFeed

COMPRESSED_SUFFIX: Final = ".gz"
"""May follow the name of any feed file."""
_DEEPER: Final = 2
"""Levels below those of the layout that are searched for strays: a root named too high still shows its files."""
_YEAR: Final = r"(?:19|20|21)\d{2}"
_MONTH: Final = r"(?:0[1-9]|1[0-2])"
_DIGITS: Final = {"year": _YEAR, "month": _MONTH, "yearmonth": _YEAR + _MONTH}


@dataclass(frozen=True, order=True)
class FeedPiece:
    """One file of the feed: one month, as YYYYMM, of one resource."""

    month: int
    resource: Resource

    def __str__(self) -> str:
        """Return e.g. `2024-01 cpu`."""
        return f"{month_name(self.month)} {self.resource}"


@dataclass(frozen=True)
class FeedContract:
    """Names and headers of the feed under one root."""

    root: Path
    settings: LegacyFeed

    def path(self, piece: FeedPiece) -> Path:
        """Return where a piece lies when it is not compressed, by default `YYYY/MM/<prefix>_YYYYMM.csv`."""
        name = self.settings.layout.format(
            prefix=self.settings.resources[piece.resource].file_prefix,
            yearmonth=f"{piece.month:06d}",
            year=f"{piece.month // 100:04d}",
            month=f"{piece.month % 100:02d}",
        )
        return self.root / name

    def candidates(self, piece: FeedPiece) -> tuple[Path, Path]:
        """Return where a piece may lie: plain and compressed."""
        path = self.path(piece)
        return path, path.with_name(path.name + COMPRESSED_SUFFIX)

    def found(self, piece: FeedPiece) -> list[Path]:
        """Return the files on disk that claim to be a piece: none, one, or two."""
        return [path for path in self.candidates(piece) if path.is_file()]

    def relative(self, path: Path) -> str:
        """Return a path as tables and messages name it: under the root, with slashes."""
        return path.relative_to(self.root).as_posix()

    def piece(self, path: Path) -> FeedPiece | None:
        """Return which piece a file is, or None if its name or folder breaks the layout."""
        return self.named(self.relative(path)) if path.is_relative_to(self.root) else None

    def named(self, relative: str) -> FeedPiece | None:
        """Return which piece a path under the root names, or None if it breaks the layout."""
        match = self._pattern.fullmatch(relative.removesuffix(COMPRESSED_SUFFIX))
        if not match:
            return None
        named = match.groupdict()
        month = int(named.get("yearmonth") or named["year"] + named["month"])
        piece = FeedPiece(month, self._resources[named["prefix"]])
        return piece if self.root / relative in self.candidates(piece) else None

    def files(self, on_error: Callable[[OSError], None] = lambda _error: None) -> Iterator[tuple[Path, FeedPiece]]:
        """Yield every file that the layout names, with the piece it is, in the order of paths.

        Args:
            on_error: Is told which folder cannot be listed; what is in it is left out.
        """
        for relative, piece in self._entries("", self.settings.layout.count("/"), on_error):
            if piece is not None:
                yield self.root / relative, piece

    def strays(self) -> list[str]:
        """Return what is under the root and no file of the layout, relative to it, in order.

        Folders deeper than any file of the layout by more than `_DEEPER` levels are named, not entered.
        """
        entries = self._entries("", self.settings.layout.count("/") + _DEEPER, lambda _error: None)
        return [relative for relative, piece in entries if piece is None]

    def pieces(self) -> dict[FeedPiece, Path]:
        """Return the files that follow the layout, by piece, in order; of two claims, the plain file."""
        # Of x.csv and x.csv.gz the longer path comes later; read backwards, the plain one is set last.
        claims = [(piece, path) for path, piece in self.files()]
        return dict(sorted(dict(reversed(claims)).items()))

    def _entries(
        self, folder: str, deeper: int, on_error: Callable[[OSError], None]
    ) -> Iterator[tuple[str, FeedPiece | None]]:
        """Yield the files of a folder and of those below it, with the piece each is.

        Hidden files and folders, such as `.snapshot`, are left out; pipes and links to nothing or to folders are no
        piece, whatever their names.

        `folder`: the folder relative to the root, empty or with a slash at its end.
        `deeper`: levels of folders below it that are entered.
        """
        for entry in _listed(self.root / folder, on_error):
            relative = folder + entry.name
            if not entry.is_dir(follow_symlinks=False):
                yield relative, self.named(relative) if entry.is_file() else None
            elif deeper:
                yield from self._entries(f"{relative}/", deeper - 1, on_error)
            elif _listed(entry.path, on_error):
                yield f"{relative}/", None

    @cached_property
    def _resources(self) -> dict[str, Resource]:
        return {columns.file_prefix: resource for resource, columns in self.settings.resources.items()}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        """Return the layout as a pattern with a group a field; a field that stands twice must say the same twice."""
        patterns = {**_DIGITS, "prefix": "|".join(map(re.escape, self._resources))}
        parts, seen = [], set()
        for literal, name, _, _ in string.Formatter().parse(self.settings.layout):
            parts.append(re.escape(literal))
            if name:
                parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{patterns[name]})")
                seen.add(name)
        return re.compile("".join(parts))


def written_columns(settings: LegacyFeed, resource: Resource) -> list[Column]:
    """Return the columns that capsim writes in a resource's files, named by the first of each list of labels."""
    columns = settings.resources[resource]
    labels = (settings.date_columns[0], settings.host_columns[0], columns.value_column, columns.capacity_column)
    return [replace(column, name=label) for label, column in zip(labels, FEED, strict=True) if label is not None]


def _listed(folder: Path | str, on_error: Callable[[OSError], None]) -> list[os.DirEntry[str]]:
    """Return what is in a folder and not hidden, by name."""
    try:
        with os.scandir(folder) as found:
            return sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        on_error(error)
        return []
