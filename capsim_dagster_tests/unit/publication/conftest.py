"""Fixtures of the tests of this room."""

from capsim_dagster_tests.support.publication.fixtures import _built, published, root
from capsim_dagster_tests.support.publication.tier2.fixtures import _built_hour, _built_hours, archive, hour, hours

__all__ = ["_built", "_built_hour", "_built_hours", "archive", "hour", "hours", "published", "root"]
