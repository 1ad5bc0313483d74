"""The legacy CSV feed: its contract, its export from the master, and the inspection of its files."""
