"""One training run: recipe, start, averages, checkpoints and what it leaves."""
