"""The manifest of an hour: its schema is shipped, each field is explained, and its hash covers every other byte."""

import json
from importlib.resources import files
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from capsim_dagster.publication.dataset.manifest import digest_of, manifest_schema, parse_manifest
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster_tests.support.publication.days import NOW
from capsim_dagster_tests.unit.publication.tier3.test_manifest import example


def test_the_shipped_schema_is_that_of_the_model() -> None:
    shipped = files("capsim_dagster.publication.tier2").joinpath("manifest.schema.json").read_text(encoding="utf-8")

    assert shipped == manifest_schema(HourManifest)


def test_every_field_of_the_schema_is_described_and_no_other_is_allowed() -> None:
    schema = json.loads(manifest_schema(HourManifest))
    parts = [schema, *schema["$defs"].values()]
    silent = [name for part in parts for name, facts in part["properties"].items() if not facts.get("description")]

    assert silent == []
    assert all(part["additionalProperties"] is False for part in parts)


def test_names_are_those_of_data_package_2(hour: Path) -> None:
    said = json.loads((hour / "manifest.json").read_text())
    data = said["resources"][0]

    assert said["$schema"] == "https://datapackage.org/profiles/2.0/datapackage.json"
    assert {"name", "created", "resources", "sources"} <= said.keys()
    assert said["name"] == "capsim-tier2_hourly-2026-01-15-01"
    assert {"name", "path", "format", "mediatype", "bytes", "hash", "schema"} <= data.keys()
    assert data["schema"]["primaryKey"] == ["host_id", "resource", "ts"]
    assert [field["unit"] for field in data["schema"]["fields"][3:7]] == ["percent of capacity"] * 4


def test_the_hash_is_that_of_the_text_with_zeros_in_its_place(hour: Path) -> None:
    text = (hour / "manifest.json").read_text()
    said = json.loads(text)["hash"]

    assert text.count(said) == 1
    assert digest_of(text.replace(said, "sha256:" + "0" * 64).encode()) == said


def test_content_is_equal_whatever_the_time(hour: Path) -> None:
    manifest = parse_manifest(HourManifest, (hour / "manifest.json").read_bytes(), "")
    other = manifest.model_copy(update={"created": NOW.replace(year=2030)}).sealed()

    assert other.content == manifest.content
    assert other.hash != manifest.hash


@given(seed=st.integers(0, 2**63 - 1), rows=st.integers(0, 10**12), hour=st.integers(0, 23))
def test_any_manifest_survives_writing_and_reading(seed: int, rows: int, hour: int) -> None:
    daily = example(seed=seed, rows=rows)
    source = {"path": "a", "hour": hour, "bytes": 1, "hash": digest_of(b""), "lines": 1, "rows": 1, "rejected": 0}
    fields = {name: daily[name] for name in daily if name in HourManifest.model_fields}
    manifest = HourManifest.model_validate(
        {**fields, "hour": hour, "samples": 4, "gaps": 0, "sources": (source,)}
    ).sealed()

    assert parse_manifest(HourManifest, manifest.text.encode(), "") == manifest
    assert manifest.is_sealed
