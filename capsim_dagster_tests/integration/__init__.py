"""Several rooms together in one process: a platform, its warehouse, a history."""
