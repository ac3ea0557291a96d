"""Shared by all tests: small data sets, made-up records, one thread."""

import atexit
import gc
import json
import math
import os
import shutil
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

os.environ["OMP_NUM_THREADS"] = "1"
# What the caller's own workflows are told is not for those of the tests.
os.environ.pop("MKD_CONFIG", None)
os.environ.pop("MKD_PROVIDERS", None)
os.environ.pop("SNAKEMAKE_PROFILE", None)
# The many processes that tests start need not compile every module anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import forked_snakemake
import pytest

from mkd import ROOT
from mkd.data import badges, fingerprint
from mkd.evaluation.error_kinds import KINDS
from mkd.experiment import config, plugins
from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.resolved import ResolvedRun
from mkd.experiment.runs import Run
from mkd.experiment.suite import Suite
from mkd.files import sha256_file
from mkd.provenance import seal
from mkd.workflow import fork_server

GAIN = {
    "baseline": 0.0,
    "cwd": 9.0,
    "mgd": 4.0,
    "fgd": 3.0,
    "fkd": 2.0,
    "pkd": 6.0,
    "mkd": 10.0,
    "mkd-balanced": 11.0,
}
LEVEL = {
    "rtmdet-tiny": 22.0,
    "rtmdet-s": 45.0,
    "rtmdet-m": 52.0,
    "rtmdet-l": 55.0,
    "rtmdet-ins-tiny": 20.0,
}
TERMS = {
    "mkd": ["multiscale", "fdmd", "fad"],
    "mkd-balanced": ["multiscale", "fdmd", "fad"],
    "baseline": [],
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that parallel workers end together."""
    seconds: Counter[Path] = Counter()
    for item in items:
        mark = item.get_closest_marker("slow")
        seconds[item.path] += (*mark.args, 15)[0] if mark else 0
    items.sort(key=lambda item: -seconds[item.path])


def pytest_collection() -> None:
    """Imports make a million objects that stay: to look them through meanwhile takes seconds."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What was imported stays: the collector, which mmengine calls often, need not look at it."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _own_history() -> Iterator[None]:
    """Of two trainings that begin in the same second, mmengine gives the second the first's log."""
    yield
    if "mmengine.logging" in sys.modules:
        sys.modules["mmengine.logging"].MessageHub._instance_dict.clear()


@cache
def servers() -> dict[str, str]:
    """Start both fork servers; what a process needs in its environment to use them."""
    folder = Path(tempfile.mkdtemp(prefix="mkd-tests-"))
    atexit.register(shutil.rmtree, folder)
    forked_snakemake.start(folder)
    fork_server.start()
    # Without pidfds neither is started.
    names = (forked_snakemake.VARIABLE, fork_server.VARIABLE)
    found = {name: os.environ.pop(name) for name in names if name in os.environ}
    return {**found, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Parallel workers share them: the imports of one take ten seconds."""
    node.workerinput["servers"] = servers()


def use_servers(request: pytest.FixtureRequest, *names: str) -> None:
    """Set these variables: to the shared servers, or to its own where this is no worker."""
    found = getattr(request.config, "workerinput", {}).get("servers") or servers()
    os.environ.update({name: found[name] for name in names if name in found})


@pytest.fixture(scope="session")
def snakemake_server(request: pytest.FixtureRequest) -> None:
    """From here on, the command ``snakemake`` is forked from a process that has imported it."""
    use_servers(request, forked_snakemake.VARIABLE, "PATH")


@pytest.fixture(scope="session")
def forked(request: pytest.FixtureRequest, snakemake_server: None) -> None:
    """From here on, what this process starts hands its jobs to a fork server, too."""
    use_servers(request, fork_server.VARIABLE)


def made_up(run: Run, seed: int, scale: str = "desk") -> dict[str, Any]:
    """A record that fits the schema; its figures are a function of the run's name and the seed."""
    noise = zlib.crc32(f"{run.id}{seed}".encode()) % 1000 / 1000 - 0.5
    ap = LEVEL.get(run.arch, 20.0) + GAIN.get(run.method, 0.0) + noise * 2 - 2 * len(run.options)
    six = {
        "AP": ap,
        "AP50": ap + 18.1,
        "AP75": ap + 1.3 + noise,
        "AP_S": ap - 14.2,
        "AP_M": ap + 2.5 - noise,
        "AP_L": ap + 12.7,
    }
    six = {key: round(value, 3) for key, value in six.items()}
    metrics = {"box": six}
    if "-ins-" in run.arch:
        metrics["mask"] = {key: round(value - 3, 3) for key, value in six.items()}
    terms = {"loss_cls": 1.2, "loss_bbox": 0.9} | {
        f"loss_{name}": 3.0 / (at + 1)
        for at, name in enumerate(TERMS.get(run.method, [run.method]))
    }
    curve = [
        {"iter": i, "epoch": 1 + i // 125, "lr": 0.004, "loss": 2.0}
        | {k: v * (0.3 + math.exp(-i / 200)) + noise / 20 for k, v in terms.items()}
        for i in range(10, 610, 10)
    ]
    tag = f"{zlib.crc32(f'{run.id}-{seed}'.encode()):08x}" * 8
    return {
        "kind": "detection",
        "schema": 1,
        "run": run.id,
        "seed": seed,
        "scale": scale,
        "arch": run.arch,
        "teacher": run.teacher,
        "method": run.method,
        "options": run.options,
        "metrics": metrics,
        "classes": {
            kind: {
                "cat": round(figures["AP"] - 3, 3),
                "dog": round(figures["AP"] + 3, 3),
                "cow": None,
            }
            for kind, figures in metrics.items()
        },
        "pr": {iou: falling(six[f"AP{iou}"] / 100) for iou in ("50", "75")},
        "errors": {kind: round(9 - ap / 10 + noise, 3) for kind in KINDS},
        "params_m": 1.213,
        "macs_g": 0.0812,
        "input_px": 128,
        "train": {
            "iterations": 600,
            "epochs": 5,
            "images_per_s": 55.1,
            "wall_s": 181.2,
            "step_s": 150.4,
            "curve": curve,
        },
        "digests": {
            "config": tag,
            "data": "d" * 64,
            "code": "c" * 64,
            "evaluation_code": "e" * 64,
            "evaluation_config": "f" * 64,
            "weights": tag[::-1],
            "detections": tag[4:] + tag[:4],
        },
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "dirty": False,
        "versions": {"torch": "2.14.1", "mmdet": "3.3.0"},
        "host": {
            "cpu": "Imaginary 9000",
            "cores": 2,
            "memory_gb": 8,
            "gpu": [],
            "os": "Linux",
            "python": "3.11.7",
        },
        "started": "2026-01-01T00:00:00+00:00",
        "wall_s": 193.5,
        "log": f"results/{scale}/logs/train/{run.id}-seed{seed}.log",
    }


def falling(mean: float) -> list[float]:
    """A curve of precision at 101 recalls with a given mean."""
    drop = min(mean, 1 - mean) / 50
    return [round(mean + (50 - i) * drop, 4) for i in range(101)]


def put(results: Path, record: dict[str, Any]) -> Path:
    """Lay a record where the pipeline would."""
    folder = results / record["scale"] / "runs" / record["run"] / f"seed{record['seed']}"
    folder.mkdir(parents=True)
    path = folder / "record.json"
    path.write_text(json.dumps({**record, "sha256": seal(record)}))
    return path


RUNS = (
    Run("tiny-baseline", "rtmdet-tiny", None, "baseline", {}, (1,)),
    Run("s-baseline", "rtmdet-s", None, "baseline", {}, (1,)),
    Run("m-baseline", "rtmdet-m", None, "baseline", {}, (1,)),
    Run("tiny-cwd", "rtmdet-tiny", "s-baseline", "cwd", {}, (1,)),
    Run("tiny-fgd", "rtmdet-tiny", "s-baseline", "fgd", {}, (1,)),
    Run("tiny-mkd", "rtmdet-tiny", "s-baseline", "mkd", {}, (1, 3, 4, 5)),
    Run("s-mkd", "rtmdet-s", "m-baseline", "mkd", {}, (1, 4, 5)),
    Run("tiny-mkd-no-fad", "rtmdet-tiny", "s-baseline", "mkd", {"terms": "multiscale,fdmd"}, (4,)),
    Run("tiny-mkd-no-fdmd", "rtmdet-tiny", "s-baseline", "mkd", {"terms": "multiscale,fad"}, (4,)),
    Run("tiny-mkd-alpha0.1", "rtmdet-tiny", "s-baseline", "mkd", {"alpha": 0.1}, (5,)),
    Run("tiny-mkd-alpha5", "rtmdet-tiny", "s-baseline", "mkd", {"alpha": 5.0}, (5,)),
    Run("ins-tiny-baseline", "rtmdet-ins-tiny", None, "baseline", {}, (2,)),
    Run("ins-tiny-mkd", "rtmdet-ins-tiny", "s-baseline", "mkd", {}, (2,)),
)


def over_runs(root: Path) -> Suite:
    """The desk scale over :data:`RUNS`, its results in a folder that is still empty.

    It names no longer scale: the reference of that one is no test's.
    """
    asked, desk = {"results": str(root / "results")}, _desk()
    assert desk.starts is not None
    plugins.use(())
    return replace(
        desk,
        settings=desk.settings.model_copy(update={"longer": None}),
        runs={run.id: run for run in RUNS},
        config=desk.config | asked,
        starts=replace(desk.starts, config=desk.starts.config | asked),
    )


@cache
def _desk() -> Suite:
    return config.load({"scale": "desk"})


def lay(suite: Suite, *names: str, seeds: tuple[int, ...] = (0, 1, 2)) -> Path:
    """Lay records for the named runs (default: all) and return the results folder."""
    for name in names or suite.runs:
        for seed in (0,) if name in ("s-baseline", "m-baseline") else seeds:
            put(suite.results.parent, made_up(suite.runs[name], seed, suite.scale))
    return suite.results.parent


@pytest.fixture
def few_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings of scale smoke take two steps an epoch."""
    from mkd.training import trainer

    made = trainer.runner_config

    def shortened(*arguments: Any) -> Any:
        found = made(*arguments)
        found.train_dataloader.dataset.indices = 2 * found.train_dataloader.batch_size
        return found

    monkeypatch.setattr(trainer, "runner_config", shortened)


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    """:func:`over_runs` in a fresh folder."""
    return over_runs(tmp_path)


@pytest.fixture
def fill(suite: Suite) -> Callable[..., Path]:
    """:func:`lay` for that suite."""
    return partial(lay, suite)


@pytest.fixture
def own(tmp_path: Path) -> Suite:
    """A scale of a user's own over a base, nothing run."""
    file = tmp_path / "cells.yaml"
    file.write_text("base: desk\ndata: {kind: coco, root: cells}\ntrain: {epochs: 9}\n")
    return config.load({"scale": str(file), "results": str(tmp_path / "results")})


@pytest.fixture
def fill_own(own: Suite) -> Callable[..., Path]:
    """:func:`lay` for that scale."""
    return partial(lay, own)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """:func:`over_runs` with every record: one for all tests of a module, which only read it.

    It names a longer scale, which has records as well.
    """
    whole = over_runs(tmp_path_factory.mktemp("filled"))
    lay(whole)
    for name in ("tiny-baseline", "tiny-cwd", "tiny-mkd"):
        for seed in range(3):
            put(whole.results.parent, made_up(whole.runs[name], seed, "overnight"))
    longer = whole.settings.model_copy(update={"longer": "overnight"})
    return replace(whole, settings=longer)


@pytest.fixture(scope="module")
def half_filled(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """The same with two of its runs."""
    part = over_runs(tmp_path_factory.mktemp("half-filled"))
    lay(part, "tiny-baseline", "tiny-mkd")
    return part


@pytest.fixture(scope="module")
def quick_fonts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """PDFs embed their fonts in a tenth of the time, as publishers would not take them."""
    from mkd.report import style

    path = tmp_path_factory.mktemp("style") / "mkd.mplstyle"
    text = style.STYLE.read_text()
    assert "pdf.fonttype: 42" in text
    path.write_text(text.replace("pdf.fonttype: 42", "pdf.fonttype: 3"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "STYLE", path)
        yield


@pytest.fixture(scope="session")
def smoke_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data set of scale smoke, where that looks for it: ``badges`` is the folder above."""
    folders = {"badges": str(tmp_path_factory.mktemp("badges")), "coco": "coco"}
    suite = config.load({"scale": "smoke", "data": folders})
    data = suite.settings.data
    badges.generate(suite.data_root, data.train_images, data.val_images, progress=False)
    return suite.data_root


@pytest.fixture(scope="session")
def tiny_coco() -> Path:
    """A hundred images of the real COCO 2017; MKD_TINY_COCO names the folder."""
    default = ROOT.parent / "shared/data/tiny_coco"
    root = Path(os.environ.get("MKD_TINY_COCO", default))
    if not root.is_dir():
        pytest.skip(f"no real COCO images at {root}: set MKD_TINY_COCO to their folder")
    return root


@pytest.fixture(scope="session")
def voc() -> Callable[..., Path]:
    """Lays the first images of a made data set out as VOC does.

    Boxes count pixels from 1 with both ends within, or are edges from 0.
    """

    def lay(
        data: Path,
        root: Path,
        train: int = 8,
        val: int = 4,
        classes: int = 99,
        from_one: bool = True,
    ) -> Path:
        for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
            (root / folder).mkdir(parents=True)
        for split, count in {"train": train, "val": val}.items():
            content = json.loads((data / f"annotations/instances_{split}.json").read_text())
            names = {item["id"]: item["name"] for item in content["categories"][:classes]}
            stems = []
            for image in content["images"][:count]:
                found = [
                    (names[item["category_id"]], item["bbox"])
                    for item in content["annotations"]
                    if item["image_id"] == image["id"] and item["category_id"] in names
                ]
                source = data / split / image["file_name"]
                stems.append(f"{split}_{source.stem}")
                shutil.copy(source, root / f"JPEGImages/{stems[-1]}{source.suffix}")
                path = root / f"Annotations/{stems[-1]}.xml"
                path.write_text(_annotation(image, found, from_one))
            (root / f"ImageSets/Main/{split}.txt").write_text("\n".join(stems) + "\n")
        return root

    return lay


def _annotation(image: dict[str, Any], boxes: list[tuple[str, list[float]]], from_one: bool) -> str:
    tree = ElementTree.Element("annotation")
    size = ElementTree.SubElement(tree, "size")
    for side in ("width", "height"):
        ElementTree.SubElement(size, side).text = str(image[side])
    for name, bbox in boxes:
        found = ElementTree.SubElement(tree, "object")
        ElementTree.SubElement(found, "name").text = name
        ElementTree.SubElement(found, "difficult").text = "0"
        x, y, width, height = (round(value) for value in bbox)
        box = ElementTree.SubElement(found, "bndbox")
        edges = (x + from_one, y + from_one, x + width, y + height)
        for key, edge in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True):
            ElementTree.SubElement(box, key).text = str(edge)
    return ElementTree.tostring(tree, encoding="unicode")


@pytest.fixture(scope="session")
def release() -> Callable[..., Path]:
    """Writes weights as OpenMMLab releases them, under a name that ends with their digest.

    That is what mmengine's runner saves, with its log and EMA: the averages stand in
    ``state_dict``.
    """
    import numpy as np
    import torch
    from mmengine.logging import MessageHub

    def write(
        folder: Path, state: dict[str, Any], name: str = "rtmdet_s_8xb32-300e_coco", **meta: Any
    ) -> Path:
        hub = MessageHub("released")
        hub.update_scalar("train/loss", np.float64(1.5))
        averaged = {f"module.{key}": torch.zeros_like(value) for key, value in state.items()}
        content = {
            "meta": {"epoch": 300, "iter": 9, "cfg": "model = dict()", "dataset_meta": meta},
            "state_dict": state,
            "ema_state_dict": averaged | {"steps": torch.tensor(9)},
            "message_hub": hub.state_dict(),
            "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
            "param_schedulers": [{"last_step": 9}],
        }
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / "draft"
        torch.save(content, draft)
        return draft.rename(folder / f"{name}_20220905_161602-{sha256_file(draft)[:8]}.pth")

    return write


@pytest.fixture(scope="session")
def trained_as() -> Callable[..., Path]:
    """Lays what a training leaves of a resolved run and its model, or of the bytes of a file."""
    from mkd.training import weights

    def lay(folder: Path, resolved: ResolvedRun, model: Any, data: str = "d" * 64) -> Path:
        digests = {"config": resolved.decisive_digest(), "code": "c" * 64}
        path = folder / "weights.pth"
        if isinstance(model, bytes):
            folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(model)
        else:
            meta = {"run": resolved.run, "seed": resolved.seed, **digests}
            weights.save(model, path, meta)
        said = {
            "config": resolved.as_json(),
            "digests": digests,
            "inputs": {"data": data},
            "weights": sha256_file(path),
            "teacher": resolved.teacher and resolved.teacher.run,
            "started": "2026-01-01T00:00:00+00:00",
            "train": made_up(RUNS[0], 0)["train"],
            "commit": None,
            "dirty": False,
            "versions": {},
            "host": {},
        }
        (folder / "train.json").write_text(json.dumps(said))
        return path

    return lay


@pytest.fixture
def distiller() -> Callable[..., Any]:
    """Makes a narrow student with its teacher, for six classes, ready to train."""
    import torch

    from mkd import distillation
    from mkd.detectors import models
    from mkd.experiment import methods

    def make(method: str, seed: int = 0, **options: Any) -> Any:
        plan = methods.plan("test", method, options)
        configs = [
            models.model_config(ARCHITECTURES[arch], 6, 0.5) for arch in ("rtmdet-tiny", "rtmdet-s")
        ]
        torch.manual_seed(seed)
        student, teacher = (models.build(config) for config in configs)
        models.init_weights(student)
        models.init_weights(teacher)
        channels = [models.feature_channels(config, plan.layers) for config in configs]
        model = distillation.FrozenTeacherDistill(
            distiller=distillation.distiller_config(
                plan, *channels, models.feature_sources(configs[0], plan.layers)
            ),
            architecture=student,
            teacher=teacher,
            module_inplace=True,
            teacher_module_inplace=True,
        )
        model.train()
        return model

    return make


@pytest.fixture(scope="session")
def checked() -> Callable[[Suite, Path], None]:
    """Writes what ``mkd data`` writes of a suite's data set, without the look through it."""

    def write(suite: Suite, path: Path) -> None:
        splits = suite.settings.data.splits.values()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"digest": fingerprint.digest(suite.data_root, *splits)}))

    return write
