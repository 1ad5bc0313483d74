"""A bucket of an S3-compatible store: whole objects by key, written on condition that nobody else wrote meanwhile.

How it is reached, and what a refusal means, is in `connection`.
"""

import datetime as dt
import hashlib
import logging
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

import obstore
from obstore.exceptions import AlreadyExistsError, GenericError, PreconditionError
from typing_extensions import override

from capsim_dagster.errors import StorageError
from capsim_dagster.storage.connection import (
    EMPTY_OBJECT,
    NO_OBJECT,
    NOT_ALLOWED,
    REFUSED,
    Connection,
    answer,
    explained,
    is_lost,
)
from capsim_dagster.storage.files import sha256
from capsim_dagster.storage.place import Held, ObjectFacts, Store, local_disk, replaced_meanwhile

if TYPE_CHECKING:
    from obstore import ObjectMeta

LARGE_BYTES: Final = 512 << 20
"""Above it, an object is sent in parts: a request with a condition holds its whole body in memory."""
MAX_LISTED: Final = 1_000_000
"""Objects of a listing after which it is taken for endless: a hundred years of a feed are 5,000."""
_PART_BYTES: Final = 16 << 20
_PARTS_AT_ONCE: Final = 4
_PAUSES_S: Final = (0.1, 0.2, 0.4, 0.8)
"""Between attempts of a put that was lost on the way; its condition and its digest make repeating safe."""
_PROBE_BYTES: Final = 4 << 20
"""Largest object that is sent a second time to see whether the store heeds conditions."""
_PROBED: Final[set[tuple[str, str]]] = set()
"""Stores and buckets that were asked, in this process."""
_NO_VERSION: Final = '"0"'
"""What no store calls a version."""
_log = logging.getLogger(__name__)
_DIGEST: Final = "sha256"
"""User metadata that every object is given."""
_ELSEWHERE: Final = "set TMPDIR to a folder with more"
_NOWHERE: Final = "capsim-check"
"""A prefix to list that costs the store nothing."""


_UNREADABLE: Final = Held(0, None)
"""What credentials see that may not read: there may be an object, or none."""


