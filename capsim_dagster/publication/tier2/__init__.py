"""`tier2_hourly`: each complete hour of the archive aggregated by host and resource, with a manifest of its own."""
