"""A place that holds whole objects by key, written conditionally: what any is, and the one that is a local folder.

Readers and writers of Parquet and CSV work on local files, which is fastest and the same everywhere; a store says where
such a file comes from and where it goes. The other place is `bucket`; which one is used is chosen in `store`.
"""

import datetime as dt
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from typing_extensions import override

from capsim_dagster.errors import StorageError
from capsim_dagster.storage.files import atomic_path, sha256


@dataclass(frozen=True)
class ObjectFacts:
    """What a listing says of an object.

    Attributes:
        key: Its key: folders and name with slashes, below the store's root.
        e_tag: What an object store calls this version; empty for a file.
    """

    key: str
    bytes: int
    modified: dt.datetime
    e_tag: str = ""


@dataclass(frozen=True)
class Held:
    """What an object holds; the digest is its hex SHA-256, None where another program wrote it and none is known."""

    bytes: int
    digest: str | None
    e_tag: str | None = None

    def equals(self, other: "Held") -> bool:
        """Whether both are known to have the same content."""
        return self.digest is not None and (self.bytes, self.digest) == (other.bytes, other.digest)


class Store(Protocol):
    """A place that holds whole objects by key.

    Everything but `url` raises a StorageError where the place refuses or cannot be reached; of those that write, also
    where another writer replaced the object meanwhile by other content.
    """

    def url(self, key: str) -> str:
        """Return where a person finds an object: a path, or s3://bucket/key."""
        ...

    def check(self) -> None:
        """Make sure that the place is there and can be reached, before long work starts."""
        ...

    def list(self, prefix: str) -> list[ObjectFacts]:
        """Return the objects in a folder, not in those below it, by key."""
        ...

    def walk(self, prefix: str) -> Sequence[ObjectFacts]:
        """Return the objects in a folder and in those below it, by key."""
        ...

    def reading(self, key: str) -> AbstractContextManager[Path]:
        """Yield a local file with the content of an object, which must be there, and be read whole."""
        ...

    def writing(self, key: str) -> AbstractContextManager[Path]:
        """Yield the path of a file to write, which becomes the object on leaving; on a failure nothing changes."""
        ...

    def put(self, key: str, source: Path) -> bool:
        """Make an object of a local file; return whether its content was not there already."""
        ...

    def look(self, key: str) -> Held | None:
        """Return what an object holds; None = there is none."""
        ...

    def replace(self, key: str, source: Path, held: Held | None) -> bool:
        """Make an object of a local file, if it still holds what `look` said; return whether it had to be written."""
        ...

    def remove(self, key: str) -> None:
        """Remove an object, if there is one."""
        ...


@dataclass(frozen=True)
class Folder(Store):
    """A local folder.

    Of two writers at once the last one wins, and each leaves a whole file.
    """

    root: Path

    @override
    def url(self, key: str) -> str:
        return str(self.root / key)

    @override
    def check(self) -> None:
        with local_disk(self.root, "written"):
            self.root.mkdir(parents=True, exist_ok=True)

    @override
    def list(self, prefix: str) -> list[ObjectFacts]:
        folder = self.root / prefix
        with local_disk(folder, "read"):
            files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
            return [_facts(path, f"{prefix}/{path.name}") for path in files if not path.name.startswith(".")]

    @override
    def walk(self, prefix: str) -> Sequence[ObjectFacts]:
        with local_disk(self.root / prefix, "read"):
            found = [path for path in (self.root / prefix).rglob("*") if path.is_file()]
            keys = {path.relative_to(self.root): path for path in found}
            shown = [key for key in keys if not any(part.startswith(".") for part in key.parts)]
            return sorted((_facts(keys[key], key.as_posix()) for key in shown), key=lambda facts: facts.key)

    @override
    @contextmanager
    def reading(self, key: str) -> Iterator[Path]:
        path = self.root / key
        if not path.is_file():
            raise StorageError(f"no file at {path}", remedy="look what is there, and name one that exists")
        yield path

    @override
    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        path = self.root / key
        with local_disk(path, "written"), atomic_path(path) as temporary:
            yield temporary

    @override
    def put(self, key: str, source: Path) -> bool:
        path = self.root / key
        with local_disk(path, "written"):
            if path.is_file() and sha256(path) == sha256(source):
                return False
            with atomic_path(path) as temporary:
                shutil.copyfile(source, temporary)
        return True

    @override
    def look(self, key: str) -> Held | None:
        path = self.root / key
        with local_disk(path, "read"):
            return Held(path.stat().st_size, sha256(path)) if path.is_file() else None

    @override
    def replace(self, key: str, source: Path, held: Held | None) -> bool:
        # Writers that use this in one folder take turns.
        path = self.root / key
        with local_disk(path, "written"), _turn(path.parent):
            found, content = self.look(key), Held(source.stat().st_size, sha256(source))
            if found is not None and found.equals(content):
                return False
            if found != held:
                raise replaced_meanwhile(self.url(key))
            return self.put(key, source)

    @override
    def remove(self, key: str) -> None:
        path = self.root / key
        with local_disk(path, "removed"):
            path.unlink(missing_ok=True)


@contextmanager
def local_disk(path: Path, done: str, *, instead: str = "name another --data-dir") -> Iterator[None]:
    """Say what to do about a file system that refuses.

    `done`: what is done to it, as a participle.
    `instead`: another way out than to make room.

    Raises:
        StorageError: If it refuses.
    """
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path} cannot be {done}: {error.strerror or error}",
            remedy=f"make room or mend the permissions, or {instead}; what was there before is untouched",
        ) from None


def replaced_meanwhile(url: str) -> StorageError:
    """Return the error of a writer that lost a race."""
    return StorageError(
        f"{url}: another writer replaced it meanwhile; this one's content was not stored",
        remedy="let one writer run at a time, and run this again if its content is the one to keep",
    )


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """Wait until no other process holds a folder, and hold it; the kernel lets go of it when the process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _facts(path: Path, key: str) -> ObjectFacts:
    status = path.stat()
    return ObjectFacts(key, status.st_size, dt.datetime.fromtimestamp(status.st_mtime, tz=dt.UTC))
