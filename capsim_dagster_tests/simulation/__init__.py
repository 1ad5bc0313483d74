"""Tests of `capsim_dagster.simulation`."""
