"""Tests of `capsim_dagster.plots`."""
