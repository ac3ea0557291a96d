"""Where a detector looks: real features of a small one, and what is drawn of them."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkd.detectors import models  # before mmengine

# isort: split
import cv2
import numpy as np
import pytest
import torch

from mkd import ROOT
from mkd.errors import UserError
from mkd.evaluation import attention, examples
from mkd.evaluation.attention import STRIDES, Watcher
from mkd.experiment.architectures import ARCHITECTURES
from mkd.experiment.config import load
from mkd.report import attention_view
from mkd.workflow import pipeline


@pytest.fixture(scope="module")
def trained(
    tmp_path_factory: pytest.TempPathFactory, smoke_data: Path, trained_as: Callable[..., Path]
) -> Callable[..., Path]:
    """Weights of a small detector whose batch norms know the data, as a training leaves them."""
    runs = tmp_path_factory.mktemp("runs") / "runs.tsv"
    rows = (f"of-{arch}\t{arch}\t-\tbaseline\t-\t1" for arch in ("rtmdet-tiny", "rtmdet-s"))
    runs.write_text("\n".join(["run\tarch\tteacher\tmethod\toptions\ttables", *rows]))
    suite = load({"scale": "smoke", "runs": str(runs)})
    files = sorted((smoke_data / "val").iterdir())[:8]
    batch = np.stack([cv2.resize(cv2.imread(str(file)), (64, 64)) for file in files])
    inputs = list(torch.from_numpy(batch).permute(0, 3, 1, 2))

    def save(arch: str, seed: int) -> Path:
        torch.manual_seed(seed)
        model = models.build(models.model_config(ARCHITECTURES[arch], 6, 0.5))
        models.init_weights(model)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        with torch.no_grad():
            model.train().extract_feat(model.data_preprocessor({"inputs": inputs})["inputs"])
        folder = tmp_path_factory.mktemp(arch) / f"of-{arch}/seed{seed}"
        run = suite.resolve(f"of-{arch}", seed).model_copy(update={"width": 0.5, "input_px": 64})
        return trained_as(folder, run, model)

    return save


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, smoke_data: Path) -> Path:
    """A picture twice as wide as high, so that half of the network's input is padding."""
    path = tmp_path_factory.mktemp("scene") / "wide.png"
    whole = cv2.imread(str(min((smoke_data / "val").iterdir())))
    cv2.imwrite(str(path), whole[:128])
    return path


def pixels(uri: str) -> np.ndarray:
    coded = base64.b64decode(uri.removeprefix("data:image/webp;base64,"))
    return cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR).astype(int)


def test_attention_sums_to_the_cells_of_the_image_without_its_padding(
    trained: Callable[..., Path], scene: Path
) -> None:
    look = Watcher(trained("rtmdet-tiny", 0), 6)(scene)
    assert look.size == (32, 64)
    assert [m.shape for m in look.maps] == [(4, 8), (2, 4), (1, 2)]
    for values in look.maps:
        assert values.sum() == pytest.approx(values.size, rel=1e-5)
        assert values.min() > 0


@pytest.mark.parametrize(("level", "cell"), [(0, (1, 6)), (0, (3, 0)), (1, (1, 2)), (2, (0, 1))])
def test_a_planted_feature_is_hot_where_it_lies(
    trained: Callable[..., Path], scene: Path, level: int, cell: tuple[int, int]
) -> None:
    watcher = Watcher(trained("rtmdet-tiny", 0), 6)
    cold = watcher(scene)

    def plant(module: Any, inputs: Any, out: torch.Tensor) -> torch.Tensor:
        planted = out.clone()
        planted[:, :, cell[0], cell[1]] += 10
        return planted

    watcher.model.neck.out_convs[level].register_forward_hook(plant)
    hot = watcher(scene)
    row, column = np.unravel_index(hot.maps[level].argmax(), hot.maps[level].shape)
    assert (row, column) == cell
    for other in {0, 1, 2} - {level}:
        np.testing.assert_array_equal(hot.maps[other], cold.maps[other])
    # The box around the cell, in pixels of the 128×256 image, holds nearly all attention.
    step = 256 * STRIDES[level] / 64
    box = {"bbox": [cell[1] * step, cell[0] * step, step, step]}
    cover = attention.covered([box], {"width": 256, "height": 128}, hot.size)
    assert cover[level].sum() == cover[level][cell] == 1
    (before, after) = (
        attention.measure(look, cold, cover)[level]["inside"] for look in (cold, hot)
    )
    assert after > 0.9 > before + 0.3


def test_the_drawn_map_is_hottest_at_the_planted_place(
    trained: Callable[..., Path], scene: Path
) -> None:
    look = Watcher(trained("rtmdet-tiny", 0), 6)(scene)
    look.maps[0][:] = 0
    look.maps[0][1, 6] = 4
    drawn = pixels(attention.drawn(look, 2.0))
    assert drawn.shape == (32, 64, 3)
    # Blue, green, red of the scale's upper end, which is yellow.
    far = np.abs(drawn - (37, 231, 253)).sum(2)
    y, x = np.unravel_index(far.argmin(), far.shape)
    assert y in range(8, 16)
    assert x in range(48, 56)
    assert far.min() < 90
    assert far[24, 8] > 200


