"""Manifests that were edited and sealed again, as their producer would."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from capsim_dagster.publication.dataset.manifest import digest_of, parse_manifest
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster.publication.tier3.manifest import DayManifest

JsonEdit = Callable[[dict[str, Any]], object]


def seal(folder: Path, kind: type[DayManifest] | type[HourManifest], edit: JsonEdit) -> None:
    """Edit the manifest of a dataset, and seal it again."""
    content = json.loads((folder / "manifest.json").read_text())
    edit(content)
    manifest = parse_manifest(kind, json.dumps(content).encode(), "")
    (folder / "manifest.json").write_text(manifest.sealed().text)


def seal_data(folder: Path, kind: type[DayManifest] | type[HourManifest]) -> None:
    """Write size and digest of the data into the manifest."""
    content = (folder / "data.parquet").read_bytes()
    seal(folder, kind, lambda said: said["resources"][0].update(bytes=len(content), hash=digest_of(content)))
