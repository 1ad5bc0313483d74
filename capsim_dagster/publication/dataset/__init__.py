"""A published dataset, whichever it is: one exporter, one verifier and one uploader, and what every manifest says."""
