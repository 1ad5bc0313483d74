"""Every flipped bit, cut, swap, edit and deletion of either file is an error; an untouched dataset passes."""

import shutil
from pathlib import Path

import pytest

from capsim_dagster.errors import PublicationError
from capsim_dagster.publication.dataset.manifest import parse_manifest
from capsim_dagster.publication.tier3.manifest import DayManifest
from capsim_dagster.publication.tier3.verify import verify_dataset
from capsim_dagster_tests.support.publication.mutating import FILES, MUTATIONS, mutations_missed

TRIES = 100
"""Of each kind and file; the seed is fixed."""


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", MUTATIONS)
def test_every_one_of_many_random_mutations_is_an_error(kind: str, name: str, published: Path) -> None:
    assert mutations_missed(published / name, kind, TRIES, lambda: verify_dataset(published).passed) == []


def test_a_flipped_bit_in_any_place_of_the_manifest_shows_in_the_manifest_alone(published: Path) -> None:
    whole = (published / "manifest.json").read_bytes()
    missed = []
    for place in range(0, len(whole), 5):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << (place // 5 % 8)
        try:
            manifest = parse_manifest(DayManifest, bytes(flipped), "")
        except PublicationError:
            continue
        if manifest.is_sealed and manifest.text.encode() == flipped:
            missed.append(place)

    assert missed == []


def test_a_file_of_another_dataset_in_place_of_either_is_an_error(published: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(published, other)
    (other / "data.parquet").write_bytes((published / "data.parquet").read_bytes() + b"\0")

    for name, source in (("data.parquet", "manifest.json"), ("manifest.json", "data.parquet")):
        shutil.copy(published / source, other / name)
        assert not verify_dataset(other).passed
        shutil.copy(published / name, other / name)
    assert verify_dataset(other).passed
