"""The audit page: what became of every file and line of a feed, in one HTML file."""
