"""The manifest: its schema is shipped, each field is explained, and its hash covers every other byte."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from capsim_dagster.publication.dataset.manifest import digest_of, manifest_schema, parse_manifest
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster_tests.support.publication.days import NOW


def test_the_shipped_schema_is_that_of_the_model() -> None:
    shipped = files("capsim_dagster.publication.tier3").joinpath("manifest.schema.json").read_text(encoding="utf-8")

    assert shipped == manifest_schema(DayManifest)


def test_every_field_of_the_schema_is_described_and_no_other_is_allowed() -> None:
    schema = json.loads(manifest_schema(DayManifest))
    parts = [schema, *schema["$defs"].values()]
    silent = [name for part in parts for name, facts in part["properties"].items() if not facts.get("description")]

    assert silent == []
    assert all(part["additionalProperties"] is False for part in parts)


def test_names_are_those_of_data_package_2(published: Path) -> None:
    said = json.loads((published / "manifest.json").read_text())
    data = said["resources"][0]

    assert said["$schema"] == "https://datapackage.org/profiles/2.0/datapackage.json"
    assert {"name", "created", "resources", "sources"} <= said.keys()
    assert {"name", "path", "format", "mediatype", "bytes", "hash", "schema"} <= data.keys()
    assert data["schema"]["primaryKey"] == ["host_id", "ts"]
    assert data["schema"]["fields"][2]["unit"] == "percent of capacity"


def test_the_hash_is_that_of_the_text_with_zeros_in_its_place(published: Path) -> None:
    text = (published / "manifest.json").read_text()
    said = json.loads(text)["hash"]

    assert text.count(said) == 1
    assert digest_of(text.replace(said, "sha256:" + "0" * 64).encode()) == said


def test_the_text_is_read_back_as_it_is_and_is_the_one_form(published: Path) -> None:
    content = (published / "manifest.json").read_bytes()
    manifest = parse_manifest(DayManifest, content, "")

    assert manifest.text.encode() == content
    assert manifest.is_sealed
    assert manifest.created == NOW.replace(microsecond=0)


def test_content_is_equal_whatever_the_time_and_what_it_supersedes(published: Path) -> None:
    manifest = parse_manifest(DayManifest, (published / "manifest.json").read_bytes(), "")
    other = manifest.model_copy(update={"created": NOW.replace(year=2030), "supersedes": digest_of(b"")}).sealed()

    assert other.content == manifest.content
    assert other.hash != manifest.hash


@given(
    seed=st.integers(0, 2**63 - 1),
    rows=st.integers(0, 10**12),
    name=st.from_regex(r"[a-z0-9._-]{1,20}", fullmatch=True),
)
def test_any_manifest_survives_writing_and_reading(seed: int, rows: int, name: str) -> None:
    manifest = DayManifest.model_validate(example(seed=seed, rows=rows, name=name)).sealed()

    assert parse_manifest(DayManifest, manifest.text.encode(), "") == manifest


def example(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 any field
    """Return a manifest without sources."""
    table: dict[str, Any] = {"fields": (), "primary_key": ("host_id",)}
    data = {
        "name": "data", "path": "data.parquet", "format": "parquet", "mediatype": "application/vnd.apache.parquet",
        "bytes": 1, "hash": digest_of(b""), "rows": 1, "table": table,
    }  # fmt: skip
    return {
        "profile": "https://datapackage.org/profiles/2.0/datapackage.json", "manifest_version": 1, "name": "a",
        "dataset": "tier3_daily", "day": NOW.date(), "complete": False, "rows": 0, "rejected": 0, "hosts": 0,
        "hours": {"present": (), "partial": (), "missing": ()}, "interval_s": 300, "first_ts": None, "last_ts": None,
        "astray": 0, "resources": (data,), "sources": (), "producer": {"name": "capsim", "version": "1"},
        "settings_hash": "0" * 16, "seed": 1, "created": NOW.replace(microsecond=0), **changes,
    }  # fmt: skip
