"""Fixtures of the tests of this room."""

from capsim_dagster_tests.support.pipeline.fixtures import feed_dir, foreign

__all__ = ["feed_dir", "foreign"]
