"""How a dataset is verified, whatever its rows: the bytes first, as those of another file are not looked at.

What the rows must say is the business of each dataset. Anyone may have written the files, so what they claim to hold is
compared before it is read: Arrow and polars trust what they read, and text that is no UTF-8, times beyond the calendar
or a million rows behind every kilobyte end in a crash, or in all of the memory. What passes can be judged row by row.
"""

import datetime as dt
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from capsim_dagster.audits.report import Finding, Findings, Severity
from capsim_dagster.errors import MAX_EXAMPLES, PublicationError
from capsim_dagster.publication.dataset.folder import manifest_text
from capsim_dagster.publication.dataset.manifest import (
    DATA_NAME,
    DATA_RESOURCE,
    MANIFEST_NAME,
    PRODUCER,
    AnyManifest,
    DataFile,
    Manifest,
    TableSchema,
    parse_manifest,
)
from capsim_dagster.publication.hour_files import HOUR_NUMBER
from capsim_dagster.schemas import Type
from capsim_dagster.schemas.arrow import arrow_schema
from capsim_dagster.storage import sha256

Judge = Callable[[pq.ParquetFile, AnyManifest], tuple[int, Iterable[Finding]]]
"""Returns how many rows a file has that the manifest goes with, and what they show."""
MOST_ROWS_AT_ONCE: Final = 4_000_000
"""Rows of a row group, which is read at once: an hour of 300,000 hosts at five minutes, and about 1 GiB."""
_FEW_ROWS: Final = 1_000_000
"""So many are read even where the manifest says another number: what is wrong with them says more."""
_MOST_GROUP_BYTES: Final = 1 << 30
_HIGHEST: Final = 2**50
"""Above any number that is counted here; times the seconds of an hour it still fits into 64 bits."""
_FIRST_TIME: Final = -62_135_596_800_000_000
"""Midnight of the first day that Python's calendar has [µs since 1970]."""
_LAST_TIME: Final = 253_402_300_799_999_999
"""The last microsecond of the year 9999."""
_MIXED: Final = (
    "the data are not those of the manifest: either file is damaged or changed, or the {unit} is being replaced at this"
    " moment; fetch both again, and publish the {unit} again if that does not help"
)


class UnreadableDataError(ValueError):
    """The rows of a file cannot be read safely."""


UNREADABLE: Final = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError)
"""What reading a file that is no sound Parquet may raise."""


def claim(
    name: str,
    problems: Iterable[str],
    *,
    message: str = "",
    severity: Severity = Severity.ERROR,
    count: int | None = None,
) -> Finding:
    """Return a finding that holds if there is no problem; the first five are kept, `count` = how many there are.

    The message says why that matters, and is said only if the claim does not hold.
    """
    found = list(problems)
    number = len(found) if count is None else count
    said = (message or found[0] if found else message) if number else ""
    return Finding(name, severity, number, said, tuple(islice(found, MAX_EXAMPLES)))


def not_judged(name: str, why: str) -> Finding:
    """Return a finding on what could not be judged."""
    return Finding(name, Severity.INFO, message=why, judged=False)


def _files_claim(folder: Path) -> Finding:
    """Return whether both files of a dataset are there and hold something."""
    missing = [name for name in (DATA_NAME, MANIFEST_NAME) if not (folder / name).is_file()]
    empty = [name for name in (DATA_NAME, MANIFEST_NAME) if name not in missing and not (folder / name).stat().st_size]
    return claim(
        "files_are_there", [*(f"{name} is missing" for name in missing), *(f"{name} is empty" for name in empty)]
    )


def _bytes_claims(path: Path, file: DataFile, *, message: str) -> list[Finding]:
    """Return whether a file has the size and the digest of its manifest; the message says what it means if not."""
    size = path.stat().st_size
    of_size = [] if size == file.bytes else [f"{size:,} bytes, not {file.bytes:,}"]
    # What has another size has another digest, and may be too long to be read.
    digest = "another" if of_size else f"sha256:{sha256(path)}"
    of_digest = [] if digest == file.hash else [f"{digest}, not {file.hash}"]
    return [
        claim("data_has_its_size", of_size, message=message),
        claim("data_has_its_sha256", of_digest, message=message),
    ]


