"""The verb ``data``, and ``data import``."""

import argparse
from pathlib import Path

from mkd.cli.options import Verb, read_suite
from mkd.errors import UserError


def add(verb: Verb) -> None:
    """Add the verbs."""
    data = verb("data", _data, "make or check a scale's data set and write its digest")
    data.add_argument("--out", type=Path)
    others = data.add_subparsers(metavar="import", help="write COCO's layout of another one's")
    text = "write COCO annotations of a data set in VOC's or YOLO's layout; images stay in place"
    other = others.add_parser("import", help=text, description=text)
    other.add_argument("folder", type=Path, help="the data set's folder")
    other.set_defaults(call=_import)


def _data(options: argparse.Namespace) -> None:
    from mkd import jobs

    if options.out is None:
        raise UserError("name with --out where the data set's digest is written")
    jobs.prepare_data(read_suite(options), options.out)


def _import(options: argparse.Namespace) -> None:
    from mkd.data import importing

    print("\n".join(importing.convert(options.folder)))
