"""The paper scale, field by field, against OpenMMLab's own configs: every difference has a reason.

``python tests/training/test_recipe.py > docs/recipe.md`` writes the list anew.
"""

import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePath
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from mkd import ROOT
from mkd import distillation as distilling
from mkd.data import splits
from mkd.detectors import models
from mkd.evaluation import detection
from mkd.experiment import config, paths
from mkd.experiment.architectures import ARCHITECTURES
from mkd.paper import deviations
from mkd.training import trainer

# isort: split
from mmdet import registry
from mmdet.datasets import CocoDataset
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from mmengine.runner.checkpoint import get_torchvision_models

PAGE = ROOT / "docs/recipe.md"
DATA = Path("data/coco")
INTRODUCTION = """\
# The paper scale against OpenMMLab's configs

Every field in which a run of scale `paper` is not as MMDetection's config of the same detector, or,
for what distillation adds, as MMYOLO's distillation config of the same student. Arguments that a
config leaves out are compared with the library's default. The last column is the entry of
[config/deviations.yaml](../config/deviations.yaml) that says what was taken and why.

Written by `python tests/training/test_recipe.py > docs/recipe.md`; a test holds it up to date.

| field | here | theirs | whose | runs | entry |
|---|---|---|---|---|---|"""
TEACHERS = {"tiny": "s", "s": "m", "m": "l", "l": "x"}
"""Pairs MMYOLO has a distillation config of."""
OF_THE_COMMAND_LINE = {"work_dir", "launcher", "resume", "load_from", "experiment_name"}
SUITE = config.load({"scale": "paper", "weights": "none"})
DEVIATIONS = deviations.load("paper")
REGISTRIES = [
    getattr(registry, name)
    for name in (
        *("TRANSFORMS", "DATASETS", "DATA_SAMPLERS", "MODELS", "TASK_UTILS", "HOOKS", "LOOPS"),
        *("OPTIM_WRAPPERS", "OPTIMIZERS", "PARAM_SCHEDULERS", "LOG_PROCESSORS", "METRICS"),
        *("VISUALIZERS", "VISBACKENDS", "MODEL_WRAPPERS"),
    )
]
needs_mmyolo = pytest.mark.skipif(find_spec("mmyolo") is None, reason="MMYOLO is not installed")


@cache
def found(name: str) -> type | None:
    return next(filter(inspect.isclass, (r.get(name) for r in REGISTRIES)), None)


@cache
def defaults(name: str) -> dict[str, Any]:
    """The default arguments of a registered class, those it hands to its bases included."""
    arguments: dict[str, Any] = {}
    for base in getattr(found(name), "__mro__", ()):
        if "__init__" not in vars(base) or base is object:
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        for item in parameters:
            if item.default is not item.empty:
                arguments.setdefault(item.name, item.default)
        if not any(item.kind is item.VAR_KEYWORD for item in parameters):
            break
    return arguments


def kind(name: str) -> str:
    """A class's name; of a class of this suite that of the library's class it stands for."""
    bases = getattr(found(name), "__mro__", ())
    library = [base.__name__ for base in bases if not base.__module__.startswith(("mkd", "torch"))]
    own = bases and bases[0].__module__.startswith("mkd")
    return library[0] if own and library[0] not in ("Hook", "object") else name.split(".")[-1]


def resolved(value: Any) -> Any:
    """A configuration with every default argument spelled out."""
    if isinstance(value, dict):
        value = {key: resolved(item) for key, item in value.items()}
        for name in ("type", "ema_type"):
            if isinstance(value.get(name), str):
                value = {**defaults(value[name]), **value, name: value[name].split(".")[-1]}
        if value.get("type") == "CocoDataset":
            value["metainfo"] = {**resolved(CocoDataset.METAINFO), **(value["metainfo"] or {})}
            value["data_root"] = str(PurePath(value["data_root"]))
        return value
    if isinstance(value, (list, tuple)):
        return [resolved(item) for item in value]
    return value


