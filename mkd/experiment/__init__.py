"""What is run: a scale with its table of runs, and one run resolved to all that decides it."""
