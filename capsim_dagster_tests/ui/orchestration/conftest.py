"""Fixtures of the tests of this room."""

from capsim_dagster_tests.support.orchestration.fixtures import instance

__all__ = ["instance"]