def differences(ours: Any, theirs: Any, field: str = "") -> Iterator[tuple[str, str, str]]:
    """Field, our value and theirs; a part that one side lacks is one difference."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in {**theirs, **ours}:
            yield from differences(ours.get(key), theirs.get(key), f"{field}.{key}".strip("."))
    elif all(isinstance(v, list) and v and isinstance(v[0], dict) for v in (ours, theirs)):
        named = [{kind(item["type"]): item for item in part} for part in (ours, theirs)]
        assert [len(part) for part in named] == [len(ours), len(theirs)], field
        yield from differences(*named, field)
        order = [[key for key in part if key in named[0] and key in named[1]] for part in named]
        if order[0] != order[1]:
            yield field, ", ".join(order[0]), ", ".join(order[1])
    elif ours != theirs:
        yield field, shown(ours), shown(theirs)


def shown(value: Any) -> str:
    if value is None:
        return "none"
    return str(value.get("type", "its own")) if isinstance(value, dict) else str(value)


def sections(settings: dict[str, Any]) -> dict[str, Any]:
    """What mmengine's Runner makes of its arguments, hooks and wrapper as it registers them."""
    settings = {**settings, **(settings.get("cfg") or {})}
    taken = inspect.signature(Runner.__init__).parameters
    made = {
        key: settings.get(key, taken[key].default)
        for key in taken.keys() - OF_THE_COMMAND_LINE - {"self", "cfg"}
    }
    hooks: list[Any] = []
    Runner.register_default_hooks(
        SimpleNamespace(register_hook=hooks.append), made.pop("default_hooks")
    )
    made["hooks"] = [*hooks, *(made.pop("custom_hooks") or [])]
    made["ddp"] = settings.get("model_wrapper_cfg") or {
        "type": "MMDistributedDataParallel",
        "broadcast_buffers": False,
        "find_unused_parameters": settings.get("find_unused_parameters", False),
    }
    if not (made["auto_scale_lr"] or {}).get("enable"):
        made["auto_scale_lr"] = None
    made["env_cfg"] = {"cudnn_benchmark": False, **made["env_cfg"]}
    made["log_processor"] = {"type": "LogProcessor", **made["log_processor"]}
    made["visualizer"] = made["visualizer"]["type"]
    loader = {"drop_last": False, "pin_memory": False, "persistent_workers": False}
    for name in ("train_dataloader", "val_dataloader", "test_dataloader"):
        made[name] = made[name] and {**loader, **made[name]}
    return dict(resolved(made))


def ours(run: str) -> dict[str, Any]:
    trained = SUITE.resolve(run, 0)
    classes = CocoDataset.METAINFO["classes"]
    model = models.model_config(trained.architecture, len(classes), trained.width)
    start = paths.imagenet_weights(SUITE, run)
    model.backbone.init_cfg = start and start.stem
    kept = trained.evaluate.max_per_image
    if kept is not None:
        model.test_cfg.get("rcnn", model.test_cfg).max_per_img = kept
    # COCO is not here; its instances are polygons, only its crowds are RLE.
    with patch.object(splits, "bitmap_masks", return_value=False):
        made = trainer.runner_config(trained, DATA, Path("work"), classes)
    made.test_dataloader = detection.loader_config(trained, DATA, classes)
    return sections({**made, "model": model})


@cache
def mmdets(arch: str) -> dict[str, Any]:
    made = models.official_config(ARCHITECTURES[arch])
    start = made.model.backbone.pop("init_cfg", {}).get("checkpoint", "")
    scheme, _, name = start.partition("torchvision://")
    start = get_torchvision_models()[name] if name else scheme
    made.model.backbone.init_cfg = PurePath(start).stem or None
    return sections(dict(made))


def our_distillation(run: str) -> dict[str, Any]:
    student = SUITE.resolve(run, 0)
    configs = [models.model_config(each.architecture, 80) for each in (student, student.teacher)]
    plan = student.distillation
    made = distilling.distiller_config(
        plan,
        *(models.feature_channels(model, plan.layers) for model in configs),
        models.feature_sources(configs[0], plan.layers),
    )
    whole = ours(run)
    return {
        "distiller": levels(made),
        "teacher_ckpt": f"run {SUITE.run(run).teacher}",
        **{key: whole[key] for key in ("ddp", "env_cfg", "optim_wrapper", "param_scheduler")},
        "hooks": whole["hooks"],
    }


@cache
def mmyolos(size: str) -> dict[str, Any]:
    """MMYOLO's distillation config of a student of that size."""
    folder = Path(find_spec("mmyolo").submodule_search_locations[0], ".mim/configs/rtmdet")
    made = Config.fromfile(
        folder / f"distillation/kd_{size}_rtmdet_{TEACHERS[size]}_neck_300e_coco.py"
    )
    whole = sections(dict(made))
    return {
        "distiller": levels(made.model.distiller),
        "teacher_ckpt": PurePath(made.model.teacher_ckpt).stem,
        **{key: whole[key] for key in ("ddp", "env_cfg", "optim_wrapper", "param_scheduler")},
        "hooks": whole["hooks"],
    }


