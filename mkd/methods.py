"""The registry of methods under its public name, for configurations outside the suite."""

from mkd.experiment.methods import METHODS, plan

__all__ = ["METHODS", "plan"]
