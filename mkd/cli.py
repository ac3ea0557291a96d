"""The command line: ``python -m mkd <verb>``; Snakemake's rules call nothing else."""

import argparse
import errno
import io
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import mkd
from mkd.edge import verbs as edge_verbs
from mkd.errors import UserError, meant
from mkd.files import parse_json

if TYPE_CHECKING:
    from mkd.experiment.suite import Suite
    from mkd.results.records import Problem


def main(arguments: list[str] | None = None) -> None:
    """Run one verb; a user's mistake is one sentence on standard error and exit code 2."""
    # A polite end unwinds the stack, so that temporary files go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    for stream in (sys.stdout, sys.stderr):
        # A terminal that knows ASCII alone shows the rest as \\u2026.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(arguments)
    try:
        options.call(options)
    except UserError as error:
        sys.exit(_complain(str(error)))
    except ModuleNotFoundError as error:
        if (error.name or "mkd").startswith("mkd"):
            raise
        sys.exit(_complain(f"{error.name} is not installed: pip install -r envs/requirements.txt"))
    except BrokenPipeError:
        # Whoever read has seen enough, as `| head` does; nor may Python's own end complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (OSError, RuntimeError) as error:
        # torch reports a failed write as a RuntimeError without a number.
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or _disk_is_full(error):
            sys.exit(_complain("no space left on the disk: free some and run again"))
        if isinstance(error, OSError) and error.filename:
            sys.exit(_complain(f"{error.filename}: {error.strerror}"))
        raise


def _disk_is_full(error: Exception) -> bool:
    return "inline_container" in str(error) and shutil.disk_usage(".").free < 2**26


def _complain(sentence: str) -> int:
    print(f"mkd: {sentence}", file=sys.stderr)
    return 2


def _suite(options: argparse.Namespace) -> "Suite":
    # A device that only times an exported file has no YAML.
    from mkd.experiment import config
    from mkd.schemas import parse_yaml

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
        try:
            replace[key] = parse_yaml(value)
        except ValueError as error:
            raise UserError(f"--config {pair[:80]}: the value is not valid YAML") from error
    return config.load(replace)


def _data(options: argparse.Namespace) -> None:
    from mkd import jobs

    if options.out is None:
        raise UserError("name with --out where the data set's digest is written")
    jobs.prepare_data(_suite(options), options.out)


def _import(options: argparse.Namespace) -> None:
    from mkd.data import importing

    print("\n".join(importing.convert(options.folder)))


def _pretrain(options: argparse.Namespace) -> None:
    from mkd import jobs

    jobs.pretrain(_suite(options), options.size, options.data, options.out)


def _train(options: argparse.Namespace) -> None:
    from mkd import jobs

    jobs.train(
        _suite(options),
        options.run,
        options.seed,
        options.data,
        options.backbone,
        options.teacher,
        options.start,
    )


def _check_method(options: argparse.Namespace) -> None:
    _suite(options)
    # mmengine takes whatever GPU it sees, and this is a matter of seconds.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from mkd.training import method_check

    print("\n".join(method_check.check(options.method, options.student, options.teacher)))


def _keep(options: argparse.Namespace) -> None:
    from mkd.training import kept

    kept.keep(_suite(options), options.run, options.seed, options.out)


def _take(options: argparse.Namespace) -> None:
    from mkd.training import kept

    kept.take(_suite(options), options.run, options.seed)


def _on_gpus(options: argparse.Namespace) -> None:
    from mkd.workflow import gpus

    gpus.run(options.count, options.command)


def _evaluate(options: argparse.Namespace) -> None:
    from mkd import jobs

    jobs.evaluate(_suite(options), options.run, options.seed, options.data, options.log)


def _table(options: argparse.Namespace) -> None:
    from mkd import jobs

    jobs.table(_suite(options), options.table)


def _pictures(options: argparse.Namespace) -> None:
    from mkd import jobs

    jobs.pictures(_suite(options), options.out)


