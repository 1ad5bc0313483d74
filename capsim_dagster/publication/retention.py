"""Retention: the days of the archive and of published datasets that are older than they are kept, and their removal.

A folder goes only if its name is a day, no link leads to it from the data directory, and nothing lies in it but what
capsim writes there. Manifests go first, for good, and data after them: a kill at any instant leaves no manifest without
its data, and the next removal goes on from there. What is there at the moment of removal decides, not what was planned.
"""

import datetime as dt
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from capsim_dagster.errors import CapsimError, PublicationError, StorageError, listed
from capsim_dagster.publication.dataset.folder import forget_manifest, is_dataset_file, read_published, sole_writer
from capsim_dagster.publication.hour_files import HOUR_NUMBER, OPEN_SUFFIX, day_named, is_hour_file
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster.settings import Retention
from capsim_dagster.storage import DataLayout, local_disk, sha256
from capsim_dagster.storage.files import TEMPORARY
from capsim_dagster.storage.locks import is_held

_WRITER: Final = re.compile(rf"\.(?P<of>[^/]+?){TEMPORARY}")
"""Name of a file that is being written, or was when its writer was killed."""

Advance = Callable[[int], None]
"""Called with the number of files of a day that was dealt with."""


@dataclass(frozen=True)
class Dataset:
    """Days of one kind, each in a folder of its own.

    Attributes:
        setting: The setting that says how long they are kept.
        keep_days: How many days are kept, today's included; None = for ever.
        form: Form of the folders' names, as `strftime` has it.
        is_mine: Tells by its name whether a file is one of the dataset's.
        has_hours: Whether each hour has a folder in that of its day.
    """

    name: str
    root: Path
    setting: str
    keep_days: int | None
    form: str
    is_mine: Callable[[str], bool]
    has_hours: bool = False

    def is_expired(self, day: dt.date, today: dt.date) -> bool:
        """Whether a day is older than days are kept."""
        return self.keep_days is not None and day.toordinal() <= today.toordinal() - self.keep_days

    def folder(self, day: dt.date) -> Path:
        """Return the folder of a day."""
        return self.root / f"{day:{self.form}}"

    def is_known(self, path: str, *, is_folder: bool) -> bool:
        """Whether capsim writes something of that name into the folder of a day."""
        hour, name = path.rpartition("/")[::2]
        if is_folder:
            return self.has_hours and not hour and re.fullmatch(HOUR_NUMBER, name) is not None
        writer = _WRITER.fullmatch(name)
        return self.is_mine(writer["of"] if writer else name) and bool(hour) == self.has_hours


@dataclass(frozen=True)
class DayFolder:
    """What lies in the folder of a day, sorted, by path below it; strangers are what capsim does not write."""

    dataset: Dataset
    day: dt.date
    files: Sequence[str] = ()
    folders: Sequence[str] = ()
    strangers: Sequence[str] = ()
    bytes: int = 0

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self.dataset.folder(self.day)


@dataclass(frozen=True)
class LeftDay:
    """A day that stays although it is older than days are kept, with why, and what to do."""

    folder: DayFolder
    reason: CapsimError


@dataclass
class DatasetPlan:
    """What becomes of the days of a dataset, oldest first: those that may not be removed are left."""

    dataset: Dataset
    kept: list[DayFolder] = field(default_factory=list)
    expired: list[DayFolder] = field(default_factory=list)
    left: list[LeftDay] = field(default_factory=list)


@dataclass(frozen=True)
class _Rules:
    """By what is decided; `unpublished` = samples go that are not in tier 3."""

    layout: DataLayout
    today: dt.date
    archive: Dataset
    tier3: Dataset
    unpublished: bool

    def require_removable(self, folder: DayFolder) -> None:
        """Make sure that the folder of a day may go.

        Raises:
            PublicationError: If it may not.
        """
        _require_inside(self.layout.root, folder.path)
        _require_no_strangers(folder)
        _require_no_writer(folder)
        is_wanted = folder.dataset == self.archive and not self.tier3.is_expired(folder.day, self.today)
        if is_wanted and not self.unpublished:
            _require_published(folder, self.tier3.folder(folder.day))

    def also_held(self, folder: DayFolder) -> Iterator[Path]:
        """Yield what is held by those who read or write a day of the archive: its export, and who has an hour open."""
        if folder.dataset == self.archive:
            yield self.tier3.folder(folder.day)
            if any(name.endswith(OPEN_SUFFIX) for name in folder.files):
                yield self.archive.root


