"""AP of what is timed, on the val set: mmdet's own data path, an engine's outputs."""

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
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

from mkd.edge import engines, opening, processes
from mkd.edge import suite as edge
from mkd.edge.engines import CannotRun
from mkd.edge.graph import INPUT
from mkd.edge.metadata import precision_path
from mkd.edge.opening import Settings
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
    """

    def __init__(self, model: engines.Model, original: BaseModel) -> None:
        super().__init__()
        self.data_preprocessor = original.data_preprocessor
        self.bbox_head = original.bbox_head
        self._model = model

    def forward(
        self, inputs: Tensor, data_samples: list[DetDataSample], mode: str = "predict"
    ) -> list[DetDataSample]:
        """Detections of N×3×S×S images, boxes in pixels of each original image."""
        for image, sample in zip(inputs, data_samples, strict=True):
            found = self._model.call({INPUT: image[None].numpy()})()
            # RTMDet's head says classes, then boxes, of each level.
            levels = len(found) // 2
            tensors = [torch.from_numpy(value) for value in found]
            (sample.pred_instances,) = self.bbox_head.predict_by_feat(
                *(tensors[at : at + levels] for at in range(0, len(tensors), levels)),
                batch_img_metas=[sample.metainfo],
                rescale=True,
            )
        return data_samples


@contextmanager
def opened(
    file: Path, settings: Settings, images: Sequence[NDArray]
) -> Iterator[tuple[engines.Model, float | None]]:
    """A raw file on an engine, its outputs compared with ONNX Runtime's on real images.

    Args:
        file: The raw file.
        settings: The engine, and whether it computes in half precision.
        images: Prepared, each 1×3×S×S.

    Yields:
        The opened file, and the largest difference, relative to the largest magnitude of each
        output.

    Raises:
        CannotRun: The engine is not here, does not take the file, or computes something else.
    """
    engine, reference = engines.load(settings.engine), engines.load("onnxruntime")
    _, task, _ = opening.read(file, settings)
    # First in a process of its own: what an engine does not take may end it.
    with processes.checked(file, settings) as made:
        model = engine.open_model(task, Path(made["file"] or file))
        plain = reference.open_model(opening.plain(task), file)
        differences = [
            opening.compared(task, *(side.call({INPUT: image})() for side in (model, plain)))
            for image in images
        ]
        yield model, max((d for d in differences if d is not None), default=None)


def on_engines(
    out: Path,
    precisions: Container[str],
    images: Sequence[NDArray],
    score: Callable[[engines.Model], dict[str, Any]] | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """What each engine beside ONNX Runtime makes of a detector's raw files.

    Args:
        out: The FP32 file; those of other precisions lie beside it.
        precisions: Of the files there are.
        images: As for :func:`opened`.
        score: Gives the figures of an opened file; None to compare outputs only.

    Returns:
        Engine → precision → ``difference`` and, with ``score``, ``metrics``; or ``refused``, why
        there are none.
    """

    def one(engine: str, precision: str) -> dict[str, Any]:
        file = edge.exported_precision(engine, precision)
        settings = Settings(engine=engine, half=file != precision)
        try:
            with opened(precision_path(out, file), settings, images) as (model, difference):
                scored = {} if score is None else {"metrics": score(model)}
                return {"difference": difference, **scored}
        except CannotRun as error:
            return {"refused": str(error)}

    return {
        engine: {
            precision: one(engine, precision)
            for precision in edge.PROVIDER_PRECISIONS[engine]
            if edge.exported_precision(engine, precision) in precisions
        }
        for engine in edge.engines()
    }


def average_precision(
    model: OnnxDetector | EngineDetector, resolved: ResolvedRun, data_root: Path
) -> dict[str, Any]:
    """COCO's box figures of what an exported file detects on the val set, in percent.

    Args:
        model: The detector as exported.
        resolved: The run.
        data_root: The data set's folder.
    """
    found = detection.detect(model.eval(), resolved, data_root)
    annotations = data_root / resolved.data.splits["val"].annotations
    metrics: dict[str, Any] = scoring.score(annotations, found)["metrics"]["box"]
    return metrics
