"""A scale's file as frozen models, and the JSON schema that follows from them.

``python -m mkd.experiment.scale`` writes the schema anew. A setting with the default None may be
left out and is not written as null.
"""

from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, model_validator
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from mkd.experiment.datasets import Data
from mkd.experiment.section import (
    ByRun,
    Count,
    LearningRate,
    Number,
    Positive,
    Px,
    Section,
    Seed,
    Share,
)
from mkd.files import write_atomic
from mkd.schemas import schema_path

Fraction = Annotated[
    str, Field(pattern="^[1-9]/[1-9][0-9]?$", description="a fraction such as 1/3")
]
Width = Annotated[
    Annotated[Number, Field(ge=0.01, le=10)] | Fraction,
    Field(description="a number, or a fraction such as 1/3"),
]
Ratio = Annotated[Number, Field(ge=0.01, le=100)]


def _ordered(ratios: list[float]) -> list[float]:
    low, high = ratios
    if low > high:
        raise ValueError(
            f"the least ratio {low:g} is above the largest {high:g}: put the smaller one first"
        )
    return ratios


Ratios = Annotated[list[Ratio], Field(min_length=2, max_length=2), AfterValidator(_ordered)]
Seeds = Annotated[
    list[Seed], Field(min_length=1, max_length=1000, json_schema_extra={"uniqueItems": True})
]


class Ema(Section):
    """The averaged weights, which are what is scored."""

    momentum: Annotated[Number, Field(gt=0, lt=1)]
    gamma: Positive


class Sgd(Section):
    """SGD, its rate divided by ten at milestones, in the place of AdamW and cosine."""

    momentum: Annotated[Number, Field(ge=0, lt=1)]
    milestones: list[Positive]


class Recipe(Section):
    """What a scale's trainings have in common but their length."""

    device: Literal["cpu", "cuda"]
    devices: Positive
    batch_size: Annotated[Positive, Field(description="Of one device.")]
    workers: Annotated[int, Field(strict=True, ge=0, le=1000)]
    lr: LearningRate
    weight_decay: Share
    warmup_iters: Positive
    flat_epochs: Annotated[
        Number, Field(ge=0, lt=1, description="Share of the epochs before the cosine begins.")
    ]
    final_lr: Annotated[Share, Field(description="Of lr, at the end of the cosine.")]
    ema: Ema
    mosaic: Annotated[bool, Field(strict=True)]
    resize_ratio: Annotated[
        Ratios | None,
        Field(description="a list of the least and the largest ratio, or null"),
    ]
    second_stage_epochs: Count
    checkpoint_epochs: Positive
    pretrained: Literal["none", "crops", "imagenet"]


class OwnRecipe(Section):
    """What of the recipe one run has of its own."""

    epochs: Positive | None = None
    lr: LearningRate | None = None
    flat_epochs: Annotated[Number | None, Field(ge=0, lt=1)] = None
    final_lr: Share | None = None


Epochs = Annotated[
    Positive | ByRun[Positive],
    Field(description="a whole number of at least 1, or these by architecture and run"),
]


class Train(Recipe):
    """``train`` of a scale's file."""

    epochs: Epochs
    teacher_epochs: Annotated[
        Positive | None, Field(description="Length of the runs that teach, where it is another.")
    ] = None
    by_run: Annotated[
        dict[str, OwnRecipe] | None,
        Field(description="What single runs of the table have in the place of it."),
    ] = None


class TrainSettings(Recipe):
    """How one run is trained."""

    epochs: Positive
    sgd: Sgd | None = None

    @property
    def last_milestone(self) -> int:
        """The last epoch at which SGD's rate falls; 0 without one."""
        return max([0, *(self.sgd.milestones if self.sgd else ())])


class Starts(Section):
    """Weights that another scale trained: a run whose name is in its table is taken from there."""

    scale: str
    stems: Annotated[
        dict[str, str] | None,
        Field(description="The run of that scale that students start from, by architecture."),
    ] = None


class Pretrain(Section):
    """The classification pretraining of ``pretrained: crops``."""

    crop_px: Px
    epochs: Positive
    batch_size: Positive
    lr: LearningRate


