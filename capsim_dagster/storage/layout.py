"""Where each artifact lies under the data directory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from capsim_dagster.errors import SettingsError

_UNUSABLE: Final = frozenset("*?[]%")
"""Dagster takes the path of its settings for a pattern and that of its databases for an address: it would read none of
ours, and write beside the directory."""


@dataclass(frozen=True)
class DataLayout:
    """Where each artifact lives under the data directory."""

    root: Path

    def __post_init__(self) -> None:
        """Refuse a directory whose name Dagster would take for something else, before anything is written.

        Raises:
            SettingsError: If it holds such a character, or one that cannot be seen.
        """
        name = str(self.root)
        found = sorted(_UNUSABLE & {*name})
        if found or not name.isprintable():
            raise SettingsError(
                f"the data directory {name} has {' '.join(found) or 'characters that cannot be seen'} in its path",
                remedy="name another with --data-dir or storage.local_base_path, without * ? [ ] %",
            )

    @property
    def warehouse(self) -> Path:
        """The DuckDB file with inventory, calendar and the table for forecasting."""
        return self.root / "warehouse" / "capsim.duckdb"

    @property
    def master(self) -> Path:
        """The master Parquet file."""
        return self.root / "master" / "master_daily.parquet"

    @property
    def truth(self) -> Path:
        """The folder of the ground truth."""
        return self.root / "truth"

    @property
    def plots(self) -> Path:
        """The folder of pictures that were asked for."""
        return self.root / "plots"

    @property
    def legacy(self) -> Path:
        """The root of the legacy CSV feed."""
        return self.root / "legacy"

    @property
    def defects(self) -> Path:
        """The folder with the lists of defects that were put into the feed on purpose."""
        return self.root / "defects"

    @property
    def audit(self) -> Path:
        """The audit page of the refinery."""
        return self.root / "audit" / "refinery.html"

    @property
    def archive(self) -> Path:
        """The root of the archive of samples."""
        return self.root / "archive"

    @property
    def output(self) -> Path:
        """The root of the published datasets."""
        return self.root / "output"

    @property
    def dagster_home(self) -> Path:
        """The Dagster instance: run history, event log, schedule state."""
        return self.root / ".dagster"
