"""Which file is loaded: the newest panel in the raw folder, or the one named.

The newest is the one whose name says so: a copy or sample that happens to be written later is never chosen, and is
reported as a stray.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from capsim_dagster.audits.report import Finding, Severity
from capsim_dagster.errors import PanelError, listed
from capsim_dagster.panel.contract import PanelName, panel_name
from capsim_dagster.settings import Settings
from capsim_dagster.storage import Folder, ObjectFacts, Store

_COMPANION: Final = re.compile(r"raw_server_metrics_\d{8}_to_\d{8}[_.].*(?<!\.parquet)")
"""Names of what lies beside a panel: its summary and its sample."""
_S3: Final = "s3://"
_GENERATE: Final = "make one with capsim panel generate, or name one with --input"


@dataclass(frozen=True)
class FoundPanel:
    """The file to load.

    Attributes:
        store: Where it lies.
        key: Its key there.
        is_own: Whether it lies in capsim's own raw folder.
        findings: About the files beside it.
    """

    store: Store
    key: str
    is_own: bool
    findings: Sequence[Finding] = ()

    @property
    def url(self) -> str:
        """Where a person finds it."""
        return self.store.url(self.key)

    @property
    def stem(self) -> str:
        """The name of the file without its ending."""
        return Path(self.key).stem

    @property
    def name(self) -> PanelName | None:
        """What its name says, None if it is no panel's."""
        return panel_name(Path(self.key).name)


def find_panel(settings: Settings, store: Store, source: str | None) -> FoundPanel:
    """Return the file to load.

    Args:
        settings: Where panels lie.
        store: The place that holds the raw folder.
        source: A path, an s3:// URL or the name of a file in the raw folder; None = the newest panel there.

    Raises:
        PanelError: If there is no such panel.
        StorageError: If the place cannot be read.
    """
    folder = settings.storage.raw_prefix
    if source is None:
        return newest_panel(store, folder)
    if source.startswith(_S3):
        return _in_bucket(store, folder, source)
    files = store.list(folder) if "/" not in source else []
    named = [file for file in files if _file_name(file) == source]
    if named:
        return FoundPanel(store, named[0].key, is_own=True, findings=[_strays(files, named[0])])
    return _on_disk(store, folder, Path(source))


def newest_panel(store: Store, folder: str) -> FoundPanel:
    """Return the panel of a folder whose window ends last; of several the longest, and of those the one written last.

    Raises:
        PanelError: If no file there has the name of a panel.
        StorageError: If the folder cannot be read.
    """
    files = store.list(folder)
    panels = [(name, file) for file in files if (name := _raw_name(file))]
    if not panels:
        others = f"; it holds {listed(_file_name(file) for file in files)}" if files else ""
        raise PanelError(
            f"no panel in {store.url(folder)}: expected raw_server_metrics_YYYYMMDD_to_YYYYMMDD.parquet{others}",
            remedy=_GENERATE,
        )
    _, chosen = max(panels, key=lambda panel: (panel[0].end, -panel[0].start.toordinal(), panel[1].modified))
    return FoundPanel(store, chosen.key, is_own=True, findings=[_strays(files, chosen)])


def _strays(files: Sequence[ObjectFacts], chosen: ObjectFacts) -> Finding:
    """Return whether the folder holds panels only, those files first that are newer than the chosen one."""
    others = [file for file in files if file.key != chosen.key and not _raw_name(file)]
    strays = [file for file in others if not _COMPANION.fullmatch(_file_name(file))]
    newer = [file for file in strays if file.modified > chosen.modified]
    older = [file for file in strays if file.modified <= chosen.modified]
    said = f", {len(newer):,} of them newer than {_file_name(chosen)}" if newer else ""
    return Finding(
        "folder_holds_panels_only",
        Severity.WARNING,
        count=len(strays),
        message=f"{len(strays):,} files are no panel by their name and were not read{said}" if strays else "",
        examples=[*(f"{_file_name(file)} (newer)" for file in newer), *(_file_name(file) for file in older)][:5],
    )


def _in_bucket(store: Store, folder: str, url: str) -> FoundPanel:
    root = store.url("")
    if not (root.startswith(_S3) and url.startswith(root)):
        raise PanelError(
            f"{url} is not in {root}, where these settings look",
            remedy="name its bucket in storage.bucket_name and set storage.use_s3, or copy it here",
        )
    key = url.removeprefix(root).lstrip("/")
    return FoundPanel(store, key, is_own=key.rpartition("/")[0] == folder)


def _on_disk(store: Store, folder: str, path: Path) -> FoundPanel:
    if not path.is_file():
        raise PanelError(f"no panel {path}, neither as a path nor in {store.url(folder)}", remedy=_GENERATE)
    is_own = str(path.resolve().parent) == str(Path(store.url(folder)).resolve())
    return FoundPanel(Folder(path.parent), path.name, is_own=is_own)


def _raw_name(file: ObjectFacts) -> PanelName | None:
    name = panel_name(_file_name(file))
    return None if name is None or name.is_validated else name


def _file_name(file: ObjectFacts) -> str:
    return file.key.rpartition("/")[2]
