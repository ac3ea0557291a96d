"""AP of what is timed, on the val set: mmdet's own data path, an engine's outputs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mkd.evaluation import detection, scoring  # before mmdet

# isort: split
import onnxruntime
import torch
from mmdet.structures import DetDataSample
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from numpy.typing import NDArray
from torch import Tensor, nn

from mkd.edge import engines, processes, timing
from mkd.edge import metadata as cards
from mkd.edge.engines import CannotRun
from mkd.edge.graph import INPUT
from mkd.edge.timing import Settings
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


class EngineDetector(BaseModel):
    """A detector whose head outputs come from an engine; decoding and NMS are its own.

    Args:
        model: The raw file, opened.
        original: The detector it was exported from.
        roles: Kinds of head outputs; each has one a level.
    """

    def __init__(self, model: engines.Model, original: BaseModel, roles: int = 2) -> None:
        super().__init__()
        self.data_preprocessor = original.data_preprocessor
        self.bbox_head = original.bbox_head
        self._model, self._roles = model, roles

    def forward(
        self, inputs: Tensor, data_samples: list[DetDataSample], mode: str = "predict"
    ) -> list[DetDataSample]:
        """Detections of N×3×S×S images, boxes in pixels of each original image."""
        for image, sample in zip(inputs, data_samples, strict=True):
            found = self._model.call({INPUT: image[None].numpy()})()
            levels = len(found) // self._roles
            tensors = [torch.from_numpy(value) for value in found]
            (sample.pred_instances,) = self.bbox_head.predict_by_feat(
                *(tensors[at : at + levels] for at in range(0, len(tensors), levels)),
                batch_img_metas=[sample.metainfo],
                rescale=True,
            )
        return data_samples


def on_engine(
    file: Path,
    settings: Settings,
    images: Sequence[NDArray],
    original: BaseModel,
    resolved: ResolvedRun,
    data_root: Path,
) -> dict[str, Any]:
    """What an engine makes of a raw file.

    Args:
        file: The raw file.
        settings: The engine, and whether it computes in half precision.
        images: Prepared real images, each 1×3×S×S, on which its outputs are compared with ONNX
            Runtime's before anything is scored.
        original: The detector the file was exported from.
        resolved: The run.
        data_root: The data set's folder.

    Returns:
        ``metrics``, as :func:`average_precision`, and ``difference``, the largest to ONNX
        Runtime's outputs, relative to the largest magnitude of each; or ``refused``, why there are
        none.
    """
    try:
        _, task, _ = timing.read(file, settings)
        # First in a process of its own: what an engine does not take may end it.
        with processes.checked(file, settings) as made:
            model = engines.load(settings.engine).open_model(task, Path(made["file"] or file))
            plain = engines.load("onnxruntime").open_model(timing.plain(task), file)
            differences = [
                timing.compared(task, *(side.call({INPUT: image})() for side in (model, plain)))
                for image in images
            ]
            detector = EngineDetector(model, original).eval()
            found = detection.detect(detector, resolved, data_root)
    except CannotRun as error:
        return {"refused": str(error)}
    annotations = data_root / resolved.data.splits["val"].annotations
    return {
        "metrics": scoring.score(annotations, found)["metrics"]["box"],
        "difference": max((d for d in differences if d is not None), default=None),
    }


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
