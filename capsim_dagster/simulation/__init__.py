"""The simulated truth: fleet, calendar and telemetry as pure functions of settings. No disk, clock or Dagster."""
