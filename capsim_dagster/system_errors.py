"""What the system says when it refuses, as an error that a user can act on.

A full disk, a folder that may not be written, a damaged database: each comes as an exception of whatever library met
it first. What is known here by its number or words becomes a `CapsimError`; anything else is a defect of capsim and
stays what it is. Databases are known by name, so that nothing is loaded to look at an error.
"""

import errno
import os
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from capsim_dagster.errors import CapsimError, StorageError, WarehouseError

_AGAIN: Final = "run it again: what was complete is whole"
_ANOTHER_PLACE: Final = "let this user write there, or name another folder with --data-dir"
_WITHOUT_HISTORY: Final = (
    "move the folder .dagster of the data directory away, then run it again: the history of runs is lost, no data are"
)


class _Refusal(NamedTuple):
    """One way to refuse: its numbers, its words in the texts of libraries, and what to do."""

    numbers: frozenset[int]
    words: re.Pattern[str]
    remedy: str


_REFUSALS: Final = (
    _Refusal(
        frozenset({errno.ENOSPC, errno.EDQUOT}),
        re.compile(r"no space left|quota exceeded|disk is full|os error (28|122)\b", re.IGNORECASE),
        f"free some space there, or name another folder with --data-dir; then {_AGAIN}",
    ),
    _Refusal(
        frozenset({errno.EROFS, errno.EACCES, errno.EPERM}),
        re.compile(r"read-?only (file ?system|database)|permission denied|unable to open database", re.IGNORECASE),
        _ANOTHER_PLACE,
    ),
    _Refusal(
        frozenset({errno.EMFILE, errno.ENFILE}),
        re.compile(r"too many open files", re.IGNORECASE),
        f"let processes open more files (ulimit -n 4096), then {_AGAIN}",
    ),
    _Refusal(
        frozenset({errno.EIO, errno.ESTALE}),
        re.compile(r"input/output error|disk i/o error|stale file handle", re.IGNORECASE),
        f"look after the disk or the network folder, then {_AGAIN}",
    ),
    _Refusal(
        frozenset({errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}),
        re.compile(r"(?!)"),
        "name a folder that is there or can be made; whatever was removed meanwhile is made by running it again",
    ),
)
_INTERRUPTED_QUERY: Final = "Query interrupted"
_DATABASES: Final = ("duckdb", "_duckdb", "sqlite3", "sqlalchemy")
"""Packages whose errors are those of a database file."""
_HISTORY: Final = ("sqlite3", "sqlalchemy")
"""Dagster keeps its records by these."""
_BROKEN: Final = ("FatalException", "IOException", "InternalException", "SerializationException")
"""DuckDB's errors of a file; the others are those of a statement, and so defects."""


def clear_error(error: BaseException) -> CapsimError | None:
    """Return what a user can do about an error, or about one that it was made from; None = it is a defect.

    >>> print(clear_error(OSError(28, "No space left on device", "/data/master")))
    /data/master: No space left on device
      -> free some space there, or name another folder with --data-dir; then run it again: what was complete is whole
    >>> clear_error(ValueError("a defect"))
    """
    causes = [*_causes(error)]
    told = [one for one in causes if isinstance(one, CapsimError)]
    # What was raised first names the thing itself; what was made of it wraps it in words of its own.
    return next(iter(told or (known for one in reversed(causes) if (known := _known(one)))), None)


def is_interrupt(error: BaseException) -> bool:
    """Return whether an error, or one that it was made from, is an interrupt: DuckDB and polars raise their own."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt) or _INTERRUPTED_QUERY in str(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what it was made from; not what was merely being handled, which a defect may follow."""
    while error is not None:
        yield error
        error = error.__cause__


def _known(error: BaseException) -> CapsimError | None:
    package = type(error).__module__.partition(".")[0]
    number = error.errno if isinstance(error, OSError) else None
    said = _first_line(error)
    for refusal in _REFUSALS:
        if number in refusal.numbers or (_speaks_of_files(error, package) and refusal.words.search(said)):
            return StorageError(_found(error, said), remedy=refusal.remedy)
    if package in _HISTORY:
        return StorageError(f"the records of Dagster cannot be used: {said}", remedy=_WITHOUT_HISTORY)
    if package in _DATABASES and type(error).__name__ in _BROKEN:
        return WarehouseError(f"the warehouse cannot be used: {said}", remedy="restore it from a copy, or make it anew")
    return None


def _speaks_of_files(error: BaseException, package: str) -> bool:
    """Whether words of an error are those of the system: libraries in other languages leave the number out."""
    return isinstance(error, OSError) or package in (*_DATABASES, "polars", "pyarrow", "obstore")


def _found(error: BaseException, said: str) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return said


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
