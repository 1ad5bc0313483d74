"""Tests of `capsim_dagster.warehouse`."""
