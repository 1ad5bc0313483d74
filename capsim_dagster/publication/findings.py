"""What verifying a dataset reports: one finding a claim, and the verdict."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa

from capsim_dagster.audits.finding import Finding, Severity
from capsim_dagster.errors import MAX_EXAMPLES
from capsim_dagster.publication.manifest import DATA_NAME, DATA_RESOURCE, MANIFEST_NAME, DataFile, SealedManifest
from capsim_dagster.storage import sha256


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
    return Finding(name, severity, not number, number, said, tuple(islice(found, MAX_EXAMPLES)))


def files_claim(folder: Path) -> Finding:
    """Return whether both files of a dataset are there and hold something."""
    missing = [name for name in (DATA_NAME, MANIFEST_NAME) if not (folder / name).is_file()]
    empty = [name for name in (DATA_NAME, MANIFEST_NAME) if name not in missing and not (folder / name).stat().st_size]
    return claim(
        "files_are_there", [*(f"{name} is missing" for name in missing), *(f"{name} is empty" for name in empty)]
    )


def bytes_claims(path: Path, file: DataFile, *, message: str) -> list[Finding]:
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


def unreadable(error: BaseException) -> Finding:
    """Return the finding that the rows of a file cannot be read."""
    return claim("data_are_readable", [(str(error).splitlines() or [type(error).__name__])[0]])


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


@dataclass(frozen=True)
class Verification:
    """Everything that verifying a dataset found.

    Attributes:
        where: The dataset.
        findings: Every claim that was judged, and one for what could not be.
        rows: Rows that were looked at.
    """

    where: str
    findings: Sequence[Finding]
    rows: int = 0

    @property
    def passed(self) -> bool:
        """Whether no error was found."""
        return not self.errors

    @property
    def errors(self) -> list[Finding]:
        """The errors."""
        return [each for each in self.findings if each.fails(strict=False)]

    @property
    def against(self) -> list[Finding]:
        """Every claim that does not hold, of any severity."""
        return [each for each in self.findings if not each.passed]

    def as_json(self) -> str:
        """Return it as JSON text."""
        return json.dumps({"passed": self.passed, **asdict(self)}, indent=2, ensure_ascii=False) + "\n"
