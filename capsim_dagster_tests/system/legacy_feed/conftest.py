"""Fixtures of the tests of this room."""

from capsim_dagster_tests.support.legacy_feed.fixtures import _fed_data, platform, shared_master

__all__ = ["_fed_data", "platform", "shared_master"]
