"""Forecasting libraries read the views as they are; run with the dependency group `forecast`."""
