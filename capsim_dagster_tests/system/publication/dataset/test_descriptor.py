"""Manifests are valid descriptors of Data Package, and those of before, whose bounds may be null, hold."""

import json
from pathlib import Path
from typing import Any

import frictionless
import pytest

from capsim_dagster.publication.tier2.verify import verify_hour
from capsim_dagster.publication.tier3.verify import verify_dataset
from capsim_dagster_tests.support.publication.days import export
from capsim_dagster_tests.support.publication.hostile import seal
from capsim_dagster_tests.support.publication.tier2.fixtures import _built_hour, archive, hour
from capsim_dagster_tests.support.publication.tier2.hours import export as export_hour

__all__ = ["_built_hour", "archive", "hour"]


def _problems(folder: Path) -> list[str]:
    descriptor = json.loads((folder / "manifest.json").read_bytes())
    try:
        frictionless.Package.from_descriptor(descriptor)
    except frictionless.FrictionlessException as error:
        return [reason.message for reason in error.reasons] or [str(error)]
    return []


def _as_before(folder: Path) -> bytes:
    """Write the manifest as it was published before: absent bounds as null."""
    document: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    for column in document["resources"][0]["schema"]["fields"]:
        column["constraints"] = {"required": True, "minimum": None, "maximum": None} | column["constraints"]
    (folder / "manifest.json").write_bytes(seal(document))
    return seal(document)


@pytest.mark.parametrize("tier", ["published", "hour"])
def test_a_manifest_is_a_valid_descriptor_of_data_package(tier: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(tier)

    assert _problems(folder) == []
    _as_before(folder)
    assert any("minimum" in problem for problem in _problems(folder))


def test_a_day_published_with_null_bounds_holds_and_is_unchanged_when_it_is_exported_again(
    published: Path, root: Path
) -> None:
    before = _as_before(published)

    assert verify_dataset(published).errors == []
    assert export(root).is_unchanged
    assert (published / "manifest.json").read_bytes() == before


def test_an_hour_published_with_null_bounds_holds_and_is_unchanged_when_it_is_exported_again(
    hour: Path, archive: Path
) -> None:
    before = _as_before(hour)

    assert verify_hour(hour).errors == []
    assert export_hour(archive).is_unchanged
    assert (hour / "manifest.json").read_bytes() == before
