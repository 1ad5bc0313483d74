"""Ways to damage published datasets, sealed again so that the damage shows where it is, and not in the bytes."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from capsim_dagster.publication.dataset.folder import write_manifest
from capsim_dagster.publication.dataset.manifest import DATA_NAME, MANIFEST_NAME, Manifest, parse_manifest


def seal(folder: Path, kind: type[Manifest], **changes: object) -> None:
    """Change what a manifest says, and seal it again."""
    manifest = parse_manifest(kind, (folder / MANIFEST_NAME).read_bytes(), "manifest")
    write_manifest(folder, manifest.model_copy(update=changes).sealed())


def raise_values(folder: Path, kind: type[Manifest], column: str, by: float) -> None:
    """Add to the values of the first host in the data, and let the manifest say size and digest of the new file."""
    table = pq.read_table(folder / DATA_NAME)
    first = pc.equal(table["host_id"], table["host_id"][0])
    raised = pc.if_else(first, pc.add(table[column], by), table[column]).cast(table.schema.field(column).type)
    index = table.schema.get_field_index(column)
    pq.write_table(table.set_column(index, table.schema.field(column), raised), folder / DATA_NAME)
    content = (folder / DATA_NAME).read_bytes()
    manifest: Any = parse_manifest(kind, (folder / MANIFEST_NAME).read_bytes(), "manifest")
    facts = {"bytes": len(content), "hash": f"sha256:{hashlib.sha256(content).hexdigest()}"}
    write_manifest(
        folder, manifest.model_copy(update={"resources": (manifest.data.model_copy(update=facts),)}).sealed()
    )


def edit_manifest(folder: Path) -> None:
    """Change the manifest's text and not what it says."""
    path = folder / MANIFEST_NAME
    path.write_bytes(path.read_bytes() + b"\n")


def truncate_data(folder: Path) -> None:
    """Cut the last byte off the data."""
    path = folder / DATA_NAME
    path.write_bytes(path.read_bytes()[:-1])
