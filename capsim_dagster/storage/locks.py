"""Files that say whether the process that made them is still there, whatever its host name, container or process id.

The process holds a lock on the file, and the kernel lets go of it when the process ends, however it ends; processes in
other containers of the same machine see it too. Where the file system may not share such locks between machines, the
file is touched again and again as well, and only one that has been quiet for long counts as left behind.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final

import psutil

BEING_WRITTEN: Final = b"capsim: nothing has been written here yet\n"
"""Content of a file that is held and was not written."""
_SHARING: Final = frozenset(
    [
        "apfs",
        "bcachefs",
        "btrfs",
        "ecryptfs",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "hfs",
        "jfs",
        "overlay",
        "ramfs",
        "reiserfs",
        "tmpfs",
        "ufs",
        "xfs",
        "zfs",
    ]
)
"""File systems of one machine: every process that sees a file sees its lock. On others (NFS, SMB, FUSE) it depends."""
_BEAT_SECONDS: Final = 10.0
_QUIET_SECONDS: Final = 120.0
"""Twelve beats: a machine that swaps, or whose clock is a minute off, is not taken for dead."""


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Make a file where none is, and hold it while the block lasts; then it is removed, if it is still there."""
    done, opened = threading.Event(), list[int]()
    try:
        _hold(path, opened)
        if not _shares_locks(path):
            threading.Thread(target=_beat, args=(path, done), daemon=True).start()
        yield
    finally:
        done.set()
        if opened:
            path.unlink(missing_ok=True)
            os.close(opened.pop())


def is_held(path: Path) -> bool:
    """Return whether a process holds a file; one that is not there is not held, one that may not be opened is."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True
    try:
        # Shared, so that two who look at once do not take each other for the holder.
        return not _is_free(descriptor, path, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def remove_abandoned(path: Path) -> None:
    """Remove a file, unless a process holds it."""
    with suppress(FileNotFoundError, PermissionError):
        descriptor = os.open(path, os.O_RDWR)
        try:
            if _is_free(descriptor, path, fcntl.LOCK_EX):
                path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def _hold(path: Path, opened: list[int]) -> None:
    """Open a new file that is locked, and still there: it may be swept before it is locked.

    Its descriptor is in the caller's hands as soon as it is open: an interrupt may come at any moment.
    """
    while True:
        opened.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666))
        fcntl.flock(opened[0], fcntl.LOCK_EX)
        if os.fstat(opened[0]).st_nlink:
            os.write(opened[0], BEING_WRITTEN)
            return
        os.close(opened.pop())


def _is_free(descriptor: int, path: Path, lock: int) -> bool:
    try:
        fcntl.flock(descriptor, lock | fcntl.LOCK_NB)
    except OSError:
        return False
    return _shares_locks(path) or time.time() - os.fstat(descriptor).st_mtime > _QUIET_SECONDS


def _beat(path: Path, done: threading.Event) -> None:
    while not done.wait(_BEAT_SECONDS):
        with suppress(OSError):
            os.utime(path)


def _shares_locks(path: Path) -> bool:
    """Whether every process that can see a file sees its lock."""
    folder = os.path.realpath(path.parent)
    above = [(len(mount), kind) for mount, kind in _mounts() if os.path.commonpath([mount, folder]) == mount]
    return max(above, default=(0, ""))[1] in _SHARING


@cache
def _mounts() -> list[tuple[str, str]]:
    return [(each.mountpoint, each.fstype) for each in psutil.disk_partitions(all=True)]
