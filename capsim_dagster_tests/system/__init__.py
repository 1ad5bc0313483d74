"""The product as it is used: commands, whole runs, killed processes, servers, other programs, full size."""