@dataclass(frozen=True)
class Bucket(Store):
    """A bucket of a store that heeds If-None-Match and If-Match, as AWS does; one that does not overwrites.

    Of two writers of an object at once one wins; the others are told, unless they wrote the same content. Objects above
    `LARGE_BYTES` are sent in parts, which the store puts together at the end: they too are whole or absent, but the
    condition is only looked at before and after, so of two such writers within the same moment the last one wins,
    and the parts of a writer that was killed stay, unseen, until the bucket's lifecycle rule drops them.
    """

    connection: Connection

    @override
    def url(self, key: str) -> str:
        return f"s3://{self.connection.bucket}/{key}"

    @override
    def check(self) -> None:
        # That it may not be listed is no failure: the store has recognized the credentials and the bucket, and writing
        # may be all that they are for.
        with explained(self.connection, self.url("")):
            try:
                next(iter(obstore.list(self.connection.client(), prefix=_NOWHERE)), None)
            except REFUSED as error:
                if answer(error).code != NOT_ALLOWED:
                    raise

    @override
    def list(self, prefix: str) -> list[ObjectFacts]:
        with explained(self.connection, self.url(prefix)):
            found = obstore.list_with_delimiter(self.connection.client(), prefix)["objects"]
        return _by_key(found)

    @override
    def walk(self, prefix: str) -> Sequence[ObjectFacts]:
        with explained(self.connection, self.url(prefix)):
            return _by_key(chain.from_iterable(obstore.list(self.connection.client(), prefix=prefix)))

    def every(self, prefix: str) -> Iterator[ObjectFacts]:
        """Yield whatever lies below a prefix, its keys as they are: `walk` fails where one is no path, as `a//b`.

        Args:
            prefix: A folder, without a slash at its end; empty = the whole bucket.

        Raises:
            StorageError: If the bucket cannot be listed, or the listing does not end.
        """
        start = f"{prefix}/" if prefix else ""
        with explained(self.connection, self.url(start)):
            pages = (page.get("Contents", []) for page in self.connection.pages(start))
            for number, facts in enumerate(chain.from_iterable(pages)):
                if number == MAX_LISTED:
                    raise StorageError(
                        f"{self.url(start)} holds more than {MAX_LISTED:,} objects",
                        remedy="name a prefix below which there is less",
                    )
                yield ObjectFacts(facts["Key"], facts["Size"], facts["LastModified"], facts.get("ETag", ""))

    @override
    @contextmanager
    def reading(self, key: str) -> Iterator[Path]:
        with _temporary_file(key) as path:
            self._fetch(key, path)
            yield path

    @override
    @contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        before = self._look(key)
        with _temporary_file(key) as path:
            with local_disk(path, "written", instead=_ELSEWHERE):
                yield path
            self._send(key, path, before)

    @override
    def put(self, key: str, source: Path) -> bool:
        return self._send(key, source, self._look(key))

    @override
    def look(self, key: str) -> Held | None:
        return self._look(key)

    @override
    def replace(self, key: str, source: Path, held: Held | None) -> bool:
        return self._send(key, source, held)

    @override
    def remove(self, key: str) -> None:
        with explained(self.connection, self.url(key)):
            obstore.delete(self.connection.client(), key)

    def _look(self, key: str, *, patience: dt.timedelta | None = None) -> Held | None:
        """Return what an object holds; None = there is none.

        Its first byte is asked for, not its head: only answers with a body say why they refuse.
        """
        client = self.connection.client(patience=patience)
        with explained(self.connection, self.url(key)):
            try:
                found = obstore.get(client, key, options={"range": (0, 1)})
            except REFUSED as error:
                code = answer(error).code
                if code in (NO_OBJECT, NOT_ALLOWED):
                    return None if code == NO_OBJECT else _UNREADABLE
                if code != EMPTY_OBJECT:
                    raise
                found = obstore.get(client, key)
        return Held(found.meta["size"], found.attributes.get(_DIGEST), found.meta["e_tag"])

    def _send(self, key: str, path: Path, before: Held | None) -> bool:
        """Replace what was there before with a file's content; return whether it had to be sent."""
        with local_disk(path, "read"):
            content = Held(path.stat().st_size, sha256(path))
        if before is not None and before.equals(content):
            return False
        send = self._send_in_parts if content.bytes > LARGE_BYTES else self._send_at_once
        with explained(self.connection, self.url(key)):
            for pause in (*_PAUSES_S, None):
                try:
                    send(key, path, before, content)
                    break
                except GenericError as error:
                    if self._holds(key, content):
                        break
                    if pause is None or not is_lost(error):
                        raise
                time.sleep(pause)
        return True

    def _send_at_once(self, key: str, path: Path, before: Held | None, content: Held) -> None:
        with local_disk(path, "read"):
            # Of a path the client makes a buffer of up to twice its size.
            body = path.read_bytes()
        try:
            obstore.put(
                self.connection.client(content.bytes),
                key,
                body,
                mode={"e_tag": before.e_tag} if before and before.e_tag else "create",
                attributes={_DIGEST: content.digest or ""},
                use_multipart=False,
            )
        except (AlreadyExistsError, PreconditionError):
            self._require(key, content)
        except FileNotFoundError as error:
            if answer(error).code != NO_OBJECT:
                raise
            self._require(key, content)
        else:
            self._ask_once_for_conditions(key, body, content)

    def _ask_once_for_conditions(self, key: str, body: bytes, content: Held) -> None:
        """Say, once a process and bucket, if the store ignores conditions.

        The object that was just written is sent again on a condition that does not hold: a store that heeds it refuses,
        and one that does not writes the same bytes.
        """
        store = (self.connection.where, self.connection.bucket)
        if store in _PROBED or content.bytes > _PROBE_BYTES:
            return
        _PROBED.add(store)
        try:
            obstore.put(
                self.connection.client(content.bytes),
                key,
                body,
                mode={"e_tag": _NO_VERSION},
                attributes={_DIGEST: content.digest or ""},
                use_multipart=False,
            )
        except REFUSED:
            return
        _log.warning(
            "%s: %s ignores If-None-Match and If-Match. Objects are whole or absent, but of two writers at once the "
            "last one wins, and neither is told: let one write at a time.",
            self.url(""),
            self.connection.where,
        )

    def _send_in_parts(self, key: str, path: Path, before: Held | None, content: Held) -> None:
        if self._look(key) != before:
            self._require(key, content)
            return
        obstore.put(
            self.connection.client(_PART_BYTES * _PARTS_AT_ONCE),
            key,
            path,
            attributes={_DIGEST: content.digest or ""},
            use_multipart=True,
            chunk_size=_PART_BYTES,
            max_concurrency=_PARTS_AT_ONCE,
        )
        self._require(key, content)

    def _holds(self, key: str, content: Held) -> bool:
        """Whether an object arrived although the answer was lost."""
        try:
            found = self._look(key, patience=self.connection.patience / 4)
        except StorageError:
            return False
        return found is not None and found.equals(content)

    def _require(self, key: str, content: Held) -> None:
        """Make sure that an object holds what this writer sent, whoever put it there.

        A request whose answer was lost is repeated by the client, and then finds its own object in the way.
        """
        found = self._look(key)
        if found is _UNREADABLE:
            raise StorageError(
                f"{self.url(key)} is there already, and the credentials may not read it to compare",
                remedy="remove it, or use credentials that may read it too (s3:GetObject)",
            )
        if found is None or not found.equals(content):
            raise replaced_meanwhile(self.url(key))

    def _fetch(self, key: str, path: Path) -> None:
        """Download an object."""
        expected = self._look(key)
        digest, size = hashlib.sha256(), 0
        with explained(self.connection, self.url(key)):
            answered = obstore.get(self.connection.client(expected.bytes if expected else 0), key)
            with local_disk(path, "written", instead=_ELSEWHERE), path.open("wb") as file:
                for chunk in answered.stream():
                    digest.update(chunk)
                    size += file.write(chunk)
        content = Held(answered.meta["size"], answered.attributes.get(_DIGEST, digest.hexdigest()))
        if not content.equals(Held(size, digest.hexdigest())):
            raise StorageError(
                f"{self.url(key)}: {size:,} bytes arrived, which are not the {content.bytes:,} that were stored",
                remedy="fetch it again; if this stays, the object is damaged: write it again",
            )


def _by_key(found: Iterable["ObjectMeta"]) -> list[ObjectFacts]:
    facts = [ObjectFacts(o["path"], o["size"], o["last_modified"], o["e_tag"] or "") for o in found]
    return sorted(facts, key=lambda fact: fact.key)


@contextmanager
def _temporary_file(key: str) -> Iterator[Path]:
    """Yield a path of the object's name in a folder that is removed, whatever happens."""
    with local_disk(Path("a temporary folder"), "made", instead=_ELSEWHERE):
        folder = tempfile.TemporaryDirectory(prefix="capsim-", ignore_cleanup_errors=True)
    with folder as name:
        yield Path(name) / PurePosixPath(key).name
