"""What is seen in Dagster's UI and in a browser."""