@dataclass(frozen=True)
class RetentionPlan:
    """What becomes of every day, and by what was decided."""

    rules: _Rules
    datasets: Sequence[DatasetPlan]

    @property
    def has_limit(self) -> bool:
        """Whether any day of any dataset is ever removed."""
        return any(plan.dataset.keep_days is not None for plan in self.datasets)

    @property
    def expired(self) -> Sequence[DayFolder]:
        """The days that are to be removed."""
        return [folder for plan in self.datasets for folder in plan.expired]


def datasets_of(layout: DataLayout, retention: Retention) -> Sequence[Dataset]:
    """Return the datasets of which days are removed: archive, tier 2 and tier 3."""
    tier2, tier3, form = HourManifest.DATASET, DayManifest.DATASET, "%Y-%m-%d"
    roots = {name: layout.output / name for name in (tier2, tier3)}
    return (
        Dataset("archive", layout.archive, "archive_days", retention.archive_days, "%Y%m%d", is_hour_file),
        Dataset(tier2, roots[tier2], "tier2_days", retention.tier2_days, form, is_dataset_file, has_hours=True),
        Dataset(tier3, roots[tier3], "tier3_days", retention.tier3_days, form, is_dataset_file),
    )


def expired(layout: DataLayout, retention: Retention, *, today: dt.date, unpublished: bool = False) -> RetentionPlan:
    """Return what becomes of every day if N are kept, today's (UTC) and the N - 1 before it; nothing is changed.

    `unpublished` lets a day of the archive go although tier 3 is kept longer and has not all of its files.

    Raises:
        StorageError: If a folder cannot be read.
    """
    datasets = datasets_of(layout, retention)
    rules = _Rules(layout, today, datasets[0], datasets[-1], unpublished)
    return RetentionPlan(rules, [_planned(rules, dataset) for dataset in datasets])


def _planned(rules: _Rules, dataset: Dataset) -> DatasetPlan:
    plan = DatasetPlan(dataset)
    for day in _days_in(dataset):
        folder = _looked_at(dataset, day)
        if not dataset.is_expired(day, rules.today):
            plan.kept.append(folder)
            continue
        try:
            rules.require_removable(folder)
            plan.expired.append(folder)
        except PublicationError as error:
            plan.left.append(LeftDay(folder, error))
    return plan


def _days_in(dataset: Dataset) -> Sequence[dt.date]:
    with local_disk(dataset.root, "read"):
        found = [path.name for path in dataset.root.iterdir() if path.is_dir()] if dataset.root.is_dir() else []
    return sorted(day for name in found if (day := day_named(name, dataset.form)))


def _looked_at(dataset: Dataset, day: dt.date) -> DayFolder:
    """Return what lies in the folder of a day; a link is a stranger, and is not followed.

    Raises:
        StorageError: If it cannot be read.
    """
    files, folders, strangers, size = list[str](), list[str](), list[str](), 0
    with local_disk(dataset.folder(day), "read"):
        for path, facts in _entries(dataset.folder(day)):
            is_folder, is_file = stat.S_ISDIR(facts.st_mode), stat.S_ISREG(facts.st_mode)
            if not (is_folder or is_file) or not dataset.is_known(path, is_folder=is_folder):
                strangers.append(path)
            (folders if is_folder else files).append(path)
            size += 0 if is_folder else facts.st_size
    return DayFolder(dataset, day, sorted(files), sorted(folders), sorted(strangers), size)


