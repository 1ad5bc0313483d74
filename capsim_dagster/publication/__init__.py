"""The archive of samples and the datasets that are published from it, each with a manifest that anyone can verify."""
