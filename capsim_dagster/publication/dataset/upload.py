"""A published dataset goes to a store: its data first, and then, on condition that nobody else was there, its manifest.

Data have a fixed name, so while one is replaced a reader may see new data beside the old manifest for a moment; the
verifier calls that an error, as it must. It stays only if the one who replaces is killed at that instant, until it
is uploaded again. Whoever wrote the data last sees to it that the manifest is theirs: each looks at the manifest, then
makes sure that the data are its own, and then replaces just that manifest. Of data above `bucket.LARGE_BYTES` the
store does not heed the condition.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Generic

from capsim_dagster.errors import PublicationError, SettingsError, StorageError
from capsim_dagster.publication.dataset.folder import read_published, write_manifest
from capsim_dagster.publication.dataset.manifest import (
    DATA_NAME,
    MANIFEST_NAME,
    AnyManifest,
    digest_of,
    parse_manifest,
)
from capsim_dagster.settings import Settings
from capsim_dagster.storage import Held, Store, bucket_of, sha256
from capsim_dagster.storage.credentials import stored_credentials

_ATTEMPTS: Final = 10
"""So often may others replace the manifest while this one's data are there: each of them ran to its end."""


class Outcome(StrEnum):
    """What an upload did."""

    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    REPAIRED = "repaired"
    REPLACED = "replaced"


@dataclass(frozen=True)
class Uploaded(Generic[AnyManifest]):
    """A dataset in a store: its folder there, what was done, and the manifest that is there."""

    url: str
    outcome: Outcome
    manifest: AnyManifest


@dataclass(frozen=True)
class _There(Generic[AnyManifest]):
    """The manifest of a dataset in a store: its version, the digest of its text, what it says; None = it is damaged."""

    held: Held
    digest: str
    manifest: AnyManifest | None


@dataclass(frozen=True)
class _Upload(Generic[AnyManifest]):
    """A dataset on its way to its folder in a store, where other content may be replaced or not."""

    folder: Path
    manifest: AnyManifest
    store: Store
    prefix: str
    may_replace: bool

    @property
    def data_key(self) -> str:
        return f"{self.prefix}/{DATA_NAME}"

    @property
    def manifest_key(self) -> str:
        return f"{self.prefix}/{MANIFEST_NAME}"

    @property
    def url(self) -> str:
        return self.store.url(self.prefix)

    def there(self) -> _There[AnyManifest] | None:
        """Return the manifest in the store; None = there is none.

        It is looked at before it is read: where it changes in between, replacing what was looked at fails.
        """
        held = self.store.look(self.manifest_key)
        if held is None:
            return None
        with self.store.reading(self.manifest_key) as path:
            content = path.read_bytes()
        try:
            found = parse_manifest(type(self.manifest), content, self.store.url(self.manifest_key))
        except PublicationError:
            return _There(held, digest_of(content), None)
        is_whole = found.is_sealed and found.text.encode() == content
        return _There(held, digest_of(content), found if is_whole else None)

    def is_ours(self, there: _There[AnyManifest] | None) -> bool:
        """Whether a manifest says what this one's does."""
        found = there.manifest if there else None
        return found is not None and found.content == self.manifest.content

    def has_our_data(self, held: Held | None) -> bool:
        """Whether the data in the store are this one's; those without a known digest are fetched."""
        data = self.manifest.data
        if held is None or held.bytes != data.bytes:
            return False
        if held.digest is not None:
            return f"sha256:{held.digest}" == data.hash
        with self.store.reading(self.data_key) as path:
            return f"sha256:{sha256(path)}" == data.hash


def upload(
    folder: Path, form: type[AnyManifest], store: Store, prefix: str, *, replace: bool = False
) -> Uploaded[AnyManifest]:
    """Put a published dataset into a store, at its place below a prefix.

    `replace` lets it replace other content, and data whose manifest never came.

    Raises:
        PublicationError: If it is not whole on disk, other content is published, or another uploader was faster.
        StorageError: If the store cannot be reached, read or written.
    """
    manifest = read_published(folder, form)
    if manifest is None:
        raise PublicationError(
            f"{folder} holds no published {form.UNIT}: its manifest is missing, or its files are not as they were"
            " written",
            remedy=f"publish it again (capsim {form.DATASET.partition('_')[0]} export), and then upload it",
        )
    way = _Upload(folder, manifest, store, f"{prefix}/{manifest.place}", replace)
    there = way.there()
    if there is not None and not way.is_ours(there) and not replace:
        raise _other_content(way, there)
    has_sent = _send_data(way, published=way.is_ours(there))
    return _send_manifest(way, has_sent=has_sent)