def levels(distiller: ConfigDict) -> dict[str, Any]:
    """By level of the neck what is recorded of student and teacher, and the terms."""
    made: dict[str, Any] = {}
    for name, loss in distiller.distill_losses.items():
        term, level = name.removeprefix("loss_")[:-1].strip("_"), name[-1]
        entry = made.setdefault(level, {})
        # MMYOLO names the term by the level alone; it is CWD.
        entry[term.replace("fpn", "cwd")] = resolved(scoped(loss))
        for side, key in (("student", "preds_S"), ("teacher", "preds_T")):
            place = distiller.loss_forward_mappings[name][key]
            if "connector" in place:
                recorded = distiller[f"{side}_recorders"][place.recorder]
                connector = distiller.connectors[place.connector]
                entry[side] = {
                    "source": recorded.source,
                    "connector": resolved(scoped(connector)),
                }
    return made


def scoped(value: dict[str, Any]) -> dict[str, Any]:
    return {**value, "type": f"mmrazor.{value['type'].split('.')[-1]}"}


def without_pipelines(settings: dict[str, Any]) -> dict[str, Any]:
    """Those are MMDetection's here, and compared with its config."""
    hooks = [
        {key: value for key, value in hook.items() if key != "switch_pipeline"}
        for hook in settings["hooks"]
    ]
    return {**settings, "hooks": hooks}


@cache
def listed() -> dict[tuple[str, str, str, str], list[str]]:
    """Runs by field, our value, theirs, and whose theirs is."""
    made: dict[tuple[str, str, str, str], list[str]] = {}
    for run, row in SUITE.runs.items():
        against_mmdet = set(differences(ours(run), mmdets(row.arch)))
        for item in sorted(against_mmdet):
            made.setdefault((*item, "MMDetection"), []).append(run)
        if row.teacher and not row.architecture.two_stage and find_spec("mmyolo"):
            both = (our_distillation(run), mmyolos(row.architecture.backbone))
            against_mmyolo = set(differences(*map(without_pipelines, both)))
            for item in sorted(against_mmyolo - against_mmdet):
                made.setdefault((*item, "MMYOLO"), []).append(run)
    return made


def ids(field: str) -> list[str]:
    return [item.id for item in DEVIATIONS if item.explains(field)]


def which(runs: list[str]) -> str:
    """A set of runs in few words."""
    groups = (
        lambda row: "all",
        lambda row: row.arch.rsplit("-", 1)[0],
        lambda row: "all that distil" if row.teacher else "all that do not",
        lambda row: f"{'distilled ' if row.teacher else ''}{row.arch.split('-')[0]}",
        lambda row: row.method,
        lambda row: f"{row.method} of {row.arch.split('-')[0]}",
    )
    for group in groups:
        names = list(dict.fromkeys(group(SUITE.runs[run]) for run in runs))
        if {run for run, row in SUITE.runs.items() if group(row) in names} == set(runs):
            return ", ".join(names)
    if len(runs) < 4:
        return ", ".join(runs)
    of = dict.fromkeys(f"{SUITE.run(r).method} of {SUITE.run(r).arch}" for r in runs)
    methods_of = dict.fromkeys(SUITE.run(run).method for run in runs)
    return f"{len(runs)} of {', '.join(of if len(of) < 3 else methods_of)}"


def page() -> str:
    rows: dict[tuple[str, ...], list[str]] = {}
    for (field, mine, theirs, source), runs in sorted(listed().items()):
        # Levels that say the same share a row.
        level = re.match(r"distiller\.(\d)", field)
        any_level = re.sub(r"^distiller\.\d", "distiller.{}", field)
        if level:
            mine, theirs = (re.sub(rf"\.{level[1]}\.", ".*.", value) for value in (mine, theirs))
        key = (any_level, mine, theirs, source, which(runs), ", ".join(ids(field)))
        rows.setdefault(key, []).append(level[1] if level else "")
    lines = [
        f"| {' | '.join([f'`{field}`'.replace('{}', ','.join(levels)), *rest])} |"
        for (field, *rest), levels in rows.items()
    ]
    return "\n".join([INTRODUCTION, *lines, ""])


def test_every_difference_has_one_reason() -> None:
    unexplained = {item: ids(item[0]) for item in listed() if len(ids(item[0])) != 1}
    assert not unexplained


@needs_mmyolo
def test_no_reason_outlives_its_difference() -> None:
    fields = {item[0] for item in listed()}
    patterns = [(item.id, pattern) for item in DEVIATIONS for pattern in item.fields]
    assert patterns
    for name, pattern in patterns:
        assert any(deviations.fnmatchcase(field, pattern) for field in fields), (name, pattern)


@needs_mmyolo
def test_the_kept_list_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), (
        "write it anew: python tests/training/test_recipe.py > docs/recipe.md"
    )


if __name__ == "__main__":
    sys.stdout.write(page())
