"""Which file is loaded, the newest panel in the raw folder or the one named, and what it is expected to hold.

The newest is the one whose name says so: a copy or sample that happens to be written later is never chosen, and is
reported as a stray. What it must hold is said by the settings, its own footer or its name.
"""

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from capsim_dagster.audits.report import Finding, Severity
from capsim_dagster.errors import PanelError, listed
from capsim_dagster.panel.contract import FOOTER_KEY, PanelName, panel_name
from capsim_dagster.settings import Settings
from capsim_dagster.storage import Folder, ObjectFacts, Store

_COMPANION: Final = re.compile(r"raw_server_metrics_\d{8}_to_\d{8}[_.].*(?<!\.parquet)")
"""Names of what lies beside a panel: its summary and its sample."""
_S3: Final = "s3://"
_GENERATE: Final = "make one with capsim panel generate, or name one with --input"

Footer = tuple[int, dt.date, dt.date]
"""Servers, first and last day, as the footer of a panel of capsim's says."""


@dataclass(frozen=True)
class FoundPanel:
    """The file to load, whether it lies in capsim's own raw folder, and what was found on the files beside it."""

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
    """Return the file to load: `source` is a path, an s3:// URL or a name in the raw folder; None = the newest there.

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


@dataclass(frozen=True)
class Expectation:
    """Servers and days that a panel must hold, and who says it; None = nothing says it."""

    servers: int | None = None
    servers_said_by: str = ""
    start: dt.date | None = None
    end: dt.date | None = None
    days_said_by: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "servers": self.servers,
            "servers_said_by": self.servers_said_by or None,
            "start": self.start and self.start.isoformat(),
            "end": self.end and self.end.isoformat(),
            "days_said_by": self.days_said_by or None,
        }


def read_footer(metadata: Mapping[bytes, bytes]) -> Footer | None:
    """Return what the footer says, None if the file is not capsim's.

    Raises:
        PanelError: If it is capsim's, but cannot be understood.
    """
    raw = metadata.get(FOOTER_KEY.encode())
    if raw is None:
        return None
    try:
        facts = json.loads(raw)
        start, end = (dt.date.fromisoformat(facts[name]) for name in ("start", "end"))
        return int(facts["servers"]), start, end
    except (ValueError, TypeError, KeyError) as error:
        raise PanelError(
            f"the footer {FOOTER_KEY} says not which servers and days the panel holds: {error!r}",
            remedy="generate the panel again, or remove the key",
        ) from None


def expectation(settings: Settings, found: FoundPanel, footer: Footer | None) -> Expectation:
    """Return what a panel must hold: the setting counts first, then its footer, its name and the fleet."""
    servers, servers_by = _servers(settings, found, footer)
    claims = [("footer", *footer[1:])] if footer else []
    if name := found.name:
        claims.append(("name", name.start, name.end))
    return Expectation(
        servers,
        servers_by,
        min((start for _, start, _ in claims), default=None),
        max((end for _, _, end in claims), default=None),
        " and ".join(source for source, _, _ in claims),
    )


def _servers(settings: Settings, found: FoundPanel, footer: Footer | None) -> tuple[int | None, str]:
    if (servers := settings.panel.validation.expected_servers) is not None:
        return servers, "panel.validation.expected_servers"
    if footer:
        return footer[0], "footer"
    # Whoever rewrites a panel in place with a tool that drops the footer cannot thereby drop half of the fleet.
    return (settings.data_generation.num_servers, "data_generation.num_servers") if found.is_own else (None, "")
