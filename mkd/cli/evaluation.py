"""The verbs that run or score what is trained."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mkd.cli.options import Verb, papers_suite, read_suite
from mkd.errors import UserError

if TYPE_CHECKING:
    from mkd.experiment.suite import Suite

OWN = "this is measured on the suite's own students"


def add(verb: Verb) -> None:
    """Add the verbs."""
    evaluate = verb("evaluate", _evaluate, "score a trained run on the val set")
    evaluate.add_argument("--run", required=True)
    evaluate.add_argument("--seed", type=int, required=True)
    evaluate.add_argument("--data", type=Path, required=True, help="what `mkd data` wrote")
    evaluate.add_argument("--log", default="", help="path of the training's log, for the record")

    pictures = verb("pictures", _pictures, "lay detections of three runs on the same val images")
    pictures.add_argument("--out", type=Path, required=True)

    text = "map where a student looks, before and after distillation, and its teacher"
    attention = verb("attention", _attention, text)
    attention.add_argument("--out", type=Path, required=True)

    spectrum = verb(
        "spectrum", _spectrum, "measure what the frequency term's mask does to the loss"
    )
    spectrum.add_argument("--out", type=Path, required=True)

    text = "count the positives each level of the undistilled students gets"
    levels = verb("levels", _levels, text)
    levels.add_argument("--out", type=Path, required=True)

    text = "bootstrap AP over the val images: how much of it their choice decides"
    noise = verb("noise", _noise, text)
    noise.add_argument("--out", type=Path, required=True)


def _evaluate(options: argparse.Namespace) -> None:
    from mkd import jobs

    jobs.evaluate(read_suite(options), options.run, options.seed, options.data, options.log)


def _pictures(options: argparse.Namespace) -> None:
    from mkd import jobs

    jobs.pictures(read_suite(options), options.out)


def _attention(options: argparse.Namespace) -> None:
    from mkd import jobs

    jobs.attention(papers_suite(options, OWN), options.out)


def _spectrum(options: argparse.Namespace) -> None:
    from mkd import jobs

    jobs.spectrum(options.out)


def _levels(options: argparse.Namespace) -> None:
    from mkd import jobs
    from mkd.workflow import pipeline

    suite = papers_suite(options, OWN)
    jobs.levels(suite, _there(suite, pipeline.counted(suite)), options.out)


def _noise(options: argparse.Namespace) -> None:
    from mkd import jobs
    from mkd.workflow import pipeline

    suite = papers_suite(options, OWN)
    jobs.noise(suite, _there(suite, pipeline.resampled(suite)), options.out)


def _there(suite: "Suite", runs: dict[str, str]) -> list[str]:
    if not runs:
        raise UserError(f"{suite.table} lacks a run this is measured on: use the suite's own table")
    return list(runs)