def _attention(options: argparse.Namespace) -> None:
    from mkd import jobs

    jobs.attention(_suite(options), options.out)


def _spectrum(options: argparse.Namespace) -> None:
    from mkd import jobs

    jobs.spectrum(options.out)


def _levels(options: argparse.Namespace) -> None:
    from mkd.evaluation import jobs
    from mkd.workflow import pipeline

    suite = _suite(options)
    jobs.levels(suite, _there(suite, pipeline.counted(suite)), options.out)


def _noise(options: argparse.Namespace) -> None:
    from mkd.evaluation import jobs
    from mkd.workflow import pipeline

    suite = _suite(options)
    jobs.noise(suite, _there(suite, pipeline.resampled(suite)), options.out)


def _there(suite: "Suite", runs: dict[str, str]) -> list[str]:
    if not runs:
        raise UserError(
            f"{suite.config['runs']} lacks a run this is measured on: use the suite's own table"
        )
    return list(runs)


def _gates(options: argparse.Namespace) -> None:
    from mkd.results import gates
    from mkd.results.records import load_records

    suite = _suite(options)
    records = load_records(suite.results.parent, suite.scale)
    print("\n".join(gates.lines(gates.judge(gates.load(), records, suite.runs))))


def _report(options: argparse.Namespace) -> None:
    from mkd import jobs

    jobs.report(_suite(options))


def _status(options: argparse.Namespace) -> None:
    from mkd.workflow import progress

    print(progress.status(_suite(options)))


def _estimate(options: argparse.Namespace) -> None:
    from mkd.workflow import estimate

    print(estimate.text(_suite(options)))


def _weights(options: argparse.Namespace) -> None:
    from mkd.workflow import weights

    print("\n".join(weights.lines(_suite(options))))


def _check(options: argparse.Namespace) -> None:
    from mkd.results.check import check

    suite = _suite(options)
    count, problems = check(suite, options.folder or suite.results, rescore=options.rescore)
    lines = _by_sentence(problems)
    print("\n".join(lines), end="\n" if lines else "")
    print(f"{count} sound records, {len(lines) or 'nothing'} to look at", file=sys.stderr)
    if problems:
        sys.exit(1)


def _by_sentence(problems: "list[Problem]") -> list[str]:
    where: dict[str, list[str]] = {}
    for problem in problems:
        where.setdefault(problem.what, []).append(problem.where)
    return [f"{', '.join(places)}: {what}" for what, places in where.items()]


def _compare(options: argparse.Namespace) -> None:
    from mkd.results.compare import compare

    print("\n".join(compare(options.a, options.b)))


