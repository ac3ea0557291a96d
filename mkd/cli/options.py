"""What every verb has: its parser, with ``--config``, and the suite that this makes."""

import argparse
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mkd.errors import UserError
from mkd.files import parse_json

if TYPE_CHECKING:
    from mkd.experiment.suite import Suite

Verb = Callable[..., argparse.ArgumentParser]
"""Makes a verb's parser from its name, the function it calls and its text."""


def read_suite(options: argparse.Namespace) -> "Suite":
    """The suite of ``config/config.yaml``, with what the command line replaces.

    Raises:
        UserError: A value of ``--config`` cannot be read, or the configuration is wrong.
    """
    # A device that only times an exported file has no YAML.
    from mkd.experiment import config
    from mkd.strict_yaml import parse_yaml

    # A job of Snakemake is told what its command line replaced.
    try:
        replace: dict[str, Any] = dict(parse_json(os.environ.get("MKD_CONFIG", "{}")))
    except (ValueError, TypeError) as error:
        raise UserError("MKD_CONFIG, which Snakemake sets, is no JSON object: unset it") from error
    for pair in options.config:
        if re.search("[\udc80-\udcff]", pair):
            raise UserError(
                "--config has letters that this locale cannot read: set PYTHONUTF8=1 or a locale "
                "of UTF-8"
            )
        key, equals, value = pair.partition("=")
        if not equals:
            raise UserError(f"--config takes key=value, not '{pair}'")
        # YAML would count to eight, and Snakemake's reader to ten.
        octal = re.search(r"(?:^|[\[,:])\s*(0[0-9]+)\s*(?:$|[\],}])", value)
        if octal:
            raise UserError(f"--config {key}: {octal[1]} begins with 0: write it without")
        try:
            replace[key] = parse_yaml(value)
        except ValueError as error:
            raise UserError(f"--config {pair[:80]}: the value is not valid YAML") from error
    return config.load(replace)


def papers_suite(options: argparse.Namespace, why: str) -> "Suite":
    """:func:`read_suite` for what is the paper's.

    Raises:
        UserError: The scale is a user's own, and ``why`` it is refused.
    """
    suite = read_suite(options)
    if suite.own:
        raise UserError(f"{suite.file} is a scale of your own: {why}")
    return suite
