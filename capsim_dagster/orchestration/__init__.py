"""The asset graph: the only folder that imports dagster. No arithmetic here; the floors below do the work."""
