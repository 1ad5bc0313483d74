"""Tests of `capsim_dagster.pipeline`."""
