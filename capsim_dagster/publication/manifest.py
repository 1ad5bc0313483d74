"""The manifest of a published dataset: what it is, what it was made of, and the digests by which anyone can tell.

Names are those of Data Package v2 where it has them. The text has one form, so that any edit shows: its `hash` covers
every other byte of it. Whoever can write the file can also seal it again; then the data contradict what is counted
here, but sources, time and digests of other systems need a copy of the manifest that is kept elsewhere.
"""

import datetime as dt
import hashlib
import json
from abc import abstractmethod
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from capsim_dagster.errors import PublicationError

MANIFEST_NAME: Final = "manifest.json"
DATA_NAME: Final = "data.parquet"
DATA_RESOURCE: Final = "data"
"""Name of that file as a resource of the package."""
PRODUCER: Final = "capsim"
PROFILE: Final = "https://datapackage.org/profiles/2.0/datapackage.json"
_JSON_SCHEMA: Final = "https://json-schema.org/draft/2020-12/schema"
UNSEALED: Final = "sha256:" + "0" * 64
MOST_BYTES: Final = 4 << 20
"""Of the text of a manifest; one of 24 hours has 14 KB."""
_REMEDY: Final = "publish it again; data without a good manifest are not to be used"
_NOT_CONTENT: Final = ("created", "supersedes", "hash")
"""What two manifests of the same content may differ in."""

Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", description="SHA-256, after `sha256:` in hex.")]
Hour = Annotated[int, Field(ge=0, le=23, description="Hour of the day, UTC.")]
Count = Annotated[int, Field(ge=0, lt=2**63)]


class _Part(BaseModel):
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


