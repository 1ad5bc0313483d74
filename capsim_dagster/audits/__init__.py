"""Audits: from a relation or a frame to a report that says whether a claim holds, with counts and examples."""
