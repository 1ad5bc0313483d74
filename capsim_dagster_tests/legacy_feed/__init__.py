"""Tests of `capsim_dagster.legacy_feed`."""
