"""One room at a time: its functions on plain values, arrays and files."""
