"""How a dataset is verified, whatever its rows: the bytes first, as those of another file are not looked at.

The rows, and what a manifest says of them, are the business of each dataset.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import pyarrow as pa

from capsim_dagster.audits.report import Finding, Findings, Severity
from capsim_dagster.errors import MAX_EXAMPLES, PublicationError
from capsim_dagster.publication.folder import manifest_text
from capsim_dagster.publication.manifest import (
    DATA_NAME,
    DATA_RESOURCE,
    MANIFEST_NAME,
    AnyManifest,
    DataFile,
    SealedManifest,
    parse_as,
)
from capsim_dagster.storage import sha256

_MIXED: Final = (
    "the data are not those of the manifest: either file is damaged or changed, or the {unit} is being replaced at this"
    " moment; fetch both again, and publish the {unit} again if that does not help"
)


def claim(
    name: str,
    problems: Iterable[str],
    *,
    message: str = "",
    severity: Severity = Severity.ERROR,
    count: int | None = None,
) -> Finding:
    """Return a finding that holds if there is no problem.

    Args:
        name: The claim.
        problems: What goes against it, in words; the first five are kept.
        message: Why that matters, said only if the claim does not hold.
        severity: What it means if it does not hold.
        count: How many problems there are; None = those given.
    """
    found = list(problems)
    number = len(found) if count is None else count
    said = (message or found[0] if found else message) if number else ""
    return Finding(name, severity, number, said, tuple(islice(found, MAX_EXAMPLES)))


def not_judged(name: str, why: str) -> Finding:
    """Return a finding on what could not be judged."""
    return Finding(name, Severity.INFO, message=why, judged=False)


def unreadable(error: BaseException) -> Finding:
    """Return the finding that the rows of a file cannot be read."""
    return claim("data_are_readable", [(str(error).splitlines() or [type(error).__name__])[0]])


def _files_claim(folder: Path) -> Finding:
    """Return whether both files of a dataset are there and hold something."""
    missing = [name for name in (DATA_NAME, MANIFEST_NAME) if not (folder / name).is_file()]
    empty = [name for name in (DATA_NAME, MANIFEST_NAME) if name not in missing and not (folder / name).stat().st_size]
    return claim(
        "files_are_there", [*(f"{name} is missing" for name in missing), *(f"{name} is empty" for name in empty)]
    )


def _bytes_claims(path: Path, file: DataFile, *, message: str) -> list[Finding]:
    """Return whether a file has the size and the digest of its manifest.

    Args:
        path: The file.
        file: What the manifest says of it.
        message: What it means if it has not.
    """
    size = path.stat().st_size
    of_size = [] if size == file.bytes else [f"{size:,} bytes, not {file.bytes:,}"]
    # What has another size has another digest, and may be too long to be read.
    digest = "another" if of_size else f"sha256:{sha256(path)}"
    of_digest = [] if digest == file.hash else [f"{digest}, not {file.hash}"]
    return [
        claim("data_has_its_size", of_size, message=message),
        claim("data_has_its_sha256", of_digest, message=message),
    ]


def foreign_names(manifest: SealedManifest, dataset: str) -> list[str]:
    """Return in words where a manifest speaks of another dataset or file than those of `dataset`."""
    said = [] if manifest.dataset == dataset else [f"it is of dataset {manifest.dataset}, not {dataset}"]
    if (manifest.data.name, manifest.data.path) != (DATA_RESOURCE, DATA_NAME):
        said.append(f"its data are {manifest.data.name} in {manifest.data.path}, not {DATA_RESOURCE} in {DATA_NAME}")
    return said


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


def verify_folder(
    folder: Path,
    form: type[AnyManifest],
    unit: str,
    about: Callable[[AnyManifest], tuple[list[str], Mapping[str, bool]]],
    rows: Callable[[AnyManifest, list[Finding]], int | None],
) -> Findings:
    """Return everything that can be said of a dataset: it takes nothing but its folder, and trusts nobody who made it.

    Args:
        folder: Where data.parquet and manifest.json lie.
        form: What its manifest says.
        unit: What it is a dataset of, in words.
        about: Says in words where a manifest speaks of another dataset, file or time, and what its parts say of each
            other, and whether that is true.
        rows: Adds what the rows show to the findings, and returns how many there are; None = they cannot be judged.
    """
    found, count = [_files_claim(folder)], None
    manifest = _judged_manifest(folder, form, about, found)
    if manifest is not None and (folder / DATA_NAME).is_file():
        of_bytes = _bytes_claims(folder / DATA_NAME, manifest.data, message=_MIXED.format(unit=unit))
        found += of_bytes
        if all(each.passed for each in of_bytes):
            count = rows(manifest, found)
    if count is None:
        found.append(not_judged("rows_were_judged", "the rows were not looked at: see the errors above"))
    return Findings(str(folder), found, count or 0)


def _judged_manifest(
    folder: Path,
    form: type[AnyManifest],
    about: Callable[[AnyManifest], tuple[list[str], Mapping[str, bool]]],
    found: list[Finding],
) -> AnyManifest | None:
    """Return the manifest, if there is one that can be read, and add what it says of itself to the findings."""
    content = manifest_text(folder)
    if content is None:
        return None
    try:
        manifest = parse_as(form, content, MANIFEST_NAME)
    except PublicationError as error:
        found.append(claim("manifest_follows_its_schema", [error.found]))
        return None
    edited = [] if manifest.is_sealed else [f"its hash says {manifest.seal}, its text {manifest.sealed().seal}"]
    if content != manifest.text.encode():
        edited.append("its text is not in the one form that capsim writes")
    strangers, parts = about(manifest)
    found += [
        claim("manifest_follows_its_schema", []),
        claim("manifest_is_as_it_was_written", edited),
        claim("manifest_is_of_this_dataset", strangers),
        claim("manifest_agrees_with_itself", [f"not true: {text}" for text, holds in parts.items() if not holds]),
    ]
    return manifest
