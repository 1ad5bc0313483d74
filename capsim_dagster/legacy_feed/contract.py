"""The legacy CSV contract: which file holds which month of which resource, and with which header.

Labels and prefixes are settings; everything else that reads or writes the feed asks here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from capsim_dagster.schemas import Resource
from capsim_dagster.settings import LegacyFeed

_MONTH_DIGITS: Final = re.compile(r"(?P<prefix>.+)_(?P<month>\d{4}(?:0[1-9]|1[0-2]))\.csv")


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
        return f"{self.month // 100:04d}-{self.month % 100:02d} {self.resource}"


@dataclass(frozen=True)
class FeedContract:
    """Names and headers of the feed under one root.

    Attributes:
        root: Folder of the feed.
        settings: Prefixes and labels by resource.
    """

    root: Path
    settings: LegacyFeed

    def path(self, piece: FeedPiece) -> Path:
        """Return where a piece lies: `YYYY/MM/<prefix>_YYYYMM.csv` under the root."""
        prefix = self.settings.resources[piece.resource].file_prefix
        folder = self.root / f"{piece.month // 100:04d}" / f"{piece.month % 100:02d}"
        return folder / f"{prefix}_{piece.month}.csv"

    def header(self, resource: Resource) -> tuple[str, str, str, str]:
        """Return the four column labels of a resource's files."""
        columns = self.settings.resources[resource]
        return "date", "host_id", columns.value_column, columns.capacity_column

    def piece(self, path: Path) -> FeedPiece | None:
        """Return which piece a file is, or None if its name or folder breaks the convention."""
        match = _MONTH_DIGITS.fullmatch(path.name)
        if not match:
            return None
        resources = {columns.file_prefix: resource for resource, columns in self.settings.resources.items()}
        resource = resources.get(match["prefix"])
        if resource is None:
            return None
        piece = FeedPiece(int(match["month"]), resource)
        return piece if self.path(piece) == path else None

    def files(self) -> Iterator[tuple[Path, FeedPiece | None]]:
        """Yield every file under the root with the piece it is, in the order of paths; hidden files are left out."""
        for path in sorted(self.root.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                yield path, self.piece(path)

    def pieces(self) -> dict[FeedPiece, Path]:
        """Return the files that follow the convention, by piece, in order."""
        return dict(sorted((piece, path) for path, piece in self.files() if piece is not None))
