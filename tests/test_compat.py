"""mmcv's operators on torchvision's kernels, against torchvision and plain loops."""

import subprocess
import sys

import mkd.compat  # noqa: F401  (before mmcv)

# isort: split
import numpy as np
import pytest
import torch
import torchvision
from mmcv.ops import RoIAlign, batched_nms, nms
from mmcv.ops.roi_align import roi_align


def boxes_and_scores(n: int = 80, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(n, 2, generator=generator) * 60
    size = torch.rand(n, 2, generator=generator) * 40 + 2
    return torch.cat([corner, corner + size], 1), torch.rand(n, generator=generator)


def greedy(boxes: np.ndarray, scores: np.ndarray, threshold: float, offset: int) -> list[int]:
    """NMS as its definition reads."""
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        overlaps = []
        for other in kept:
            low = np.maximum(boxes[index, :2], boxes[other, :2])
            high = np.minimum(boxes[index, 2:], boxes[other, 2:])
            common = np.prod(np.clip(high - low + offset, 0, None))
            areas = [np.prod(boxes[k, 2:] - boxes[k, :2] + offset) for k in (index, other)]
            overlaps.append(common / (sum(areas) - common))
        if not any(overlap > threshold for overlap in overlaps):
            kept.append(int(index))
    return kept


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.65])
def test_nms_is_the_greedy_definition(threshold: float, offset: int) -> None:
    boxes, scores = boxes_and_scores()
    detections, kept = nms(boxes, scores, threshold, offset=offset)
    assert kept.tolist() == greedy(boxes.numpy(), scores.numpy(), threshold, offset)
    assert torch.equal(detections, torch.cat([boxes[kept], scores[kept, None]], 1))


def test_batched_nms_keeps_classes_apart() -> None:
    boxes, scores = boxes_and_scores()
    labels = torch.arange(len(scores)) % 3
    detections, kept = batched_nms(boxes, scores, labels, {"type": "nms", "iou_threshold": 0.4})
    expected = {
        int(index)
        for label in range(3)
        for index in (labels == label).nonzero()[:, 0][
            torchvision.ops.nms(boxes[labels == label], scores[labels == label], 0.4)
        ]
    }
    assert set(kept.tolist()) == expected
    assert torch.all(detections[:-1, 4] >= detections[1:, 4])


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_roi_align_is_torchvisions_forward_and_backward(aligned: bool, sampling_ratio: int) -> None:
    ours = torch.randn(2, 5, 20, 24, dtype=torch.float64, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    boxes, _ = boxes_and_scores(12)
    rois = torch.cat([torch.arange(12)[:, None] % 2, boxes], 1).double()
    layer = RoIAlign((7, 5), spatial_scale=0.25, sampling_ratio=sampling_ratio, aligned=aligned)
    out = layer(ours, rois)
    reference = torchvision.ops.roi_align(theirs, rois, (7, 5), 0.25, sampling_ratio, aligned)
    weight = torch.randn_like(out)
    (out * weight).sum().backward()
    (reference * weight).sum().backward()
    torch.testing.assert_close(out, reference)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_roi_align_by_maximum_says_what_to_do() -> None:
    with pytest.raises(NotImplementedError, match="pool_mode='avg' or install mmcv"):
        roi_align(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5), 2, 1.0, 0, "max", True)


def test_an_unbacked_operator_fails_when_it_is_called_not_before() -> None:
    from mmcv.ops import soft_nms

    with pytest.raises(NotImplementedError, match="'softnms'.*install a compiled mmcv"):
        soft_nms(*boxes_and_scores(3))


def test_quantization_is_missing_only_when_used() -> None:
    from mmrazor.structures.quantization import QConfigHandler

    with pytest.raises(NotImplementedError, match="QConfigHandler belongs to mmrazor"):
        QConfigHandler()


def test_a_compiled_mmcv_wins(tmp_path) -> None:
    (tmp_path / "_ext.py").write_text("compiled = True\n")
    code = (
        f"import mmcv; mmcv.__path__.append({str(tmp_path)!r})\n"
        "import mkd.compat, importlib\n"
        "assert importlib.import_module('mmcv._ext').compiled\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
