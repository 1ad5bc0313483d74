"""Tests of `capsim_dagster.audits`."""