def _send_data(upload: _Upload[AnyManifest], *, published: bool) -> bool:
    """Put the data, unless they are there; return whether they had to be sent.

    Raises:
        PublicationError: If other data are there, which may not be replaced.
    """
    held = upload.store.look(upload.data_key)
    if upload.has_our_data(held):
        return False
    if held is not None and not (published or upload.may_replace):
        raise PublicationError(
            f"{upload.store.url(upload.data_key)} holds other data, which no manifest goes with: another uploader is at"
            " work, or one was killed",
            remedy="wait for the other one; if there is none, upload with --replace",
        )
    upload.store.replace(upload.data_key, upload.folder / DATA_NAME, held)
    return True


def _send_manifest(upload: _Upload[AnyManifest], *, has_sent: bool) -> Uploaded[AnyManifest]:
    """Put the manifest, after others' if they come in between, as long as the data are this one's.

    Raises:
        PublicationError: If another uploader was faster.
    """
    for _attempt in range(_ATTEMPTS):
        there = upload.there()
        if not upload.has_our_data(upload.store.look(upload.data_key)):
            raise _overtaken(upload)
        if there is not None and there.manifest is not None and upload.is_ours(there):
            return Uploaded(upload.url, Outcome.REPAIRED if has_sent else Outcome.UNCHANGED, there.manifest)
        if there is not None and not upload.may_replace:
            raise _other_content(upload, there)
        sealed = upload.manifest.model_copy(update={"supersedes": there.digest if there else None}).sealed()
        if _is_placed(upload, sealed, there):
            return Uploaded(upload.url, Outcome.REPLACED if there else Outcome.PUBLISHED, sealed)
    raise _overtaken(upload)


def _is_placed(upload: _Upload[AnyManifest], manifest: AnyManifest, there: _There[AnyManifest] | None) -> bool:
    """Put a manifest in the place of the one that was there; return whether no other one was faster."""
    with tempfile.TemporaryDirectory(prefix="capsim-") as folder:
        write_manifest(Path(folder), manifest)
        source = Path(folder) / MANIFEST_NAME
        digest = sha256(source)
        if upload.store.look(upload.manifest_key) != (there.held if there else None):
            return False
        try:
            upload.store.replace(upload.manifest_key, source, there.held if there else None)
        except StorageError:
            found = upload.store.look(upload.manifest_key)
            if found == (there.held if there else None):
                raise
            return found is not None and found.digest == digest
    return True


def _other_content(upload: _Upload[AnyManifest], there: _There[AnyManifest]) -> PublicationError:
    what = f"made {there.manifest.created:%Y-%m-%d %H:%M} UTC" if there.manifest else "whose manifest is damaged"
    return PublicationError(
        f"{upload.url} is published with other content, {what}; nothing of it was changed",
        remedy="keep it, or replace it with --replace; its manifest is then recorded as superseded",
    )


def _overtaken(upload: _Upload[AnyManifest]) -> PublicationError:
    return PublicationError(
        f"{upload.url}: another uploader replaced the data meanwhile; its manifest follows",
        remedy="let one uploader run at a time, and run this again with --replace if this content is the one to keep",
    )


def destination_of(settings: Settings) -> Store:
    """Return the bucket for published datasets: the one of the settings, else the one that credentials are stored for.

    Raises:
        SettingsError: If there is none.
        StorageError: If what is stored cannot be read.
    """
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
def fetched(store: Store, prefix: str) -> Iterator[Path]:
    """Yield a temporary folder with those files of a published dataset that the store has below a prefix.

    The folder has the place and name of the prefix.

    Raises:
        StorageError: If the store cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="capsim-") as root:
        folder = Path(root, prefix)
        folder.mkdir(parents=True)
        for name in (MANIFEST_NAME, DATA_NAME):
            key = f"{prefix}/{name}"
            if store.look(key) is not None:
                with store.reading(key) as path:
                    shutil.copyfile(path, folder / name)
        yield folder