def _entries(folder: Path, below: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Yield everything below a folder by its path there; what goes away meanwhile is left out."""
    with suppress(FileNotFoundError), os.scandir(folder / below) as found:
        for entry in found:
            path = f"{below}{entry.name}"
            with suppress(FileNotFoundError):
                yield path, entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                yield from _entries(folder, f"{path}/")


def _require_inside(root: Path, folder: Path) -> None:
    if folder.resolve() != root.resolve() / folder.relative_to(root):
        raise PublicationError(
            f"{folder} lies behind a link, at {folder.resolve()}: nothing is removed there",
            remedy="remove it there yourself, or name the data directory that it lies in by --data-dir",
        )


def _require_no_strangers(folder: DayFolder) -> None:
    if folder.strangers:
        raise PublicationError(
            f"{folder.path} holds what capsim does not write: {listed(folder.strangers)}; nothing of it was removed",
            remedy="move them elsewhere, or remove the folder yourself",
        )


def _require_no_writer(folder: DayFolder) -> None:
    alive = [name for name in folder.files if _is_written(name) and is_held(folder.path / name)]
    if alive:
        raise _busy(folder.path, f"{listed(alive)} is being written")


def _is_written(path: str) -> bool:
    return _WRITER.fullmatch(path.rpartition("/")[2]) is not None


def _busy(folder: Path, why: str) -> PublicationError:
    return PublicationError(
        f"{folder} is busy: {why}; nothing of the day was removed", remedy="run this again when that is done"
    )


def _require_published(folder: DayFolder, published: Path) -> None:
    """Make sure that tier 3 was made of just the hour files that are there.

    Raises:
        PublicationError: If it was not: samples would be lost.
    """
    hours = [name for name in folder.files if not _is_written(name)]
    manifest = read_published(published, DayManifest) if hours else None
    sources = {source.hash for source in manifest.sources} if manifest else set()
    lost = [name for name in hours if f"sha256:{sha256(folder.path / name)}" not in sources]
    if lost:
        what = f"is published without {listed(lost)}" if manifest else "is not published"
        raise PublicationError(
            f"{folder.day} {what} in tier 3, which keeps it: those samples would be lost",
            remedy=f"publish it first: capsim tier3 export --date {folder.day}, or let them go with --unpublished",
        )


def remove(plan: RetentionPlan, advance: Advance = lambda _files: None) -> Sequence[LeftDay]:
    """Remove the days that are to be removed; return those that stayed, whole or in part."""
    left = []
    for folder in plan.expired:
        try:
            _remove_day(plan.rules, folder)
        except (PublicationError, StorageError) as error:
            left.append(LeftDay(folder, error))
        advance(len(folder.files))
    return left


def _remove_day(rules: _Rules, folder: DayFolder) -> None:
    """Remove a day, if nobody is writing it, or exporting it from the archive.

    Raises:
        PublicationError: If it may not go.
        StorageError: If the disk refuses.
    """
    with ExitStack() as held:
        for each in (folder.path, *(folder.path / hour for hour in folder.folders), *rules.also_held(folder)):
            _hold(held, each)
        found = _looked_at(folder.dataset, folder.day)
        rules.require_removable(found)
        if found.folders != folder.folders:
            raise _busy(folder.path, "hours came or went")
        with _removing(folder.path):
            for part in (*found.folders, ""):
                _remove_part(found, part)


def _hold(held: ExitStack, folder: Path) -> None:
    """Hold a folder against other writers; one that was not there is gone again afterwards."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        held.enter_context(sole_writer(folder))
    except PublicationError:
        raise _busy(folder, "another process is writing into it") from None
    held.callback(_remove_empty, missing)


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def _remove_part(folder: DayFolder, part: str) -> None:
    """Remove the files that were found in an hour's folder, or in that of the day itself, and then that folder."""
    forget_manifest(folder.path / part)
    for name in folder.files:
        if name.rpartition("/")[0] == part:
            (folder.path / name).unlink(missing_ok=True)
    (folder.path / part).rmdir()


@contextmanager
def _removing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be removed: {error.strerror or error}",
            remedy="mend the permissions, and run this again: it goes on where it stopped",
        ) from None
