"""What was simulated, on disk: the grid of hosts and days, its footer, the master and the ground truth."""
