"""Records of Dagster that were damaged: what opening them says."""

from pathlib import Path

import pytest

from capsim_dagster.errors import StorageError
from capsim_dagster.orchestration.command_runs import recorded_version
from capsim_dagster.orchestration.instance import open_instance
from capsim_dagster.orchestration.keys import HOURLY_ARCHIVE
from capsim_dagster.storage import DataLayout


def test_damaged_records_are_told_with_what_to_do(tmp_path: Path) -> None:
    layout = DataLayout(tmp_path)
    with open_instance(layout):
        pass
    (records,) = layout.dagster_home.rglob("runs.db")
    records.write_bytes(b"no database" * 1_000)

    with pytest.raises(StorageError, match=r"not a database\n  -> move the folder \.dagster"), open_instance(layout):
        pass


def test_of_damaged_records_nothing_counts_as_recorded(tmp_path: Path) -> None:
    layout = DataLayout(tmp_path)
    assert recorded_version(layout, HOURLY_ARCHIVE, "2023-01-04") is None
    with open_instance(layout):
        pass
    for records in layout.dagster_home.rglob("*.db"):
        records.write_bytes(b"no database" * 1_000)

    assert recorded_version(layout, HOURLY_ARCHIVE, "2023-01-04") is None