def _reference(options: argparse.Namespace) -> None:
    from mkd import jobs
    from mkd.results.check import check

    suite = _suite(options)
    if suite.own:
        raise UserError(f"{suite.file} is a scale of your own: the suite keeps no reference of it")
    source = options.folder or suite.results
    _, problems = check(suite, source)
    jobs.reference(suite, source)
    # An older run's records may be wanted all the same, but not without a word.
    for line in _by_sentence(problems):
        print(f"kept as it is: {line}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """argparse's parser, which says of a misspelt verb which one was meant."""

    def error(self, message: str) -> NoReturn:
        """End with the usage, what is wrong, and exit code 2."""
        named = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        hint = meant(named[1], re.findall("[a-z-]+", named[2])) if named else ""
        super().error(message + hint)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="mkd", description=__doc__)
    parser.add_argument("--version", action="version", version=f"%(prog)s {mkd.__version__}")
    verbs = parser.add_subparsers(required=True, metavar="verb")

    def verb(name: str, call: Any, text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text)
        added.add_argument(
            "--config",
            nargs="+",
            default=[],
            metavar="KEY=VALUE",
            help="replace values of config/config.yaml, as Snakemake's option does: scale=smoke",
        )
        added.set_defaults(call=call)
        return added

    data = verb("data", _data, "make or check a scale's data set and write its digest")
    data.add_argument("--out", type=Path)
    others = data.add_subparsers(metavar="import", help="write COCO's layout of another one's")
    text = "write COCO annotations of a data set in VOC's or YOLO's layout; images stay in place"
    other = others.add_parser("import", help=text, description=text)
    other.add_argument("folder", type=Path, help="the data set's folder")
    other.set_defaults(call=_import)

    pretrain = verb("pretrain", _pretrain, "pretrain a backbone on crops of the train set")
    pretrain.add_argument("--size", required=True, help="tiny, s, m, l or x")
    pretrain.add_argument("--data", type=Path, help="what `mkd data` wrote; default: the scale's")
    pretrain.add_argument("--out", type=Path, required=True)

    train = verb("train", _train, "train one run with one seed")
    train.add_argument("--run", required=True, help="an id of config/runs.tsv")
    train.add_argument("--seed", type=int, required=True)
    train.add_argument("--data", type=Path, required=True, help="what `mkd data` wrote")
    train.add_argument("--backbone", type=Path, help="weights the backbone starts from")
    train.add_argument("--teacher", type=Path, help="the teacher's weights.pth")
    train.add_argument("--start", type=Path, help="weights the whole detector starts from")

    text = "take one step of a method on made-up images: do levels fit, do gradients arrive"
    check_method = verb("check-method", _check_method, text)
    check_method.add_argument("method", help="e.g. mkd, or one that a plugin brings")
    check_method.add_argument("--student", default="rtmdet-tiny", help="an architecture")
    check_method.add_argument("--teacher", default="rtmdet-s", help="an architecture")

    keep = verb("keep", _keep, "write a trained run's weights in half precision, with their card")
    keep.add_argument("--run", required=True)
    keep.add_argument("--seed", type=int, required=True)
    keep.add_argument("--out", type=Path, required=True)

    take = verb("take", _take, "put weights that are kept in the place of a training")
    take.add_argument("--run", required=True)
    take.add_argument("--seed", type=int, required=True)

    on_gpus = verb("on-gpus", _on_gpus, "run a command on GPUs that no other job holds")
    on_gpus.add_argument("count", type=int)
    on_gpus.add_argument("command", nargs=argparse.REMAINDER)

    evaluate = verb("evaluate", _evaluate, "score a trained run on the val set")
    evaluate.add_argument("--run", required=True)
    evaluate.add_argument("--seed", type=int, required=True)
    evaluate.add_argument("--data", type=Path, required=True, help="what `mkd data` wrote")
    evaluate.add_argument("--log", default="", help="path of the training's log, for the record")

    table = verb("table", _table, "write one of the paper's tables, paper against measured")
    table.add_argument("--table", type=int, choices=range(1, 6), required=True)

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

    verb("gates", _gates, "say which of the scale's validity gates hold, each with its figure")
    verb("status", _status, "say how far the trainings are: those done, those running, the rest")
    verb("estimate", _estimate, "say what the trainings still to do cost, in GPU hours")

    text = "list the weights files a scale reads or could read, and which of them are there"
    verb("weights", _weights, text)

    check = verb("check-results", _check, "list what in a results folder is broken or stale")
    check.add_argument("folder", type=Path, nargs="?", help="default: results of the scale")
    check.add_argument(
        "--rescore", action="store_true", help="score every detections.json anew, and compare"
    )

    compare = verb("compare", _compare, "say what differs between two results folders")
    compare.add_argument("a", type=Path, help="a scale's results, e.g. results/reference/desk")
    compare.add_argument("b", type=Path, help="another's, e.g. results/desk")

    text = (
        "keep records and tables under results/reference; show them in docs/results.md and report/"
    )
    reference = verb("reference", _reference, text)
    reference.add_argument("folder", type=Path, nargs="?", help="default: results of the scale")

    edge_verbs.add(verb, _suite)

    verb("report", _report, "render the report of what has been run")
    return parser
