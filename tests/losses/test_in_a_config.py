"""The config of docs/losses.md, as it is printed there, trains."""

import re
from pathlib import Path

import mmengine
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData
from mmengine.testing import assert_dict_has_keys

import mkd.losses  # noqa: F401  (before mmdet)
from mmdet.structures import DetDataSample
from mmrazor.registry import MODELS

DOCS = Path(__file__).parents[2] / "docs" / "losses.md"
