"""How a dataset is published on disk, whatever is in it: its rows, and then its manifest, or nothing at all.

What a refusal or a failure leaves is what was there before. Where just the same is there already, no file is touched.
"""

import datetime as dt
import json
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Generic

import pyarrow as pa

from capsim_dagster.errors import PublicationError
from capsim_dagster.publication.dataset.folder import forget_manifest, read_published, sole_writer, write_manifest
from capsim_dagster.publication.dataset.manifest import DATA_NAME, PRODUCER, UNSEALED, AnyManifest, Manifest, Provenance
from capsim_dagster.publication.tier3.rules import LineRule
from capsim_dagster.settings import Archive, Settings, settings_hash
from capsim_dagster.simulation.telemetry import fleet_hash
from capsim_dagster.storage import DataLayout, atomic_path, local_disk
from capsim_dagster.storage.files import parquet_writer

_SECONDS_PER_MINUTE: Final = 60


def now_utc() -> dt.datetime:
    """Return the time."""
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True)
class Site:
    """Where datasets come from and go to; `output_root` has a folder YYYY-MM-DD for each day in it."""

    archive_root: Path
    output_root: Path
    archive: Archive
    provenance: Provenance
    clock: Callable[[], dt.datetime] = now_utc

    def folder(self, day: dt.date) -> Path:
        """Return where a day is published on disk."""
        return self.output_root / day.isoformat()

    @property
    def rule(self) -> LineRule:
        """What the samples of the archive have in common."""
        start = self.provenance.start
        origin = dt.datetime.combine(start, dt.time(), tzinfo=dt.UTC) if start else None
        return LineRule(
            self.archive.interval_minutes * _SECONDS_PER_MINUTE, int(origin.timestamp()) if origin else None
        )

    def require_day(self, day: dt.date, today: dt.date, *, remedy: str) -> None:
        """Make sure that a day has come by today, both UTC, and that the window has begun by then.

        Raises:
            PublicationError: If it has not come, or lies before the window.
        """
        start = self.provenance.start
        if day > today:
            raise PublicationError(f"{day} has not come yet: today is {today} (UTC)", remedy=remedy)
        if start is not None and day < start:
            raise PublicationError(
                f"{day} lies before the fleet's window, which starts on {start}", remedy=f"name {start} or a later day"
            )


def site_of(settings: Settings, form: type[Manifest]) -> Site:
    """Return where hours of the archive lie, and where a dataset is published from them on disk."""
    generation, layout = settings.data_generation, DataLayout(settings.data_dir.absolute())
    decides = [fleet_hash(generation), settings.archive.model_dump_json(), json.dumps(settings.panel.inbound_share)]
    provenance = Provenance(
        seed=generation.random_seed,
        settings_hash=settings_hash(generation, *decides),
        version=version("capsim"),
        start=generation.start_date,
    )
    return Site(layout.archive, layout.output / form.DATASET, settings.archive, provenance)


@dataclass(frozen=True)
class Exported(Generic[AnyManifest]):
    """A published dataset, and whether just this was there before, so that no file was touched."""

    folder: Path
    manifest: AnyManifest
    is_unchanged: bool


class _UnchangedError(Exception):
    """Leaves the temporary file behind: just its content is there already."""


def publish(
    folder: Path,
    form: type[AnyManifest],
    make: Callable[[Path | None], AnyManifest],
    *,
    require: Callable[[AnyManifest | None, AnyManifest], None] = lambda _before, _manifest: None,
    dry_run: bool = False,
) -> Exported[AnyManifest]:
    """Publish a dataset on disk; a dry run writes nothing.

    `make` writes the file with the rows, or without a path only goes through everything, and returns the manifest;
    `require` makes sure that it may follow the one that was there before.

    Raises:
        PublicationError: If it may not be published, or another process is at it; nothing was written.
        StorageError: If the disk refuses.
    """
    if dry_run:
        manifest = make(None)
        before = read_published(folder, form)
        require(before, manifest)
        return Exported(folder, manifest, _is_same(before, manifest))
    with local_disk(folder, "written"), sole_writer(folder):
        before = read_published(folder, form)
        try:
            with atomic_path(folder / DATA_NAME) as temporary:
                manifest = make(temporary)
                if _is_same(before, manifest):
                    raise _UnchangedError
                require(before, manifest)
                forget_manifest(folder)
        except _UnchangedError:
            assert before is not None  # noqa: S101 it was compared
            return Exported(folder, before, is_unchanged=True)
        write_manifest(folder, manifest)
        return Exported(folder, manifest, is_unchanged=False)


def write_rows(
    path: Path | None,
    schema: pa.Schema,
    tables: Iterable[pa.Table],
    footer: str,
    **encoding: Any,  # noqa: ANN401 as `parquet_writer` takes it
) -> None:
    """Write the rows of a dataset, a row group a table, with what its footer says; without a path only go through."""
    if path is None:
        deque(tables, maxlen=0)
        return
    with parquet_writer(path, schema, compression="zstd", **encoding) as writer:
        writer.add_key_value_metadata({PRODUCER: footer})
        for table in tables:
            if table.num_rows:
                writer.write_table(table.cast(schema), row_group_size=table.num_rows)


def _is_same(before: AnyManifest | None, manifest: AnyManifest) -> bool:
    """Whether a manifest was there that says the same, of a file that was not written all but its size and digest."""
    if before is not None and manifest.data.hash == UNSEALED:
        data = before.data.model_copy(update={"bytes": manifest.data.bytes, "hash": UNSEALED})
        before = before.model_copy(update={"resources": (data,)})
    return before is not None and before.content == manifest.content