def differing_columns(found: pa.Schema, expected: pa.Schema) -> Sequence[str]:
    """Return in words how the columns of a file differ from those of its dataset; empty = they do not."""
    if found.remove_metadata().equals(expected):
        return []
    differing = [f"{name} is missing" for name in expected.names if name not in found.names]
    differing += [f"{name} is not one of the dataset's" for name in found.names if name not in expected.names]
    differing += [
        f"{name} is {_type(found.field(name))}, not {_type(expected.field(name))}"
        for name in expected.names
        if found.names.count(name) == 1 and not found.field(name).equals(expected.field(name))
    ]
    is_repeated = len(set(found.names)) < len(found.names)
    return differing or ["one is there twice" if is_repeated else "they are in another order"]


def _type(column: pa.Field) -> str:
    return f"{column.type}{'' if column.nullable else ' not null'}"


def verify(folder: Path, form: type[AnyManifest], judge: Judge[AnyManifest]) -> Findings:
    """Return all that can be said of a dataset: it takes nothing but its folder, and trusts nobody who made it."""
    found, rows = [_files_claim(folder)], None
    manifest = _judged_manifest(folder, form, found)
    if manifest is not None and (folder / DATA_NAME).is_file():
        of_bytes = _bytes_claims(folder / DATA_NAME, manifest.data, message=_MIXED.format(unit=form.UNIT))
        found += of_bytes
        if all(each.passed for each in of_bytes):
            rows = _judged_rows(folder / DATA_NAME, manifest, judge, found)
    if rows is None:
        found.append(not_judged("rows_were_judged", "the rows were not looked at: see the errors above"))
    return Findings(str(folder), found, rows or 0)


def _judged_manifest(folder: Path, form: type[AnyManifest], found: list[Finding]) -> AnyManifest | None:
    """Return the manifest, if there is one that can be read, and add what it says of itself to the findings."""
    content = manifest_text(folder)
    if content is None:
        return None
    try:
        manifest = parse_manifest(form, content, MANIFEST_NAME)
    except PublicationError as error:
        found.append(claim("manifest_follows_its_schema", [error.found]))
        return None
    edited = [] if manifest.is_sealed else [f"its hash says {manifest.hash}, its text {manifest.sealed().hash}"]
    if content != manifest.text.encode():
        edited.append("its text is not in the one form that capsim writes")
    parts = manifest.contradictions()
    found += [
        claim("manifest_follows_its_schema", []),
        claim("manifest_is_as_it_was_written", edited),
        claim("manifest_is_of_this_dataset", [*_foreign_names(manifest), *_other_places(folder, manifest)]),
        claim("manifest_agrees_with_itself", [f"not true: {text}" for text, holds in parts.items() if not holds]),
    ]
    return manifest


def _foreign_names(manifest: Manifest) -> list[str]:
    """Return in words where a manifest speaks of another dataset or file than those of its form."""
    dataset, data = manifest.DATASET, manifest.data
    said = [] if manifest.dataset == dataset else [f"it is of dataset {manifest.dataset}, not {dataset}"]
    if (data.name, data.path) != (DATA_RESOURCE, DATA_NAME):
        said.append(f"its data are {data.name} in {data.path}, not {DATA_RESOURCE} in {DATA_NAME}")
    return said


def _other_places(folder: Path, manifest: Manifest) -> list[str]:
    """Return in words where a manifest is of another day or hour than its folders are called by."""
    place = manifest.place.split("/")
    found = folder.absolute().parts[-len(place) :]
    return [
        f"it is of {manifest.place.replace('/', ' ')}, the folder of {name}"
        for name, right in zip(found, place, strict=False)
        if (named := _day_or_hour(name, right)) is not None and named != right
    ]


def _day_or_hour(name: str, like: str) -> str | None:
    """Return the day or hour that a folder is called by, whichever `like` is; None = it has another name."""
    if re.fullmatch(HOUR_NUMBER, like):
        return name if re.fullmatch(HOUR_NUMBER, name) else None
    try:
        return str(dt.date.fromisoformat(name))
    except ValueError:
        return None


def _judged_rows(path: Path, manifest: AnyManifest, judge: Judge[AnyManifest], found: list[Finding]) -> int | None:
    """Add what the rows show to the findings, and return how many there are; None = they cannot be judged."""
    plain, encoded = (arrow_schema(manifest.COLUMNS, encode_names=encode) for encode in (False, True))
    texts = [column.name for column in manifest.COLUMNS if column.type is Type.TEXT]
    try:
        with _opened(path, manifest.data, dictionaries=texts) as file:
            differing = differing_columns(file.metadata.schema.to_arrow_schema(), plain)
            differing = differing or differing_columns(file.schema_arrow, encoded)
            found += [
                claim("columns_are_those_of_the_dataset", differing),
                claim("footer_agrees_with_the_manifest", _differing_facts(file.metadata, manifest.footer)),
            ]
            if differing:
                return None
            rows, seen = judge(file, manifest)
    except UNREADABLE as error:
        found.append(claim("data_are_readable", [(str(error).splitlines() or [type(error).__name__])[0]]))
        return None
    found += [claim("data_are_readable", []), *seen]
    return rows


