"""The data directory: which names it may have."""

from pathlib import Path

import pytest

from capsim_dagster.errors import SettingsError
from capsim_dagster.storage import DataLayout
from capsim_dagster_tests.support.cases import each_case


@each_case("name", ["a[1]", "b?", "c%20d", "*", "e]", "caf\udce9", "f\x1b[2J"])
def test_data_directory_that_dagster_would_take_for_something_else_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match=r"the data directory .* in its path\n  -> name another"):
        DataLayout(Path("/srv") / name)


@each_case("name", ["data", "a b", "c#d", "Überwachung (neu)", "~x"])
def test_any_other_name_of_a_data_directory_is_fine(name: str) -> None:
    assert DataLayout(Path("/srv") / name).archive == Path("/srv") / name / "archive"
