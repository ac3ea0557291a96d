"""From arguments to a verb that runs; a user's mistake is one sentence and exit code 2."""

import argparse
import errno
import io
import os
import re
import select
import shutil
import signal
import sys
import threading
from contextlib import suppress
from typing import Any, NoReturn

import mkd
from mkd.cli import data, evaluation, progress, results, training
from mkd.cli.options import read_suite
from mkd.edge import verbs as edge_verbs
from mkd.errors import UserError, meant


def main(arguments: list[str] | None = None) -> None:
    """Run one verb; a user's mistake is one sentence on standard error and exit code 2."""
    signal.signal(signal.SIGTERM, _end)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        # Whoever started it with nohup wants it to go on.
        signal.signal(signal.SIGHUP, _end)
    if "MKD_WORKFLOW" in os.environ and hasattr(os, "pidfd_open"):
        # A daemon: it ends with the verb.
        workflow = [int(os.environ["MKD_WORKFLOW"])]
        threading.Thread(target=_end_with, args=workflow, daemon=True).start()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows ASCII alone shows the rest as \\u2026.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        options.call(options)
        # What Python holds back would break at its end, behind all that follows here.
        sys.stdout.flush()
    except UserError as error:
        sys.exit(_complain(str(error)))
    except ModuleNotFoundError as error:
        if (error.name or "mkd").startswith("mkd"):
            raise
        sys.exit(_complain(f"{error.name} is not installed: pip install -r envs/requirements.txt"))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read has seen enough, as `| head` does; nor may Python's own end complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (OSError, RuntimeError) as error:
        # torch reports a failed write as a RuntimeError without a number.
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or _disk_is_full(error):
            sys.exit(_complain("no space left on the disk: free some and run again"))
        if hint := _of_gpu(error):
            sys.exit(_complain(hint))
        if isinstance(error, OSError) and error.filename:
            sys.exit(_complain(f"{error.filename}: {error.strerror}"))
        raise


def _end_with(workflow: int) -> None:
    """End politely when a process ends; one that cannot be seen says nothing."""
    with suppress(ProcessLookupError):
        select.select([os.pidfd_open(workflow)], [], [])
        os.kill(os.getpid(), signal.SIGTERM)


def _end(number: int, _: Any) -> NoReturn:
    """End politely: the stack unwinds, so that temporary files go; once, however often asked."""
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.SIG_IGN)
    sys.exit(128 + number)


def _disk_is_full(error: Exception) -> bool:
    return "inline_container" in str(error) and shutil.disk_usage(".").free < 2**26


def _of_gpu(error: Exception) -> str:
    """What to do about a GPU that is too small or too old; empty for another error."""
    if type(error).__name__ == "OutOfMemoryError":
        return (
            "the GPU's memory is full: take a larger one, or in a scale of your own a smaller "
            "batch_size of what ran, for a training with lr lowered as much (docs/own-work.md)"
        )
    if "no kernel image" in str(error):
        return (
            "this torch was built without kernels for this GPU: install a build of torch that has "
            "them, or use a newer GPU"
        )
    return ""


def _complain(sentence: str) -> int:
    print(f"mkd: {sentence}", file=sys.stderr)
    return 2


class _Parser(argparse.ArgumentParser):
    """argparse's parser, which says of a misspelt verb which one was meant."""

    def error(self, message: str) -> NoReturn:
        """End with the usage, what is wrong, and exit code 2."""
        named = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        hint = meant(named[1], re.findall("[a-z-]+", named[2])) if named else ""
        super().error(message + hint)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="mkd", description=mkd.cli.__doc__)
    parser.add_argument("--version", action="version", version=f"%(prog)s {mkd.__version__}")
    verbs = parser.add_subparsers(required=True, metavar="verb")

    def verb(name: str, call: Any, text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text)
        added.add_argument(
            "--config",
            nargs="+",
            action="extend",
            default=[],
            metavar="KEY=VALUE",
            help="replace values of config/config.yaml, as Snakemake's option does: scale=smoke",
        )
        added.set_defaults(call=call)
        return added

    for room in (data, training, evaluation, results, progress):
        room.add(verb)
    edge_verbs.add(verb, read_suite)
    return parser
