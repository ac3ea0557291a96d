"""What the Snakefile asks of the suite while it plans, runs and ends."""
