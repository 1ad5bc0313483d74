"""Each of many packages of a day or an hour that somebody wrote to do harm is told, and none ends the verifier."""

from pathlib import Path

from capsim_dagster.publication.tier2.verify import verify_hour
from capsim_dagster.publication.tier3.verify import verify_dataset
from capsim_dagster_tests.support.publication.hostile import unreported

EVERY = 11
"""Of some thousand packages each eleventh: every field of a manifest, column and place of a file is among them."""


def test_a_hostile_package_of_a_day_is_reported_and_never_crashes_the_verifier(published: Path, tmp_path: Path) -> None:
    judged, passed = unreported(published, tmp_path / "hostile", verify_dataset, EVERY)

    assert judged > 1_000 / EVERY
    assert passed == []


def test_a_hostile_package_of_an_hour_is_reported_and_never_crashes_the_verifier(hour: Path, tmp_path: Path) -> None:
    judged, passed = unreported(hour, tmp_path / "hostile", verify_hour, EVERY)

    assert judged > 1_000 / EVERY
    assert passed == []
