"""The config printed in docs/losses.md trains a detector that is not RTMDet, on badges."""

import re
from pathlib import Path

import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData
from mmrazor.registry import MODELS
from torch import Tensor

from mkd.data.scenes import render

DOCS = Path(__file__).parents[2] / "docs" / "losses.md"


def badges(count: int) -> tuple[Tensor, list[DetDataSample]]:
    """Scenes at a quarter of their size, N×3×H×W, with their boxes."""
    images, samples = [], []
    for index in range(count):
        image, annotations = render("train", index)
        images.append(torch.from_numpy(image[::4, ::4].copy()).permute(2, 0, 1) / 255 - 0.5)
        boxes = torch.tensor([a["bbox"] for a in annotations]).reshape(-1, 4).float() / 4
        shape = tuple(images[-1].shape[1:])
        sample = DetDataSample(
            metainfo={"img_shape": shape, "pad_shape": shape, "batch_input_shape": shape}
        )
        sample.gt_instances = InstanceData(
            bboxes=torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1),
            labels=torch.tensor([a["category_id"] - 1 for a in annotations]),
        )
        samples.append(sample)
    return torch.stack(images), samples


def test_the_documented_config_trains(tmp_path):
    block = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)[1]
    assert len(block.strip().splitlines()) <= 11
    path = tmp_path / "config.py"
    path.write_text(block)
    config = Config.fromfile(path)
    config.dump(tmp_path / "dumped.py")
    assert config.model.teacher_ckpt == "retinanet_r50.pth"
    config.model.teacher_ckpt = None
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    model.train()

    frozen = {k: v.clone() for k, v in model.teacher.named_parameters()}
    trained = [p for p in model.student.parameters() if p.requires_grad]
    trained += model.distiller.parameters()
    optimizer = torch.optim.SGD(trained, lr=1e-4)
    images, samples = badges(2)
    distilled = []
    for _ in range(4):
        losses = model.loss(images, samples)
        terms = {k: v for k, v in losses.items() if k.startswith("distill.")}
        assert len(terms) == 3 * 5
        total, _ = model.parse_losses(losses)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        assert total.isfinite()
        distilled.append(sum(v.item() for k, v in terms.items() if "fdmd" not in k))
    # The deterministic terms fall on the batch they are trained on.
    assert distilled[-1] < distilled[0]
    for name, parameter in model.teacher.named_parameters():
        assert torch.equal(parameter, frozen[name])
    for level in range(5):
        adapter = model.distiller.connectors[f"student{level}"].conv_module.conv
        assert adapter.weight.grad.any()
