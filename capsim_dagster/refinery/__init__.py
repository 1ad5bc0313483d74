"""The refinery: legacy feed files become `processed_data`, a month at a time, whole or not at all."""
