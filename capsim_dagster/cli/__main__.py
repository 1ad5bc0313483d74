"""`python -m capsim_dagster.cli`."""

from capsim_dagster.cli import main

main()