def _differing_facts(metadata: pq.FileMetaData, expected: str) -> list[str]:
    """Return in words where a footer is not just what the manifest promises."""
    footer: bytes = (metadata.metadata or {}).get(PRODUCER.encode(), b"")
    try:
        said = json.loads(footer)
    except (ValueError, RecursionError):
        said = None
    found: dict[str, object] = said if isinstance(said, dict) else {}
    differing = [
        f"{name} is {found.get(name)} in the footer, {value} in the manifest"
        for name, value in json.loads(expected).items()
        if found.get(name) != value
    ]
    return differing or ([] if footer == expected.encode() else ["the footer says more, or in another form"])


def counted(manifest: Manifest, table: TableSchema, *others: str, **counts: object) -> list[Finding]:
    """Return whether a manifest has the columns and the counts of its rows, by field; `others` is what else differs."""
    said = {name: (getattr(manifest, name), count) for name, count in counts.items()}
    differing = [f"{name}: manifest {ours}, data {theirs}" for name, (ours, theirs) in said.items() if ours != theirs]
    columns = [] if manifest.data.table == table else ["columns, units or counts of nulls differ"]
    return [
        claim("counts_are_those_of_the_manifest", [*differing, *others]),
        claim("columns_are_described_as_they_are", columns),
    ]


@contextmanager
def _opened(path: Path, promised: DataFile, *, dictionaries: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    """Yield a file whose footer promises not many more rows than its manifest, and no more at once than memory takes.

    Raises:
        UnreadableDataError: If it claims more.
        ArrowException: If it is no Parquet.
    """
    found = pq.read_metadata(path)
    if found.num_rows > max(promised.rows, _FEW_ROWS):
        raise UnreadableDataError(f"its footer says {found.num_rows:,} rows, the manifest {promised.rows:,}")
    _require_small_groups(found)
    texts = [column.name for column in found.schema.to_arrow_schema() if pa.types.is_string(column.type)]
    texts = [name for name in dictionaries if texts.count(name) == 1]
    with pq.ParquetFile(path, metadata=found, read_dictionary=texts, page_checksum_verification=True) as file:
        yield file


def _require_small_groups(found: pq.FileMetaData) -> None:
    groups = [found.row_group(index) for index in range(found.num_row_groups)]
    if sum(group.num_rows for group in groups) != found.num_rows:
        raise UnreadableDataError("its footer contradicts itself: its row groups have other rows than the file")
    for group in groups:
        if group.num_rows > MOST_ROWS_AT_ONCE or group.total_byte_size > _MOST_GROUP_BYTES:
            raise UnreadableDataError(
                f"a row group claims {group.num_rows:,} rows and {group.total_byte_size:,} bytes; at most"
                f" {MOST_ROWS_AT_ONCE:,} and {_MOST_GROUP_BYTES:,} are read at once"
            )


def row_groups(file: pq.ParquetFile) -> Iterator[pa.Table]:
    """Yield the rows of a file that has the columns of its dataset, row group by row group.

    Raises:
        UnreadableDataError: If a value is none that Python, numpy and polars can hold.
        ArrowException: If a page is not what its checksum says, or cannot be read.
    """
    for index in range(file.num_row_groups):
        rows = file.read_row_group(index, use_threads=False)
        rows.validate(full=True)
        for column in rows.schema:
            _require_range(rows[column.name], column)
        yield rows


def _require_range(values: pa.ChunkedArray, column: pa.Field) -> None:
    """Make sure that times lie in the calendar, and that whole numbers can be reckoned with."""
    if pa.types.is_timestamp(column.type):
        numbers, least, most = values.cast(pa.int64()), _FIRST_TIME, _LAST_TIME
    elif pa.types.is_int64(column.type):
        numbers, least, most = values, -_HIGHEST, _HIGHEST
    else:
        return
    found = pc.min_max(numbers).as_py()
    if found["min"] is not None and not least <= found["min"] <= found["max"] <= most:
        raise UnreadableDataError(f"{column.name} holds {found['min']} to {found['max']}; expected {least} to {most}")
