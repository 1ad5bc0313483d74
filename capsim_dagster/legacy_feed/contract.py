"""The legacy CSV contract: which file holds which month of which resource, and with which header.

Layout, labels and prefixes are settings; everything else that reads or writes the feed asks here.
"""

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from capsim_dagster.schemas import Resource
from capsim_dagster.settings import LegacyFeed
from capsim_dagster.simulation.time_dimension import month_name

COMPRESSED_SUFFIX: Final = ".gz"
"""May follow the name of any feed file."""
_YEAR: Final = r"(?:19|20|21)\d{2}"
_MONTH: Final = r"(?:0[1-9]|1[0-2])"
_DIGITS: Final = {"year": _YEAR, "month": _MONTH, "yearmonth": _YEAR + _MONTH}


@dataclass(frozen=True, order=True)
class FeedPiece:
    """One file of the feed: one month of one resource.

    Attributes:
        month: The month as YYYYMM.
        resource: The resource.
    """

    month: int
    resource: Resource

    def __str__(self) -> str:
        """Return e.g. `2024-01 cpu`."""
        return f"{month_name(self.month)} {self.resource}"


@dataclass(frozen=True)
class FeedContract:
    """Names and headers of the feed under one root.

    Attributes:
        root: Folder of the feed.
        settings: Layout, prefixes and labels.
    """

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

    def header(self, resource: Resource) -> tuple[str, ...]:
        """Return the column labels that capsim writes in a resource's files."""
        columns = self.settings.resources[resource]
        labels = (self.settings.date_columns[0], self.settings.host_columns[0], columns.value_column)
        return labels if columns.capacity_column is None else (*labels, columns.capacity_column)

    def piece(self, path: Path) -> FeedPiece | None:
        """Return which piece a file is, or None if its name or folder breaks the layout."""
        if not path.is_relative_to(self.root):
            return None
        match = self._pattern.fullmatch(self.relative(path).removesuffix(COMPRESSED_SUFFIX))
        if not match:
            return None
        named = match.groupdict()
        month = int(named.get("yearmonth") or named["year"] + named["month"])
        piece = FeedPiece(month, self._resources[named["prefix"]])
        return piece if path in self.candidates(piece) else None

    def files(self) -> Iterator[tuple[Path, FeedPiece | None]]:
        """Yield every file under the root with the piece it is, in the order of paths.

        Hidden files and folders, such as `.snapshot`, are left out.
        """
        for path in sorted(self.root.rglob("*")):
            is_hidden = any(part.startswith(".") for part in path.relative_to(self.root).parts)
            if not is_hidden and path.is_file():
                yield path, self.piece(path)

    def pieces(self) -> dict[FeedPiece, Path]:
        """Return the files that follow the layout, by piece, in order; of two claims, the plain file."""
        # Of x.csv and x.csv.gz the longer path comes later; read backwards, the plain one is set last.
        claims = [(piece, path) for path, piece in self.files() if piece is not None]
        return dict(sorted(dict(reversed(claims)).items()))

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
