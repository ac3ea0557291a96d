"""The verbs that say how far a scale is and what it still wants."""

import argparse

from mkd.cli.options import Verb, read_suite


def add(verb: Verb) -> None:
    """Add the verbs."""
    verb("status", _status, "say how far the trainings are: those done, those running, the rest")
    verb("estimate", _estimate, "say what the trainings still to do cost, in GPU hours")

    text = "list the weights files a scale reads or could read, and which of them are there"
    verb("weights", _weights, text)


def _status(options: argparse.Namespace) -> None:
    from mkd.workflow import progress

    print(progress.status(read_suite(options)))


def _estimate(options: argparse.Namespace) -> None:
    from mkd.workflow import estimate

    print(estimate.text(read_suite(options)))


def _weights(options: argparse.Namespace) -> None:
    from mkd.workflow import weights

    print("\n".join(weights.lines(read_suite(options))))