class Constraints(_Part):
    """What every value of a column keeps to."""

    required: bool = Field(description="Whether no value is missing.")
    minimum: float | None = Field(default=None, description="Lowest value, inclusive; absent = no bound.")
    maximum: float | None = Field(default=None, description="Highest value, inclusive; absent = no bound.")

    @model_serializer(mode="wrap")
    def _without_what_is_absent(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return what was said: Data Package knows no bounds of texts, but manifests of before have them as null."""
        return {name: value for name, value in serialize(self).items() if name in self.model_fields_set}


class FieldFacts(_Part):
    """A column, and how many of its values are missing."""

    name: str = Field(description="Name of the column.")
    type: str = Field(description="Its type by Data Package v2.")
    unit: str = Field(description="Unit of its values; empty = none.")
    description: str = Field(description="What it holds.")
    constraints: Constraints = Field(description="What every value keeps to.")
    nulls: Count = Field(description="Rows without a value.")
    null_ratio: float = Field(ge=0, le=1, description="Their share of all rows, six decimals.")


class TableSchema(_Part):
    """The columns of a resource."""

    fields: tuple[FieldFacts, ...] = Field(description="The columns in the order of the file.")
    primary_key: tuple[str, ...] = Field(alias="primaryKey", description="Columns that tell any two rows apart.")


class DataFile(_Part):
    """A file of the dataset."""

    name: str = Field(description="Name of the resource.")
    path: str = Field(description="Where it lies beside the manifest.")
    format: Literal["parquet"] = Field(description="Format of the file.")
    mediatype: Literal["application/vnd.apache.parquet"] = Field(description="Media type of the file.")
    bytes: Count = Field(description="Size of the file.")
    hash: Digest = Field(description="SHA-256 of the file.")
    rows: Count = Field(description="Rows in the file.")
    table: TableSchema = Field(alias="schema", description="Its columns.")


class SourceFile(_Part):
    """A file of the archive; lines = rows + rejected."""

    path: str = Field(description="Where it lies below the root of the archive.")
    hour: Hour = Field(description="Its hour, UTC.")
    bytes: Count = Field(description="Size of the file.")
    hash: Digest = Field(description="SHA-256 of the file.")
    lines: Count = Field(description="Lines in it.")
    rows: Count = Field(description="Lines that became rows.")
    rejected: Count = Field(description="Lines that are no samples, or repeat one.")


class AbsentHour(_Part):
    """An hour of which nothing is in the dataset."""

    hour: Hour = Field(description="The hour, UTC.")
    state: str = Field(description="Why: missing, open, empty, truncated or damaged.")


class Hours(_Part):
    """Which hours of the day are in the dataset."""

    present: tuple[Hour, ...] = Field(description="Hours whose file was whole.")
    partial: tuple[Hour, ...] = Field(description="Those of them that lack samples of some host.")
    missing: tuple[AbsentHour, ...] = Field(description="The other hours.")


class Producer(_Part):
    """What made the dataset."""

    name: str = Field(description="Name of the program.")
    version: str = Field(description="Its version.")


class SealedManifest(_Part):
    """What manifests of all datasets have in common: one form of the text, and a hash that covers it."""

    profile: Literal["https://datapackage.org/profiles/2.0/datapackage.json"] = Field(
        alias="$schema", description="The profile whose names are used."
    )
    manifest_version: Literal[1] = Field(description="Version of this form.")
    name: str = Field(pattern=r"^[a-z0-9._-]+$", description="Name of the dataset with its day.")
    dataset: str = Field(pattern=r"^[a-z0-9_]+$", description="Which dataset, e.g. tier3_daily.")
    day: dt.date = Field(description="Day of the archive's folder, UTC.")

    @property
    @abstractmethod
    def data(self) -> DataFile:
        """The file with the rows."""

    @property
    def text(self) -> str:
        """The one form in which it is written."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"

    @property
    def content(self) -> dict[str, Any]:
        """What it says of the dataset itself: equal for equal content, whenever it was made."""
        return {name: _said(value) for name, value in self.model_dump(mode="json", exclude=set(_NOT_CONTENT)).items()}

    @property
    def is_sealed(self) -> bool:
        """Whether the hash is that of the rest."""
        return self == self.sealed()

    @property
    def seal(self) -> str:
        """The hash that it bears."""
        return str(self.model_dump(include={"hash"})["hash"])

    def sealed(self) -> Self:
        """Return it with the hash of the rest."""
        open_ = self.model_copy(update={"hash": UNSEALED})
        return open_.model_copy(update={"hash": digest_of(open_.text.encode())})


class Manifest(SealedManifest):
    """Everything that is said of a published dataset."""

    complete: bool = Field(description="Whether all hours are there, with one row a host and interval.")
    hours: Hours = Field(description="Which hours are in it.")
    rows: Count = Field(description="Rows of the dataset.")
    rejected: Count = Field(description="Lines of the sources that became no rows.")
    hosts: Count = Field(description="Hosts with at least one row.")
    interval_s: int = Field(ge=60, le=3600, description="Time between two samples of a host [s].")
    first_ts: AwareDatetime | None = Field(description="Earliest timestamp; null = no row.")
    last_ts: AwareDatetime | None = Field(description="Latest timestamp; null = no row.")
    astray: Count = Field(description="Rows whose timestamp lies in another hour than that of their file: a warning.")
    resources: tuple[DataFile, ...] = Field(min_length=1, max_length=1, description="The files of the dataset.")
    sources: tuple[SourceFile, ...] = Field(description="The files of the archive that it was made of, by hour.")
    producer: Producer = Field(description="What made it.")
    settings_hash: str = Field(pattern=r"^[0-9a-f]{16}$", description="Hash of every setting that decides a value.")
    seed: Count = Field(description="Seed of the simulated fleet.")
    created: AwareDatetime = Field(description="When it was made, UTC.")
    supersedes: Digest | None = Field(
        default=None, description="SHA-256 of the manifest that was published before with other content."
    )
    hash: Digest = Field(default=UNSEALED, description="SHA-256 of this text with 64 zeros in this place.")

    @property
    def data(self) -> DataFile:
        """The file with the rows."""
        return self.resources[0]


def _said(value: Any) -> Any:  # noqa: ANN401 whatever JSON holds
    """Return a value without what is null in it: a bound that is null says as much as one that is absent."""
    if isinstance(value, dict):
        return {name: _said(item) for name, item in value.items() if item is not None}
    return [_said(item) for item in value] if isinstance(value, list) else value


def digest_of(content: bytes) -> str:
    """Return the digest of a text as manifests have it.

    >>> digest_of(b"")[:15]
    'sha256:e3b0c442'
    """
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


AnyManifest = TypeVar("AnyManifest", bound=SealedManifest)


def parse_manifest(content: bytes, where: str) -> Manifest:
    """Return what the manifest of a day says; whether it is sealed is not looked at.

    Args:
        content: Its text.
        where: Where it was found, for the message.

    Raises:
        PublicationError: If it does not follow its schema.
    """
    return parse_as(Manifest, content, where)


def parse_as(model: type[AnyManifest], content: bytes, where: str) -> AnyManifest:
    """Return what the manifest of any dataset says; whether it is sealed is not looked at.

    Args:
        model: Its form.
        content: Its text.
        where: Where it was found, for the message.

    Raises:
        PublicationError: If it does not follow its schema.
    """
    if len(content) > MOST_BYTES:
        raise PublicationError(f"{where} has more than {MOST_BYTES:,} bytes, so it is no manifest", remedy=_REMEDY)
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        reasons = [
            f"{'.'.join(str(part) for part in each['loc']) or 'text'}: {each['msg']}"
            for each in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise PublicationError(
            f"{where} does not follow the schema of manifests in {len(reasons):,} places: {'; '.join(reasons[:5])}",
            remedy=_REMEDY,
        ) from None


def manifest_schema(model: type[SealedManifest] = Manifest) -> str:
    """Return the JSON Schema of manifests, as shipped in the manifest.schema.json beside each."""
    schema = {"$schema": _JSON_SCHEMA, **model.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
