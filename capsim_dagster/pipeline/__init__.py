"""The stages as plain functions of settings: what the assets call, and what runs without Dagster around it."""
