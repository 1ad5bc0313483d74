"""Which place outputs go to: the data directory, or a bucket."""

from typing import TYPE_CHECKING

from capsim_dagster.settings import Settings
from capsim_dagster.storage.place import Folder, Store

if TYPE_CHECKING:
    from capsim_dagster.storage.bucket import Bucket


def store_of(settings: Settings) -> Store:
    """Return the place where outputs go for good: the bucket, if there is one, else the data directory."""
    name = settings.storage.bucket_name
    return bucket_of(settings, name) if settings.uses_s3 and name else Folder(settings.data_dir.absolute())


def bucket_of(settings: Settings, name: str) -> "Bucket":
    """Return a bucket at the endpoint and in the region of the settings."""
    # The clients of the store cost each start 0.3 CPU seconds, which only those with a bucket are to pay.
    from capsim_dagster.storage.bucket import Bucket
    from capsim_dagster.storage.connection import Connection

    return Bucket(Connection(name, endpoint_url=settings.storage.endpoint_url, region=settings.storage.region))
