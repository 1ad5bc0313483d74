"""What the last whole run left, file by file, so that the next one can see that nothing has changed.

A file counts as the same where inode, size and time of change are those of the ledger, or else where its digest is.
What keeps those three while its bytes change, such as a disk that rots, is found
by reading every byte: `changed` with `is_deep`.
"""

import datetime as dt
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from capsim_dagster.pipeline.platform import Platform
from capsim_dagster.refinery.rules import READER_VERSION
from capsim_dagster.settings.directory import leaves_of
from capsim_dagster.simulation.telemetry import MODEL_VERSION
from capsim_dagster.storage import atomic_path, identity, sha256
from capsim_dagster.storage.warehouse import SCHEMA_VERSION

_FORMAT: Final = 1
_SAME_TICK_NS: Final = 100_000_000
"""A file that changes twice within a tick of the file system's clock may keep its time: one so young is read."""


class Scope(NamedTuple):
    """What a ledger is of: its name in the data directory, and the files and folders that it knows each file of."""

    name: str
    places: Sequence[Path]


def of_the_run(platform: Platform) -> Scope:
    """Return what the main job makes."""
    layout = platform.layout
    folders = layout.master.parent, layout.truth, layout.legacy, layout.defects, layout.warehouse.parent
    return Scope("capsim_ledger.json", [*folders, layout.audit.parent])


def of_a_feed(platform: Platform) -> Scope:
    """Return what the refinery reads and makes."""
    layout, inventory = platform.layout, platform.settings.refinery.inventory
    places = [platform.refined.root, layout.warehouse.parent, layout.audit.parent]
    return Scope("capsim_feed_ledger.json", [*places, *([inventory.absolute()] if inventory else [])])


class Entry(NamedTuple):
    """A file as it was: inode, size [bytes], time of change [ns since 1970], and its SHA-256."""

    inode: int
    size: int
    changed_ns: int
    sha256: str


@dataclass(frozen=True)
class Ledger:
    """What a whole run left.

    Attributes:
        made_of: Digest of settings and versions that made it.
        history: What the run history said of the assets then, as whoever wrote the ledger reads it.
        run: What the run did, likewise.
        seen: When somebody last looked and found all of it unchanged, in UTC; None = nobody did.
        written_ns: When it was written [ns since 1970].
        files: By path below the data directory.
    """

    made_of: str
    history: Sequence[object]
    run: Mapping[str, Any]
    written_ns: int
    files: Mapping[str, Entry]
    seen: str | None = None


def write_ledger(
    platform: Platform,
    scope: Scope,
    *,
    history: Sequence[object],
    run: Mapping[str, Any],
    began_ns: int = 0,
    digests: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Record what a whole run left, every gate of which has passed; where that cannot be kept the next run is whole.

    `digests`: of files by name, taken after `began_ns` [ns since 1970]: they need not be read again where they are
    older than that.
    """
    root = platform.layout.root
    with suppress(OSError):
        files = {}
        for name in _names(platform, scope):
            state = identity(root / name)
            if state is not None:
                is_known = name in digests and state[-1] < began_ns - _SAME_TICK_NS
                files[name] = Entry(*state, digests[name] if is_known else sha256(root / name))
        _write(platform, scope, Ledger(_made_of(platform), history, run, time.time_ns(), files))


def note_seen(platform: Platform, scope: Scope, ledger: Ledger) -> None:
    """Record that somebody looked just now, and found all of it unchanged."""
    with suppress(OSError):
        _write(platform, scope, replace(ledger, seen=f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"))


def read_ledger(platform: Platform, scope: Scope) -> Ledger | None:
    """Return the ledger of what these settings and this version of capsim made; None = there is none.

    Nor is there one of what lies in a bucket.
    """
    if platform.settings.uses_s3 or platform.feed_address:
        return None
    try:
        content = json.loads((platform.layout.root / scope.name).read_text(encoding="utf-8"))
        if content.pop("format") != _FORMAT or content["made_of"] != _made_of(platform):
            return None
        files = {name: Entry(*facts) for name, facts in content["files"].items()}
        return Ledger(**{**content, "files": files})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def changed(platform: Platform, scope: Scope, ledger: Ledger, *, is_deep: bool = False) -> list[str]:
    """Return the files that are not as the ledger has them, are gone, or are new, in order.

    `is_deep`: whether every byte is read, and not only where inode, size or time are others.
    """
    root, there = platform.layout.root, {*_names(platform, scope)}
    is_read = {name for name in there & ledger.files.keys() if is_deep or not _is_untouched(root / name, ledger, name)}
    unlike = {name for name in is_read if not _has_its_bytes(root / name, ledger.files[name])}
    return sorted(unlike | (there ^ ledger.files.keys()))


def rotted(platform: Platform) -> list[str]:
    """Return in words which files of the last whole run have other bytes, although neither size nor time has changed.

    Every byte is read: this is for audits that somebody waits for, or a schedule.
    """
    ledger, root = read_ledger(platform, of_the_run(platform)), platform.layout.root
    return [
        f"{name} has other bytes than it was written with, though nobody has written it since"
        for name, known in (ledger.files.items() if ledger else ())
        if identity(root / name) == known[:3] and not _has_its_bytes(root / name, known)
    ]


def page_of(platform: Platform) -> str:
    """Return the name of the audit page in a ledger: it may be written anew by whoever wants to see it."""
    return name_of(platform, platform.layout.audit)


def name_of(platform: Platform, path: Path) -> str:
    """Return the name of a file in a ledger, which may lie outside of the data directory."""
    return os.path.relpath(path, platform.layout.root)


def _write(platform: Platform, scope: Scope, ledger: Ledger) -> None:
    text = json.dumps({"format": _FORMAT, **asdict(ledger)}, indent=1)
    with atomic_path(platform.layout.root / scope.name) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _is_untouched(path: Path, ledger: Ledger, name: str) -> bool:
    known = ledger.files[name]
    return known.changed_ns < ledger.written_ns - _SAME_TICK_NS and identity(path) == known[:3]


def _has_its_bytes(path: Path, known: Entry) -> bool:
    try:
        return path.stat().st_size == known.size and sha256(path) == known.sha256
    except OSError:
        return False


def _names(platform: Platform, scope: Scope) -> Iterator[str]:
    """Yield every file of a scope that is there, temporary ones and write-ahead logs too."""
    for place in scope.places:
        for path in place.rglob("*") if place.is_dir() else [place]:
            if path.is_file():
                yield name_of(platform, path)


def _made_of(platform: Platform) -> str:
    """Return a digest of all settings, and of the versions of what works by them."""
    settings = sorted((".".join(key), value) for key, value in leaves_of(platform.settings).items())
    versions = version("capsim"), MODEL_VERSION, READER_VERSION, SCHEMA_VERSION
    return hashlib.sha256(json.dumps([versions, settings], default=str).encode()).hexdigest()