def test_cells_are_covered_by_their_share() -> None:
    boxes = [{"bbox": [0, 0, 12, 8]}, {"bbox": [4, 0, 8, 8]}, {"bbox": [60, 28, 4, 4]}]
    fine, middle, coarse = attention.covered(boxes, {"width": 128, "height": 72}, (36, 64))
    assert [share.shape for share in (fine, middle, coarse)] == [(5, 8), (3, 4), (2, 2)]
    # The image is shown at half its size: overlapping boxes of 12×8 px cover 6×4 px once.
    assert fine[0, 0] == 24 / 64
    assert fine.sum() * 64 == pytest.approx(middle.sum() * 256) == pytest.approx(24 + 4)


def test_a_map_agrees_with_itself_and_a_flat_one_with_nothing() -> None:
    some = np.array([[0.5, 1.0], [1.0, 1.5]])
    looks = [attention.Look((values,) * 3, (64, 64)) for values in (some, 2 - some, some**0)]
    cover = (np.array([[0, 0], [0, 1.0]]),) * 3
    same, against, flat = (attention.measure(look, looks[0], cover)[0] for look in looks)
    assert same["agreement"] == pytest.approx(1)
    assert against["agreement"] == pytest.approx(-1)
    assert flat["agreement"] is None
    assert (same["inside"], flat["inside"]) == (1.5 / 4, 0.25)


@pytest.fixture(scope="module")
def made(
    trained: Callable[..., Path], smoke_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The figure's data of the smoke scale, of untrained detectors."""
    out = tmp_path_factory.mktemp("made") / "attention.json"
    runs = {
        "RTMDet-tiny, before": [trained("rtmdet-tiny", seed) for seed in (0, 1)],
        "RTMDet-s, the <teacher>": [trained("rtmdet-s", 2)],
    }
    annotations = smoke_data / "annotations/instances_val.json"
    shuffled = json.loads(annotations.read_text())
    shuffled["images"].reverse()
    shuffled["annotations"].reverse()
    other = out.with_name("shuffled.json")
    other.write_text(json.dumps(shuffled))
    again = out.with_name("again.json")
    with pytest.MonkeyPatch.context() as patch:
        # Fewer than there are, so that which they are matters.
        patch.setattr(attention, "MEASURED", 10)
        attention.make(smoke_data / "val", annotations, runs, out)
        attention.make(smoke_data / "val", other, runs, again)
    return {"data": json.loads(out.read_text()), "again": json.loads(again.read_text())}


def test_the_order_of_the_images_changes_nothing(made: dict[str, Any]) -> None:
    for data in made.values():
        for image in data["images"]:
            image["truth"].sort(key=str)
    assert made["data"] == made["again"]


def test_the_data_says_what_the_maps_do(made: dict[str, Any]) -> None:
    data = made["data"]
    student, teacher = data["detectors"]
    assert [len(level["inside"]) for level in student["levels"]] == [2, 2, 2]
    for level, area in zip(teacher["levels"], data["area"], strict=True):
        assert level["agreement"] == [1.0]
        # A random network does not look at objects: half to twice their area.
        assert area / 2 < level["inside"][0] < 2 * area
    assert data["top"] >= 2
    assert data["measured"].startswith("10 val images")
    assert all(-1 < r < 1 for level in student["levels"] for r in level["agreement"])


def test_the_figure_shows_every_map_and_measure(made: dict[str, Any]) -> None:
    data = made["data"]
    drawn = str(attention_view.attention(data))
    images = len(data["images"])
    assert images == examples.SHOWN
    assert drawn.count("<li>") == 3 * images
    assert drawn.count("data:image/webp") == images * 3 + 1
    assert drawn.count(", r = ") == 2 * images
    assert "the &lt;teacher&gt;" in drawn
    (row,) = re.findall(r"before</th>(.*?)</tr>", drawn)
    assert row.count("±") == 6
    (row,) = re.findall(r"the &lt;teacher&gt;</th>(.*?)</tr>", drawn)
    assert row.count("(n=1)") == row.count("–") == 3
    assert len(drawn) < 400_000


@pytest.mark.parametrize("name", ["weights.pth", "train.json"])
def test_a_run_that_is_not_there_is_one_sentence(
    trained: Callable[..., Path], smoke_data: Path, tmp_path: Path, name: str
) -> None:
    path = trained("rtmdet-tiny", 0)
    path.with_name(name).unlink()
    annotations = smoke_data / "annotations/instances_val.json"
    with pytest.raises(UserError, match=name):
        attention.make(smoke_data / "val", annotations, {"x": [path]}, tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()


def test_students_come_before_their_teacher_and_no_student_means_no_figure(tmp_path: Path) -> None:
    shown = pipeline.attended(load({"scale": "smoke"}))
    assert list(shown) == ["tiny-baseline", "tiny-cwd", "tiny-mkd", "s-baseline"]
    assert [len(paths) for paths in shown.values()] == [2, 2, 2, 1]
    few = tmp_path / "runs.tsv"
    lines = (ROOT / "config/runs.tsv").read_text().splitlines()
    few.write_text("\n".join(line for line in lines if "tiny-mkd" not in line) + "\n")
    assert pipeline.attended(load({"scale": "smoke", "runs": str(few)})) == {}
