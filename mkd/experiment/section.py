"""What the sections of a scale's file are made of: frozen models, and their kinds of numbers.

A number is finite and no truth value, and an integer is written as one.
"""

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Settings that are checked once and never change; an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


T = TypeVar("T")

Positive = Annotated[int, Field(strict=True, ge=1, le=10**9)]
Count = Annotated[int, Field(strict=True, ge=0, le=10**9)]
Px = Annotated[int, Field(strict=True, ge=32, le=8192, multiple_of=32)]
Seed = Annotated[int, Field(strict=True, ge=0, le=2**32 - 1)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
LearningRate = Annotated[Number, Field(gt=0, le=10)]
Share = Annotated[Number, Field(ge=0, le=1)]
ByRun = Annotated[dict[str, T], Field(json_schema_extra={"required": ["default"]})]
"""A value by run and architecture, and ``default`` for all others."""
