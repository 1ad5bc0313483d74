"""Dirt: what is put into a feed on purpose, line by line and file by file, with a list of it."""
