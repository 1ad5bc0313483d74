"""Tests of `capsim_dagster.orchestration`."""