class Evaluate(Section):
    """How a run is scored."""

    batch_size: Positive
    max_per_image: Annotated[
        Positive | None,
        Field(description="a whole number of detections of at least 1, or null for mmdet's own"),
    ]


class Estimate(Section):
    """A GPU and the rate it is assumed to sustain; train images where data has no count."""

    gpu: str
    tflops: Annotated[Number, Field(ge=0.001, le=1e6)]
    train_images: Positive | None = None


class MaskRcnnTrain(Section):
    """What Mask R-CNN's recipe has in the place of the scale's."""

    sgd: Sgd | None = None
    batch_size: Positive | None = None
    epochs: Epochs | None = None
    lr: LearningRate | None = None
    weight_decay: Share | None = None
    warmup_iters: Positive | None = None
    mosaic: bool | None = None
    second_stage_epochs: Count | None = None
    checkpoint_epochs: Positive | None = None


class Teaches(Section):
    """Weights whose classes are not those of the data set: nothing of them is scored."""

    teaches: Annotated[str, Field(min_length=1)]


class MaskRcnn(Section):
    """The track of Mask R-CNN, its runs, and what of the scale it replaces."""

    runs: str
    train: MaskRcnnTrain
    evaluate: Evaluate


class Scale(Section):
    """A scale: ``config/scales/<name>.yaml``."""

    summary: str
    runs: Annotated[
        str | None, Field(description="The scale's own table, in the place of config/runs.tsv.")
    ] = None
    data: Data
    width: Annotated[
        Width | ByRun[Width],
        Field(description="a number or a fraction such as 1/3, or these by architecture and run"),
    ]
    input_px: Px
    seeds: Annotated[
        Seeds | ByRun[Seeds],
        Field(description="a list of whole numbers, or these by architecture and run"),
    ]
    train: Train
    pretrain: Pretrain | None = None
    evaluate: Evaluate
    estimate: Estimate | None = None
    mask_rcnn: MaskRcnn | None = None
    starts: Starts | None = None
    longer: Annotated[
        str | None,
        Field(description="The scale with the same task and no stems, to compare with."),
    ] = None
    checks: Annotated[
        str | None, Field(description="A table of runs whose answers are known before.")
    ] = None
    pretrained: Annotated[
        dict[
            str,
            Annotated[
                Annotated[str, Field(min_length=1)] | Teaches,
                Field(description="a file or pattern, or {teaches: …} where it only teaches"),
            ],
        ]
        | None,
        Field(description="Files of weights, by the run that is not trained then."),
    ] = None
    latency: Annotated[
        list[str] | None, Field(description="Runs that are exported and timed, of an own scale.")
    ] = None

    @model_validator(mode="after")
    def _whole(self) -> "Scale":
        if self.train.pretrained == "crops" and self.pretrain is None:
            raise ValueError("train.pretrained: crops needs the section 'pretrain': add it")
        if self.estimate is not None:
            if self.width != 1:
                raise ValueError(
                    f"width: {self.width} has no estimate, as published MACs are of width 1: "
                    "remove the section 'estimate'"
                )
            if self.data.train_images is None and self.estimate.train_images is None:
                raise ValueError("estimate: 'train_images' is a required property")
        return self


class _Schema(GenerateJsonSchema):
    """pydantic's schema without titles, and with None as the mark of what may be left out."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        inner = schema["schema"]
        if schema.get("default", ...) is None and inner["type"] == "nullable":
            return self.generate_inner(inner["schema"])
        return super().default_schema(schema)

    def sort(self, value: JsonSchemaValue, parent_key: str | None = None) -> JsonSchemaValue:
        # As it is made: of what does not fit the first is what a user reads. So the type stands
        # before bounds, and an unknown key, which may be misspelt, before one that is missing.
        return value

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        made.pop("title", None)
        return {"additionalProperties": made.pop("additionalProperties"), **made}


def schema() -> str:
    """``workflow/schemas/scale.schema.yaml``."""
    made = Scale.model_json_schema(schema_generator=_Schema)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    text = yaml.safe_dump({**head, **made}, sort_keys=False, allow_unicode=True, width=100)
    return f"# Made from mkd/experiment/scale.py by python -m mkd.experiment.scale\n{text}"


if __name__ == "__main__":
    write_atomic(schema_path("scale"), schema().encode())
