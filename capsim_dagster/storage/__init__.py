"""Files and objects: where each artifact lies, and writes that are whole or absent, on disk or in a bucket."""

from capsim_dagster.storage.files import Gate as Gate
from capsim_dagster.storage.files import StoredFile as StoredFile
from capsim_dagster.storage.files import atomic_path as atomic_path
from capsim_dagster.storage.files import fill_parquet as fill_parquet
from capsim_dagster.storage.files import identity as identity
from capsim_dagster.storage.files import sha256 as sha256
from capsim_dagster.storage.files import staged_parquet as staged_parquet
from capsim_dagster.storage.files import write_parquet as write_parquet
from capsim_dagster.storage.layout import DataLayout as DataLayout
from capsim_dagster.storage.place import Folder as Folder
from capsim_dagster.storage.place import Held as Held
from capsim_dagster.storage.place import ObjectFacts as ObjectFacts
from capsim_dagster.storage.place import Store as Store
from capsim_dagster.storage.place import local_disk as local_disk
from capsim_dagster.storage.store import bucket_of as bucket_of
from capsim_dagster.storage.store import store_of as store_of
