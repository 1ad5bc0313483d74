"""capsim: simulate a server fleet with known truth, fragment it, refine it, and prove nothing was lost."""
