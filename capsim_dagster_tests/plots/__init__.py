"""Tests of `capsim_dagster.pictures`."""
