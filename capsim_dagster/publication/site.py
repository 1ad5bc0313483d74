"""Where the daily dataset comes from and goes to, by the settings."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from capsim_dagster.errors import SettingsError
from capsim_dagster.publication.describe import DATASET, Provenance
from capsim_dagster.publication.export import DailySite
from capsim_dagster.publication.manifest import DATA_NAME, MANIFEST_NAME
from capsim_dagster.settings import Settings, settings_hash
from capsim_dagster.simulation.telemetry import fleet_hash
from capsim_dagster.storage import DataLayout, Store, bucket_of


def site_of(settings: Settings) -> DailySite:
    """Return where days of the archive lie, and where they are published on disk."""
    generation, layout = settings.data_generation, DataLayout(settings.data_dir.absolute())
    decides = [fleet_hash(generation), settings.archive.model_dump_json(), json.dumps(settings.panel.inbound_share)]
    provenance = Provenance(
        seed=generation.random_seed,
        settings_hash=settings_hash(generation, *decides),
        version=version("capsim"),
        start=generation.start_date,
    )
    return DailySite(layout.archive, layout.output / DATASET, settings.archive, provenance)


def destination_of(settings: Settings) -> Store:
    """Return the bucket for published days: the one of the settings, else the one that credentials are stored for.

    Raises:
        SettingsError: If there is none.
        StorageError: If what is stored cannot be read.
    """
    from capsim_dagster.storage.credentials import stored_credentials

    name = settings.storage.bucket_name
    if name is None and (stored := stored_credentials()) is not None:
        name = stored.bucket
    if name is None:
        raise SettingsError(
            "there is no bucket to publish to: storage.bucket_name is not set, and no credentials are stored",
            remedy="run capsim tier3 configure, or set storage.bucket_name",
        )
    return bucket_of(settings, name)


@contextmanager
def fetched_day(store: Store, prefix: str) -> Iterator[Path]:
    """Yield a temporary folder with those files of a published day that the store has.

    Args:
        store: Where it is published.
        prefix: Folder of the day there.

    Raises:
        StorageError: If the store cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="capsim-") as root:
        folder = Path(root) / Path(prefix).name
        folder.mkdir()
        for name in (MANIFEST_NAME, DATA_NAME):
            key = f"{prefix}/{name}"
            if store.look(key) is not None:
                with store.reading(key) as path:
                    shutil.copyfile(path, folder / name)
        yield folder
