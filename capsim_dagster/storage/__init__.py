"""Files and objects: where each artifact lies, and writes that are whole or absent, on disk or in a bucket."""

from capsim_dagster.storage.files import (
    Gate,
    StoredFile,
    atomic_path,
    fill_parquet,
    sha256,
    staged_parquet,
    write_parquet,
)
from capsim_dagster.storage.layout import DataLayout
from capsim_dagster.storage.place import Folder, Held, ObjectFacts, Store, local_disk
from capsim_dagster.storage.store import bucket_of, store_of

__all__ = [
    "DataLayout",
    "Folder",
    "Gate",
    "Held",
    "ObjectFacts",
    "Store",
    "StoredFile",
    "atomic_path",
    "bucket_of",
    "fill_parquet",
    "local_disk",
    "sha256",
    "staged_parquet",
    "store_of",
    "write_parquet",
]
