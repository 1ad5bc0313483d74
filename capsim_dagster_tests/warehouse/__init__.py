"""Tests of `capsim_dagster.storage.warehouse`."""
