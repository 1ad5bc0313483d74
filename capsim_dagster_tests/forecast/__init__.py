"""Forecasting libraries read the views as they are; needs the dependency group `forecast`."""
