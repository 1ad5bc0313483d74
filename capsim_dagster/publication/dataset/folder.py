"""The folder of a published dataset on disk: one writer at a time, and never a manifest without its data."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from capsim_dagster.errors import PublicationError
from capsim_dagster.publication.dataset.manifest import (
    DATA_NAME,
    MANIFEST_NAME,
    MOST_BYTES,
    AnyManifest,
    DataFile,
    Manifest,
    parse_manifest,
)
from capsim_dagster.storage import atomic_path, local_disk, sha256
from capsim_dagster.storage.files import sync


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Make a folder and hold it against other writers; on a failure it goes again, if nothing is in it.

    The kernel lets go of it when the process ends, however it ends.

    Raises:
        PublicationError: If another process holds it.
        StorageError: If it cannot be made.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    with local_disk(folder, "made"):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _hold(descriptor, folder)
        yield
    except BaseException:
        for path in missing:
            with suppress(OSError):
                path.rmdir()
        raise
    finally:
        os.close(descriptor)


def _hold(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_held = folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat())
    except BlockingIOError:
        is_held = False
    if not is_held:
        raise PublicationError(
            f"another process is publishing into {folder}; this one wrote nothing",
            remedy="wait until it is done; run this again if nothing is published there then",
        )


def read_published(folder: Path, form: type[AnyManifest]) -> AnyManifest | None:
    """Return the manifest of a folder; None = there is none that its data file and its own hash bear out."""
    try:
        content = manifest_text(folder) or b""
        manifest = parse_manifest(form, content, str(folder / MANIFEST_NAME))
        is_whole = content == manifest.text.encode() and manifest.is_sealed
        is_whole = is_whole and has_size(folder / DATA_NAME, manifest.data)
        digest = sha256(folder / DATA_NAME) if is_whole else ""
    except (OSError, PublicationError):
        return None
    return manifest if manifest.data.hash == f"sha256:{digest}" else None


def is_dataset_file(name: str) -> bool:
    """Whether a file of a published dataset is called so."""
    return name in (DATA_NAME, MANIFEST_NAME)


def has_size(path: Path, promised: DataFile) -> bool:
    """Return whether a path is a file of the size that its manifest says: a pipe or a device would be read for ever."""
    return path.is_file() and path.stat().st_size == promised.bytes


def manifest_text(folder: Path) -> bytes | None:
    """Return the text of the manifest in a folder, or as much of it as shows that it is none; None = there is no file.

    Raises:
        OSError: If it cannot be read.
    """
    path = folder / MANIFEST_NAME
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def forget_manifest(folder: Path) -> None:
    """Remove the manifest, for good before anything that follows."""
    (folder / MANIFEST_NAME).unlink(missing_ok=True)
    sync(folder)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, whole or not at all."""
    with atomic_path(folder / MANIFEST_NAME) as temporary:
        temporary.write_bytes(manifest.text.encode())
