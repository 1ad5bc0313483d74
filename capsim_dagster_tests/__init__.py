"""Tests of capsim; they mirror the tree of `capsim_dagster`."""
