"""Fixtures of this tier."""

from collections.abc import Iterator

import pytest

from capsim_dagster_tests.support.commands import Capsim, capsim_loaded


@pytest.fixture(scope="session")
def loaded_capsim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Capsim]:
    """Yield what starts commands in processes that have loaded what they need."""
    with capsim_loaded(tmp_path_factory.mktemp("said")) as made:
        yield made
