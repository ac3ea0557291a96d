"""The verbs that read records: tables, checks, the report."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mkd.cli.options import Verb, papers_suite, read_suite

if TYPE_CHECKING:
    from mkd.results.records import Problem


def add(verb: Verb) -> None:
    """Add the verbs."""
    table = verb("table", _table, "write one of the paper's tables, paper against measured")
    table.add_argument("--table", type=int, choices=range(1, 6), required=True)

    verb("gates", _gates, "say which of the scale's validity gates hold, each with its figure")

    check = verb("check-results", _check, "list what in a results folder is broken or stale")
    check.add_argument("folder", type=Path, nargs="?", help="default: results of the scale")
    check.add_argument(
        "--rescore", action="store_true", help="score every detections.json anew, and compare"
    )

    compare = verb("compare", _compare, "say what differs between two results folders")
    compare.add_argument("a", type=Path, help="a scale's results, e.g. results/reference/desk")
    compare.add_argument("b", type=Path, help="another's, e.g. results/desk")

    text = "keep records and tables under results/reference; show them in docs/"
    reference = verb("reference", _reference, text)
    reference.add_argument("folder", type=Path, nargs="?", help="default: results of the scale")

    verb("report", _report, "render the report of what has been run")


def _table(options: argparse.Namespace) -> None:
    from mkd import jobs

    jobs.table(papers_suite(options, "`mkd report` makes its table"), options.table)


def _gates(options: argparse.Namespace) -> None:
    from mkd.results import gates
    from mkd.results.records import load_folder

    suite = papers_suite(options, "gates speak of the suite's own students")
    records = load_folder(suite.results, suite.scale)
    print("\n".join(gates.lines(gates.judge(gates.load(), records, suite.runs))))


def _check(options: argparse.Namespace) -> None:
    from mkd.results.check import check

    suite = read_suite(options)
    count, problems = check(suite, options.folder or suite.results, rescore=options.rescore)
    lines = _lines(problems)
    print("\n".join(lines), end="\n" if lines else "")
    print(f"{count} sound records, {len(lines) or 'nothing'} to look at", file=sys.stderr)
    if problems:
        sys.exit(1)


def _compare(options: argparse.Namespace) -> None:
    from mkd.results.compare import compare

    print("\n".join(compare(options.a, options.b)))


def _reference(options: argparse.Namespace) -> None:
    from mkd import jobs
    from mkd.results.check import check

    suite = papers_suite(options, "the suite keeps no reference of it")
    source = options.folder or suite.results
    _, problems = check(suite, source)
    jobs.reference(suite, source)
    # An older run's records may be wanted all the same, but not without a word.
    for line in _lines(problems):
        print(f"kept as it is: {line}", file=sys.stderr)


def _report(options: argparse.Namespace) -> None:
    from mkd import jobs

    jobs.report(read_suite(options))


def _lines(problems: "list[Problem]") -> list[str]:
    from mkd.results.records import by_sentence

    return [f"{', '.join(where)}: {what}" for what, where in by_sentence(problems).items()]
