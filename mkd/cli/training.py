"""The verbs that train, and those about weights."""

import argparse
import os
from pathlib import Path

from mkd.cli.options import Verb, read_suite


def add(verb: Verb) -> None:
    """Add the verbs."""
    pretrain = verb("pretrain", _pretrain, "pretrain a backbone on crops of the train set")
    pretrain.add_argument(
        "--size",
        required=True,
        help="a backbone: tiny, s, m, l, x, r50 or another of the table of runs",
    )
    pretrain.add_argument("--data", type=Path, help="what `mkd data` wrote; default: the scale's")
    pretrain.add_argument("--out", type=Path, required=True)

    train = verb("train", _train, "train one run with one seed")
    train.add_argument("--run", required=True, help="an id of the scale's table of runs")
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

    keep = verb("keep", _keep, "pack a trained run's weights for other scales, with their card")
    keep.add_argument("--run", required=True)
    keep.add_argument("--seed", type=int, required=True)
    keep.add_argument("--out", type=Path, required=True)

    take = verb("take", _take, "put the weights of a file in the place of a training")
    take.add_argument("--run", required=True)
    take.add_argument("--seed", type=int, required=True)

    text = "write random weights in the place of the released ones that scale rehearsal reads"
    stand_ins = verb("stand-ins", _stand_ins, text)
    stand_ins.add_argument("folder", type=Path)

    on_gpus = verb("on-gpus", _on_gpus, "run a command on GPUs that no other job holds")
    on_gpus.add_argument("count", type=int)
    on_gpus.add_argument("command", nargs=argparse.REMAINDER)


def _pretrain(options: argparse.Namespace) -> None:
    from mkd import jobs

    jobs.pretrain(read_suite(options), options.size, options.data, options.out)


def _train(options: argparse.Namespace) -> None:
    from mkd import jobs

    jobs.train(
        read_suite(options),
        options.run,
        options.seed,
        options.data,
        options.backbone,
        options.teacher,
        options.start,
    )


def _check_method(options: argparse.Namespace) -> None:
    read_suite(options)
    # mmengine takes whatever GPU it sees, and this is a matter of seconds.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from mkd.training import method_check

    print("\n".join(method_check.check(options.method, options.student, options.teacher)))


def _keep(options: argparse.Namespace) -> None:
    from mkd.training import kept

    kept.keep(read_suite(options), options.run, options.seed, options.out)


def _take(options: argparse.Namespace) -> None:
    from mkd.training import kept

    kept.take(read_suite(options), options.run, options.seed)


def _stand_ins(options: argparse.Namespace) -> None:
    from mkd.jobs import stand_ins

    print("\n".join(map(str, stand_ins.write(options.folder))))


def _on_gpus(options: argparse.Namespace) -> None:
    from mkd import gpus

    gpus.run(options.count, options.command)
