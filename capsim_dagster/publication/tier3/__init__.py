"""`tier3_daily`: a day of the archive as one Parquet file, with a manifest of its own."""
