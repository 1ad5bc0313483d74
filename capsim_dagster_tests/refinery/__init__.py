"""Tests of `capsim_dagster.refinery`."""
