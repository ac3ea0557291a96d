"""AP of an exported detector on the val set: mmdet's own data path, ONNX Runtime's detections."""

from pathlib import Path
from typing import Any

from mkd.evaluation import detection, scoring  # before mmdet

# isort: split
import onnxruntime
import torch
from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mkd.edge import metadata as cards
from mkd.edge.graph import INPUT
from mkd.experiment.resolved import ResolvedRun


class OnnxDetector(BaseModel):
    """An exported detector in the place of the one it was exported from.

    Args:
        file: The full detector, with NMS.
        original: Lends its data preprocessor.
    """

    def __init__(self, file: Path, original: BaseModel) -> None:
        super().__init__()
        self.data_preprocessor = original.data_preprocessor
        self.bbox_head = nn.Module()
        # The caller sets the number of boxes here; it is part of the exported graph.
        self.bbox_head.test_cfg = original.bbox_head.test_cfg.copy()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self._session = onnxruntime.InferenceSession(
            file, options, providers=["CPUExecutionProvider"]
        )

    def forward(
        self, inputs: Tensor, data_samples: list[DetDataSample], mode: str = "predict"
    ) -> list[DetDataSample]:
        """Detections of N×3×S×S images, boxes in pixels of each original image."""
        for image, sample in zip(inputs, data_samples, strict=True):
            boxes, scores, labels = (
                torch.from_numpy(value)
                for value in self._session.run(
                    ["boxes", "scores", "labels"], {INPUT: image[None].numpy()}
                )
            )
            width, height = sample.scale_factor
            boxes = boxes / boxes.new_tensor([width, height, width, height])
            rows, columns = sample.ori_shape
            boxes[:, 0::2].clamp_(0, columns)
            boxes[:, 1::2].clamp_(0, rows)
            sample.pred_instances = InstanceData(bboxes=boxes, scores=scores, labels=labels)
        return data_samples


def average_precision(
    file: Path, original: BaseModel, resolved: ResolvedRun, data_root: Path, annotations: Path
) -> dict[str, Any]:
    """COCO's box figures of an exported file's detector, in percent.

    Args:
        file: The raw file; its detector lies beside it.
        original: The detector it was exported from.
        resolved: The run.
        data_root: The data set's folder.
        annotations: The val annotations.
    """
    model = OnnxDetector(cards.detector_path(file), original).eval()
    found = detection.detect(model, resolved, data_root)
    metrics: dict[str, Any] = scoring.score(annotations, found)["metrics"]["box"]
    return metrics
