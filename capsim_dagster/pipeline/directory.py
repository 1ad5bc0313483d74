"""A data directory as a whole: the record of the settings that made it, whose data it holds, and what would go.

What the record says and how settings follow from it is in `settings.directory`.
"""

import shutil
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from capsim_dagster.errors import SettingsError, StorageError
from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.schemas.feed import ORIGIN_FACT, OWN_FEED
from capsim_dagster.settings import RECORD_NAME, Chosen, Kind, chosen_alone, read_record, record_content, record_of
from capsim_dagster.settings.yaml_file import yaml_text
from capsim_dagster.simulated.footer import read_footer
from capsim_dagster.storage import atomic_path
from capsim_dagster.storage.warehouse import fact
from capsim_dagster.text import megabytes

_HEADER: Final = """\
# The settings that made what lies in this folder. Every capsim command here takes them as its default.
# Written by capsim, not to be edited: capsim run with other settings and --replace makes the folder anew.
"""
_NOT_REMADE: Final = ("panels", "hourly_archive", "datasets", "pictures")
"""What the main job does not make: of another fleet it would stay beside the new one."""
_GO_WITH: Final = {
    "data_generation": ("master_parquet", "monthly_csv", "processed_data", *_NOT_REMADE),
    "legacy_feed": ("monthly_csv", "processed_data"),
    "refinery": ("processed_data",),
    "panel": ("panels",),
    "archive": ("hourly_archive", "datasets"),
}
"""What is made of the settings of a section."""


def write_record(chosen: Chosen, kind: Kind) -> None:
    """Record the settings of a command in its data directory, unless it says the same already.

    Raises:
        StorageError: If it cannot be written.
    """
    path = chosen.settings.data_dir.absolute() / RECORD_NAME
    record = record_of(chosen, kind)
    if record == chosen.record:
        return
    text = _HEADER + yaml_text(record_content(record))
    try:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror}", remedy="name a --data-dir that can be written"
        ) from None


def record_first(chosen: Chosen, kind: Kind) -> None:
    """Record the settings of a command that may be the first in its directory, and that replaces nothing there.

    Raises:
        StorageError: If they cannot be written.
    """
    if chosen.record is None and not unrecorded_mismatch(Platform(chosen.settings)):
        write_record(chosen, kind)


def ensure_record(platform: Platform, kind: Kind) -> None:
    """Record the settings where nothing is recorded yet: of work that no command has begun, as from Dagster's UI.

    Raises:
        StorageError: If they cannot be written.
    """
    if not (platform.layout.root / RECORD_NAME).exists():
        record_first(chosen_alone(platform.settings), kind)


def kind_of(platform: Platform) -> Kind | None:
    """Return whose data lie in the directory; None = nobody's.

    A directory without a record was made by an older capsim.

    Raises:
        SettingsError: If the record cannot be read.
        WarehouseError: If there is none, and the warehouse cannot be read.
    """
    record, layout = read_record(platform.layout.root), platform.layout
    if record is not None:
        return record.kind
    if layout.master.exists() or any(layout.archive.glob("*")) or _files(_panels(platform, "raw_prefix")):
        return Kind.SIMULATED
    if layout.warehouse.exists():
        with platform.reading() as connection:
            return Kind.FEED if fact(connection, ORIGIN_FACT) not in (None, OWN_FEED) else Kind.SIMULATED
    return Kind.PANEL if _files(_panels(platform, "staged_prefix")) else None


def require_simulated(platform: Platform) -> None:
    """Keep simulated data out of a directory that holds somebody's real ones.

    Raises:
        SettingsError: If it does.
        WarehouseError: As `kind_of`.
    """
    kind = kind_of(platform)
    if kind in (Kind.FEED, Kind.PANEL):
        feed = platform.settings.refinery.feed_dir
        what = (f"the feed in {feed}" if feed else "a feed") if kind is Kind.FEED else "a panel"
        raise SettingsError(
            f"{platform.layout.root} holds {what} that capsim did not make; a simulated fleet does not go beside it",
            remedy="name another --data-dir for the fleet",
        )


def unrecorded_mismatch(platform: Platform) -> str:
    """Return in words how the fleet of a directory without a record differs from the settings; empty = it does not."""
    path = platform.layout.master
    try:
        return read_footer(pq.read_metadata(path)).mismatch(platform.generation) if path.exists() else ""
    except (pa.ArrowException, OSError):
        # Nobody can use it, and the run says so or makes it anew.
        return ""


def made_of(platform: Platform, sections: Collection[str]) -> list[str]:
    """Return what lies in the directory that was made of the settings of some sections, a line each."""
    assets = dict.fromkeys(asset for section, made in _GO_WITH.items() if section in sections for asset in made)
    return [line for asset in assets if (line := _told(platform, asset))]


def clear(platform: Platform, sections: Collection[str]) -> None:
    """Remove what was made of settings that no longer hold, and is not made anew by the main job.

    Raises:
        StorageError: If it cannot be removed.
    """
    going = {asset for section in sections for asset in _GO_WITH.get(section, ())}
    for asset in _NOT_REMADE:
        for folder in _places(platform, asset) if asset in going else ():
            try:
                if folder.exists():
                    shutil.rmtree(folder)
            except OSError as error:
                raise StorageError(
                    f"{folder} cannot be removed: {error}", remedy="remove it, and run this again"
                ) from None


def _told(platform: Platform, asset: str) -> str:
    """Return what there is of an asset, in a line; empty = nothing."""
    files = [file for place in _places(platform, asset) for file in _files(place)]
    if not files:
        return ""
    size = f"{megabytes(sum(file.stat().st_size for file in files))} MB"
    return f"{asset}: {', '.join([*_extent(platform, asset), _counted(len(files), 'file'), size])}"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _extent(platform: Platform, asset: str) -> Iterator[str]:
    """Yield how far an asset reaches, where that is cheap to see."""
    if asset == "master_parquet":
        try:
            footer = read_footer(pq.read_metadata(platform.layout.master))
        except (pa.ArrowException, OSError):
            return
        yield f"{footer.hosts:,} hosts from {footer.start} to {footer.end}"
    elif asset == "monthly_csv":
        yield _counted(len({piece.month for piece in platform.contract.pieces()}), "month")
    elif asset in ("hourly_archive", "datasets"):
        levels = "*" if asset == "hourly_archive" else "*/*"
        days = {path.name for place in _places(platform, asset) for path in place.glob(levels) if path.is_dir()}
        yield _counted(len(days), "day")


def _places(platform: Platform, asset: str) -> Iterable[Path]:
    """Return where an asset lies."""
    layout = platform.layout
    places = {
        "master_parquet": [layout.master, layout.truth],
        "monthly_csv": [layout.legacy, layout.defects],
        "processed_data": [layout.warehouse],
        "panels": [_panels(platform, "raw_prefix"), _panels(platform, "staged_prefix")],
        "hourly_archive": [layout.archive],
        "datasets": [layout.output],
        "pictures": [layout.plots],
    }
    return places[asset]


def _panels(platform: Platform, setting: str) -> Path:
    return platform.layout.root / str(getattr(platform.settings.storage, setting))


def _files(place: Path) -> list[Path]:
    return [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
