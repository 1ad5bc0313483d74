"""Every flipped bit, cut, swap, edit and deletion of either file of an hour is an error."""

from pathlib import Path

import pytest

from capsim_dagster.errors import PublicationError
from capsim_dagster.publication.dataset.manifest import parse_manifest
from capsim_dagster.publication.tier2.manifest import HourManifest
from capsim_dagster.publication.tier2.verify import verify_hour
from capsim_dagster_tests.support.publication.mutating import FILES, MUTATIONS, mutations_missed

TRIES = 100
"""Of each kind and file; the seed is fixed."""


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", MUTATIONS)
def test_every_one_of_many_random_mutations_is_an_error(kind: str, name: str, hour: Path) -> None:
    assert mutations_missed(hour / name, kind, TRIES, lambda: verify_hour(hour).passed) == []


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_in_bytes_all_over_it_is_an_error(name: str, hour: Path) -> None:
    whole = (hour / name).read_bytes()
    missed = []
    for place in range(0, len(whole), 3):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << (place // 3 % 8)
        (hour / name).write_bytes(flipped)
        if verify_hour(hour).passed:
            missed.append(place)

    assert missed == []


def test_a_flipped_bit_in_any_place_of_the_manifest_shows_in_the_manifest_alone(hour: Path) -> None:
    whole = (hour / "manifest.json").read_bytes()
    missed = []
    for place in range(0, len(whole), 3):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << (place // 3 % 8)
        try:
            manifest = parse_manifest(HourManifest, bytes(flipped), "")
        except PublicationError:
            continue
        if manifest.is_sealed and manifest.text.encode() == flipped:
            missed.append(place)

    assert missed == []


def test_the_files_of_two_hours_in_place_of_each_other_are_an_error(hours: Path) -> None:
    for name in FILES:
        first, second = ((hours / number / name).read_bytes() for number in ("07", "08"))
        (hours / "07" / name).write_bytes(second)
        (hours / "08" / name).write_bytes(first)
        assert not verify_hour(hours / "07").passed
        assert not verify_hour(hours / "08").passed

    # Both files are swapped now: whole datasets in wrong folders.
    assert [each.claim for each in verify_hour(hours / "07").errors] == ["manifest_is_of_this_dataset"]
